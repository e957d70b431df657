"""Heat maps of a network, for one clip of a video after another.

Shapes: `V` clips of `T` frames of R x R pixels; heat maps (t, h, w); `K` classes.
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
from vtdl_cli.data.clips.windows import CentreView, slide
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.reader import VideoScan
from vtdl_cli.data.video.timeline import Interval, timeline_of
from vtdl_cli.data.video.whole_video import encoding_rate, whole_video
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.networks.trained import Source
from vtdl_cli.models.encoder import Backbone, Encoder, feature_map_of
from vtdl_cli.runtime import Reporter


@dataclass(frozen=True)
class HeatMapper:
    """A network and the kind of heat map to make of it.

    Attributes:
        network: a backbone, or one with its classifier; its weights require no gradients.
        machine: where it computes.
        kind: `energy`, `similarity` or `gradcam`.
        layer: of its backbone.
    """

    network: Encoder | Backbone
    machine: Machine
    kind: str
    layer: str

    @property
    def has_classifier(self) -> bool:
        """Whether the network's outputs are logits."""
        return isinstance(self.network, Encoder)

    def map_clip(self, clip: Tensor, category: int | None) -> tuple[Tensor, Tensor]:
        """Return the heat (t, h, w) of one clip (1, 3, T, R, R), and the network's output (1, K).

        Args:
            clip: on the device, float32.
            category: the class that Grad-CAM explains; none for the other kinds.
        """
        backbone = self.network.backbone if isinstance(self.network, Encoder) else self.network
        with feature_map_of(backbone, self.layer) as maps, torch.set_grad_enabled(category is not None):
            output = self.network(clip)
        features = maps[0]
        if category is not None:
            (gradients,) = torch.autograd.grad(output[0, category], features)
            heat = gradcam(features.detach(), gradients)
        else:
            heat = {"energy": energy, "similarity": similarity}[self.kind](features.detach())
        return heat[0].cpu(), output.detach().cpu()


@dataclass(frozen=True)
class ClippedVideo:
    """A video, and the clips of it that the network sees.

    Attributes:
        path: a file, or a folder of frames.
        scan: the properties of what the network sees of it.
        indices: frames of the clips, (V, T).
        short_side, crop_size: as in the configuration, pixels.
        numbers: of the frames in the file, those that are shown.
        start_seconds: when the first of them begins; 0 where that is unknown.
        sampled_rate: frames a second, as in the configuration; None: the frames of the file.
        interval: the part of the video that is shown; None: all of it.
    """

    path: Path
    scan: VideoScan
    indices: np.ndarray
    short_side: int
    crop_size: int
    numbers: np.ndarray
    start_seconds: float = 0.0
    sampled_rate: float | None = None
    interval: Interval | None = None

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""
        return encoding_rate(self.scan)

    def frames(self) -> Iterator[np.ndarray]:
        """Yield all frames (H, W, 3), one in memory at a time."""
        return whole_video(self.path, self.interval, self.sampled_rate)

    def clips(self, device: torch.device) -> Iterator[Tensor]:
        """Yield one clip after another, normalised: (1, 3, T, R, R)."""
        frames = whole_video(self.path, self.interval, self.sampled_rate, short_side=self.short_side)
        for window in slide(frames, self.indices, CentreView(self.short_side, self.crop_size)):
            yield to_clips(torch.from_numpy(window)[None].to(device), self.crop_size, {})


def clip_video(path: Path, source: Source, clip: Clip, interval: Interval | None = None) -> ClippedVideo:
    """Divide a video, or an interval of it, into consecutive clips, of the length and size in the configuration.

    Raises:
        UnreadableVideo: it cannot be opened, or has no such interval.
    """
    data = source.config.data
    # pyav: the others drop frames of damaged files without an error
    with open_video(path, "pyav", interval, data.frame_rate) as reader:
        scan, timeline = reader.scan, timeline_of(path, reader)
    sampler = consecutive_clips(clip.clip_len_frames, clip.stride_frames, data.short_videos)
    indices = sampler(scan.num_frames, np.random.default_rng(0))
    start = float(np.nan_to_num(timeline.edges[0]))
    sizes = data.short_side, data.crop_size
    return ClippedVideo(path, scan, indices, *sizes, timeline.frames, start, data.frame_rate, interval)


def classify_video(mapper: HeatMapper, video: ClippedVideo, reporter: Reporter) -> Tensor:
    """Return the mean softmax of the clips, (K,), as in evaluation."""
    outputs = []
    with reporter.progress(len(video.indices), "class") as bar, torch.inference_mode():
        for clip in video.clips(mapper.machine.device):
            outputs.append(mapper.network(clip).cpu())
            bar.advance()
    return torch.cat(outputs).softmax(1).mean(0)


def map_video(
    mapper: HeatMapper, video: ClippedVideo, category: int | None, reporter: Reporter
) -> tuple[Tensor, Tensor]:
    """Return the heat (V, t, h, w) of all clips, and their mean softmax (K,), empty without a classifier."""
    heat, outputs = [], []
    with reporter.progress(len(video.indices), "maps") as bar:
        for clip in video.clips(mapper.machine.device):
            of_clip, output = mapper.map_clip(clip, category)
            heat.append(of_clip)
            if mapper.has_classifier:
                outputs.append(output)
            bar.advance()
    return torch.stack(heat), torch.cat(outputs).softmax(1).mean(0) if outputs else torch.empty(0)
