"""What pretraining will get from a list, computed before it begins from the list's frame counts; no video is opened."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli import ranks
from vtdl_cli.config import Config
from vtdl_cli.data.clips.triplet_shares import compare_rules, out_of_reach
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.clips import build_speed_sampler, build_triplet_sampler
from vtdl_cli.engine.networks.methods import find_method
from vtdl_cli.engine.request import ListSource
from vtdl_cli.text import counted

LISTED = 10_000  # videos whose triplets are counted; of Kinetics' 240,000 it would take a quarter of a minute
NEARLY_ALL = 95.0  # percent of the videos: an option that so many are too short for does not do what it says


def triplets(config: Config, videos: VideoList, seed: int, source: ListSource) -> dict[str, Any]:
    """Return the statistics of the triplets by rule, or why they are unknown; empty without triplets.

    A list of more than LISTED videos is sampled. `source` is what was given for the videos.
    """
    if not _draws_triplets(config):
        return {}
    if config.data.frame_rate or videos.intervals is not None:
        return {"triplets_percent": "unknown: the list counts neither frames of intervals nor those at data.frame_rate"}
    known = _known_counts(config, videos)
    if not len(known):
        kind = "a folder" if source.path.is_dir() else "the list"
        command = source.command_that_counts(flow=config.data.modality == "flow")
        return {"triplets_unknown": f"{kind} gives no frame counts. For a list that does: {command}"}
    if len(known) > LISTED:
        known = np.random.default_rng(seed).choice(known, LISTED, replace=False)
    return {"triplets": compare_rules(build_triplet_sampler(config), known, seed), "triplets_of_videos": len(known)}


def keys_per_video(config: Config, videos: VideoList) -> dict[str, float]:
    """Return the number of keys of one video in memory, if the method has a memory: a bank has one of each."""
    reads = find_method(config.method.name).task.reads
    if not reads("queue.size"):
        return {}
    has_queue = reads("queue.memory") and config.method.queue.memory == "queue"
    return {"keys_per_video": round(config.method.queue.size / len(videos), 2) if has_queue else 1.0}


def warnings(config: Config, videos: VideoList) -> list[str]:
    """Return a line for each option that does not fit the list, though it may fit another."""
    masks = find_method(config.method.name).task.reads("queue.mask_own_video")
    lines = _accumulation(config, videos) + (_own_keys(config, videos) if masks else [])
    if _draws_triplets(config):
        lines += _too_short(config, videos)
    if find_method(config.method.name).task.sampler == "speed":
        lines += _too_short_for_speeds(config, videos)
    return lines


def _draws_triplets(config: Config) -> bool:
    return find_method(config.method.name).task.sampler == "triplet"


def _accumulation(config: Config, videos: VideoList) -> list[str]:
    """Warn that the gradients of a large batch are not all there is to it."""
    batch_size = config.pretrain.batch_size
    accumulated = min(config.pretrain.accumulate_steps, len(videos) // batch_size)  # an epoch has no more batches
    if accumulated <= 1:
        return []
    effects = [f"batch norm still normalises over {counted(batch_size // ranks.world_size(), 'video')}"]
    if find_method(config.method.name).task.reads("queue.memory") and config.method.queue.memory == "queue":
        effects.append(f"keys are enqueued {batch_size} at a time, between the batches of a step")
    return [
        f"pretrain.accumulate_steps {config.pretrain.accumulate_steps} is not the same as a batch of "
        f"{accumulated * batch_size}: {', and '.join(effects)}. Set pretrain.batch_size as large as memory allows"
    ]


def _own_keys(config: Config, videos: VideoList) -> list[str]:
    """Warn of a queue that always holds a key of each video: unmasked, it is a negative to its own video."""
    queue, num_videos = config.method.queue, len(videos)
    if queue.memory != "queue" or queue.mask_own_video or queue.size < num_videos:
        return []
    each = f"{queue.size / num_videos:.2g}"
    return [
        f"method.queue.size {queue.size} holds {each} {'key' if each == '1' else 'keys'} of each of the list's "
        f"{num_videos} videos, and method.queue.mask_own_video is off: a video's own stale keys are negatives to it. "
        f"--set method.queue.mask_own_video=true, or a size below {num_videos}"
    ]


def _too_short(config: Config, videos: VideoList) -> list[str]:
    """Warn of options of sampling that were set, and that nearly all videos are too short for."""
    known = _known_counts(config, videos)
    if not len(known):
        return []
    loops = config.data.short_videos == "loop" and config.method.sampling.negative != "on_the_fly"
    start = "anywhere and loop" if loops else "at the first frame"
    meaning = {
        "window": ("have", f"their clips start {start}"),
        "gap": ("can give", "their negatives are as far away as fits"),
        "threshold": ("can give", "their negatives are all moved"),
    }
    given = config.method.sampling.given()
    lines = []
    for name, percent in out_of_reach(build_triplet_sampler(config), known).items():
        if percent >= NEARLY_ALL and f"{name}_frames" in given:
            verb, effect = meaning[name]
            what = f"method.sampling.{name}_frames {given[f'{name}_frames']} is more than {percent:.0f}%"
            lines.append(f"{what} of the list's videos {verb}: {effect}. Set it lower")
    return lines


def _too_short_for_speeds(config: Config, videos: VideoList) -> list[str]:
    """Count the videos into which the fastest clips do not fit."""
    sampler = build_speed_sampler(config)
    known = _known_counts(config, videos)
    short = sum(sampler.count_speeds(count) < sampler.speeds for count in known.tolist())
    if not short:
        return []
    return [
        f"of {len(known)} videos, {short} are too short for a clip at all {sampler.speeds} speeds, and are shown at "
        f"those that fit. Lower pretrain.clip_len_frames {sampler.clip_len} to use more"
    ]


def _known_counts(config: Config, videos: VideoList) -> NDArray[np.int64]:
    """Return the listed frame counts; none if clips are drawn from other frames: of intervals, or at another rate."""
    if config.data.frame_rate or videos.intervals is not None:
        return np.empty(0, np.int64)
    return videos.frames[videos.frames > 0]
