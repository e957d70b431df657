"""One triplet as pretraining sees it, as a picture."""

from pathlib import Path

from vtdl_cli.analysis.strip import draw_strip
from vtdl_cli.config import Config
from vtdl_cli.data.augmentation import to_pixels
from vtdl_cli.data.datasets import Unreadable, collate
from vtdl_cli.data.lists import VideoList
from vtdl_cli.engine.build import build_machine, build_pretraining_clips, build_tca
from vtdl_cli.engine.clips import device_clips
from vtdl_cli.errors import UnreadableVideo
from vtdl_cli.runtime import replacing, seed_torch

TRIPLET = ("anchor", "positive: the same frames, augmented anew", "negative: another interval of the video")


def draw_triplet(config: Config, videos: VideoList, path: Path, *, index: int = 0, seed: int = 0) -> None:
    """Write a PNG of one video's anchor, positive, negative, and of the anchor as TCA mixes it.

    Args:
        config: of pretraining.
        videos: a list.
        path: where to.
        index: which video of the list.
        seed: of all draws.

    Raises:
        UnreadableVideo: it cannot be decoded.
    """
    sample = build_pretraining_clips(config, videos, seed)[(0, index)]
    if isinstance(sample, Unreadable):
        raise UnreadableVideo(sample.path, sample.reason)
    machine = build_machine("cpu", "fp32", 0)
    clips = device_clips(collate([sample]), machine, config.data.crop_size)  # (V, 1, 3, T, R, R)
    rows = dict(zip(TRIPLET[: len(clips)] if len(clips) > 1 else ("clip",), clips, strict=True))
    if "anchor" in rows and config.method.tca.side != "key":
        seed_torch(seed)
        rows["anchor after TCA: one still frame mixed into all"] = build_tca(config)(rows["anchor"])
    with replacing(path) as temporary:
        draw_strip({name: to_pixels(clip[0]).numpy() for name, clip in rows.items()}, temporary)
