"""A network that is watched while a video passes through it, clip after clip.

Shapes: `V` clips of `T` frames of R x R pixels; maps of heat (t, h, w); `K` classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtdl_cli.analysis.heat_maps import energy, gradcam, similarity
from vtdl_cli.config import Clip
from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.data.clips.sampling import consecutive_clips
from vtdl_cli.data.clips.views import centre_clips
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.reader import VideoScan
from vtdl_cli.data.video.whole_video import whole_video
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.networks.trained import Source
from vtdl_cli.models.encoder import Backbone, Encoder, feature_map_of
from vtdl_cli.runtime import Reporter

DEFAULT_RATE = Fraction(25)  # frames a second of what says nothing of it, as folders of pictures
MAX_DENOMINATOR = 1001  # of a frame rate, as television's 30000/1001


@dataclass(frozen=True)
class Watched:
    """A network, and what of it is looked at.

    Attributes:
        network: a backbone, or one with its classifier, without gradients of its weights.
        machine: where it computes.
        kind: `energy`, `similarity` or `gradcam`.
        layer: of its backbone.
    """

    network: Encoder | Backbone
    machine: Machine
    kind: str
    layer: str

    @property
    def classifies(self) -> bool:
        """Whether its output is logits."""
        return isinstance(self.network, Encoder)

    def look(self, clip: Tensor, chosen: int | None) -> tuple[Tensor, Tensor]:
        """The heat (t, h, w) of one clip (1, 3, T, R, R), for a class where the map needs one, and its output (1, K).

        In float32, and without gradients of any weight.
        """
        backbone = self.network.backbone if isinstance(self.network, Encoder) else self.network
        with feature_map_of(backbone, self.layer) as maps, torch.set_grad_enabled(chosen is not None):
            output = self.network(clip)
        features = maps[0]
        if chosen is not None:
            (gradients,) = torch.autograd.grad(output[0, chosen], features)
            heat = gradcam(features.detach(), gradients)
        else:
            heat = {"energy": energy, "similarity": similarity}[self.kind](features.detach())
        return heat[0].cpu(), output.detach().cpu()


@dataclass(frozen=True)
class Film:
    """A video, and the clips of it that the network sees.

    Attributes:
        path: a file, or a folder of pictures.
        scan: what is known of it.
        indices: frames of the clips, (V, T).
        short_side, crop_size: as in the configuration, pixels.
    """

    path: Path
    scan: VideoScan
    indices: np.ndarray
    short_side: int
    crop_size: int

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return Fraction(self.scan.frame_rate).limit_denominator(MAX_DENOMINATOR) or DEFAULT_RATE

    def clips(self, device: torch.device) -> Iterator[Tensor]:
        """One after another, normalised: (1, 3, T, R, R)."""
        windows = centre_clips(
            whole_video(self.path), self.indices, short_side=self.short_side, crop_size=self.crop_size
        )
        for window in windows:
            yield to_clips(torch.from_numpy(window)[None].to(device), self.crop_size, {})


def open_film(video: Path, source: Source, clip: Clip) -> Film:
    """A video with clips one after another, as long and as wide as the configuration has them.

    Raises:
        UnreadableVideo: it cannot be opened.
    """
    data = source.config.data
    with open_video(video, "pyav") as reader:  # the others leave frames of damaged files out without a word
        scan = reader.scan
    sampler = consecutive_clips(clip.clip_len_frames, clip.stride_frames, data.short_videos)
    indices = sampler(scan.num_frames, np.random.default_rng(0))
    return Film(video, scan, indices, data.short_side, data.crop_size)


def classify(watched: Watched, film: Film, reporter: Reporter) -> Tensor:
    """Mean of the clips' softmax, (K,), as evaluation has it."""
    outputs = []
    with reporter.progress(len(film.indices), "class") as bar, torch.inference_mode():
        for clip in film.clips(watched.machine.device):
            outputs.append(watched.network(clip).cpu())
            bar.advance()
    return torch.cat(outputs).softmax(1).mean(0)


def watch(watched: Watched, film: Film, chosen: int | None, reporter: Reporter) -> tuple[Tensor, Tensor]:
    """Heat (V, t, h, w) of all clips; and the mean of the softmax of their outputs, (K,), if these are logits."""
    heat, outputs = [], []
    with reporter.progress(len(film.indices), "maps") as bar:
        for clip in film.clips(watched.machine.device):
            of_clip, output = watched.look(clip, chosen)
            heat.append(of_clip)
            if watched.classifies:
                outputs.append(output)
            bar.advance()
    return torch.stack(heat), torch.cat(outputs).softmax(1).mean(0) if outputs else torch.empty(0)
