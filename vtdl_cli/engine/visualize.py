"""Where a network looks: a map for every frame of a video, laid over it as a video and as a strip of frames.

The video passes frame by frame, never held whole: once to find its class where the map needs one, once for the maps
of its clips, and once to be drawn.
"""

import difflib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from vtdl_cli.analysis.heat_maps import PERCENTILES, Scale, energy, gradcam, maps_of_frames, scale_of, similarity
from vtdl_cli.analysis.overlay import draw_overlays, lay_over
from vtdl_cli.config import Clip
from vtdl_cli.data.augmentation import to_clips
from vtdl_cli.data.decoding import open_video
from vtdl_cli.data.sampling import consecutive_clips
from vtdl_cli.data.video_reader import VideoScan
from vtdl_cli.data.views import centre_clips, seen_area
from vtdl_cli.data.whole_video import whole_video, write_mp4
from vtdl_cli.engine.build import Machine, build_machine
from vtdl_cli.engine.request import Execution
from vtdl_cli.engine.trained import Source, load_network
from vtdl_cli.errors import UsageError
from vtdl_cli.models.encoder import Backbone, Encoder, feature_map_of, last_layer
from vtdl_cli.runtime import Reporter, check_writable, replacing

MAPS = {"energy": "norm of the features", "similarity": "cosine to the clip's mean feature", "gradcam": "Grad-CAM"}
"""Name -> what the colours mean."""

STRIP_FRAMES = 6
DEFAULT_RATE = Fraction(25)  # frames a second of what says nothing of it, as folders of pictures
MAX_DENOMINATOR = 1001  # of a frame rate, as television's 30000/1001
ENCODERS = {"libx264": {"crf": "18", "preset": "fast"}, "mpeg4": {"qscale": "3"}}
"""The first that PyAV has is taken, with its options."""


@dataclass(frozen=True)
class Watched:
    """A network, and what of it is looked at.

    Attributes:
        network: a backbone, or one with its classifier.
        machine: where it computes.
        kind: a name of MAPS.
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


def visualize(
    weights: str,
    video: Path,
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    kind: str | None = None,
    layer: str | None = None,
    category: str | None = None,
    assignments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Write a video with a network's maps over it, and a strip of its frames beside it.

    The maps have one scale for the whole video, percentiles 1 to 99 of its heat.

    Args:
        weights: a run folder or checkpoint of either stage.
        video: a file, or a folder of pictures.
        out: an MP4; the strip has its name with .png.
        kind: a name of MAPS; none: gradcam where there is a classifier, else energy.
        layer: of the backbone; none: its last.
        category: class that gradcam is of, a name or a number; none: the one that is predicted for the video.
        assignments: `section.key=value` on top of the configuration inside the weights.

    Returns:
        The files, what was drawn, and the classifier's opinion.

    Raises:
        UsageError, CheckpointError: something does not fit.
        UnreadableVideo: it cannot be read to its end. Nothing has been written.
    """
    began = time.monotonic()
    network, source = _load(weights, assignments)
    kind = _choose_map(kind, network, weights)
    chosen = _find_class(category, kind, source)
    strip = _refuse_outputs(out, video, execution.overwrite)
    machine = build_machine(execution.device, "fp32", 0)
    backbone = network.backbone if isinstance(network, Encoder) else network
    watched = Watched(machine.place(network.requires_grad_(False)), machine, kind, layer or last_layer(backbone))
    film = _open_film(video, source, source.config.finetune if watched.classifies else source.config.extract)
    if kind == "gradcam" and chosen is None:
        chosen = int(_classify(watched, film, reporter).argmax())
    heat, probabilities = _watch(watched, film, chosen, reporter)
    opinion = _opinion(probabilities, chosen, source) if watched.classifies else {}
    scale = scale_of(heat)
    told = {
        "video": str(video),
        "weights": source.path,
        "map": kind,
        "layer": watched.layer,
        **opinion,
    }
    with replacing(out) as movie, replacing(strip) as picture:
        kept = _draw(film, heat, scale, movie, reporter)
        meaning = MAPS[kind] + (f" of '{opinion['class']}'" if kind == "gradcam" else "")
        low, high = PERCENTILES
        meaning += f"\n(percentiles {low} to {high} of this video)"
        draw_overlays(kept, picture, title=_title(told), scale=scale, meaning=meaning)
    return {
        "out": str(out),
        "strip": str(strip),
        **told,
        "scale": scale._asdict(),
        "clips": len(film.indices),
        "frames": film.scan.num_frames,
        "frame_rate": float(film.rate),
        "seconds": round(time.monotonic() - began, 2),
    }


def _load(weights: str, assignments: tuple[str, ...]) -> tuple[Encoder | Backbone, Source]:
    if weights == "none":
        raise UsageError(
            "weights 'none' have learnt nothing that could be looked at. Give a run folder or a checkpoint"
        )
    network, source = load_network(weights, assignments)
    if source.config.data.modality == "flow":
        raise UsageError(f"weights '{source.path}' see optical flow, not pictures. Give weights of data.modality rgb")
    return network, source


def _choose_map(kind: str | None, network: Encoder | Backbone, weights: str) -> str:
    has_classifier = isinstance(network, Encoder)
    kind = kind or ("gradcam" if has_classifier else "energy")
    if kind not in MAPS:
        raise UsageError(f"map '{kind}' is not known. Choose from {', '.join(MAPS)}")
    if kind == "gradcam" and not has_classifier:
        raise UsageError(
            f"map 'gradcam' needs a classifier, and weights '{weights}' were pretrained. Use --map energy or similarity"
        )
    return kind


def _find_class(category: str | None, kind: str, source: Source) -> int | None:
    """The number of a class given by name or number."""
    if category is None:
        return None
    if kind != "gradcam":
        raise UsageError(f"class '{category}' has no effect on map '{kind}'. Leave --class out, or use --map gradcam")
    names = source.classes or []
    if category in names:
        return names.index(category)
    if category.isdecimal() and int(category) < source.num_classes:
        return int(category)
    close = difflib.get_close_matches(category, names, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else f"Choose a name, or a number from 0 to {source.num_classes - 1}"
    raise UsageError(
        f"class '{category}' is none of the {source.num_classes} that weights '{source.path}' know. {hint}"
    )


def _refuse_outputs(out: Path, video: Path, overwrite: bool) -> Path:
    """Refuse what could not or should not be written; returns the strip's path."""
    if out.suffix.lower() != ".mp4":
        raise UsageError(f"output '{out}' does not end in .mp4, which is what is written. Name it so")
    strip = out.with_suffix(".png")
    refuse_existing((out, strip), overwrite)
    if out.resolve() == video.resolve():
        raise UsageError(f"output '{out}' is the video itself. Choose another --out")
    return strip


def refuse_existing(files: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse outputs that are there, unless they may be replaced, or that cannot be written.

    Raises:
        UsageError: so it is.
    """
    for file in files:
        check_writable(file.parent)
        if file.is_dir():
            raise UsageError(f"output '{file}' is a folder. Name a file")
        if file.exists() and not overwrite:
            raise UsageError(f"output '{file}' exists. Use --overwrite, or another --out")


def _open_film(video: Path, source: Source, clip: Clip) -> Film:
    data = source.config.data
    with open_video(video, "pyav") as reader:  # the others leave frames of damaged files out without a word
        scan = reader.scan
    sampler = consecutive_clips(clip.clip_len_frames, clip.stride_frames, data.short_videos)
    indices = sampler(scan.num_frames, np.random.default_rng(0))
    return Film(video, scan, indices, data.short_side, data.crop_size)


def _classify(watched: Watched, film: Film, reporter: Reporter) -> Tensor:
    """Mean of the clips' softmax, (K,), as evaluation has it."""
    outputs = []
    with reporter.progress(len(film.indices), "class") as bar, torch.inference_mode():
        for clip in film.clips(watched.machine.device):
            outputs.append(watched.network(clip).cpu())
            bar.advance()
    return torch.cat(outputs).softmax(1).mean(0)


def _watch(watched: Watched, film: Film, chosen: int | None, reporter: Reporter) -> tuple[Tensor, Tensor]:
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


def _opinion(probabilities: Tensor, chosen: int | None, source: Source) -> dict[str, Any]:
    """The predicted class and its probability; the class of the map and its own, where that was chosen."""
    names = source.classes or [str(number) for number in range(source.num_classes)]
    predicted = int(probabilities.argmax())
    told = {"predicted": names[predicted], "predicted_probability": float(probabilities[predicted])}
    if chosen is not None:
        told |= {"class": names[chosen], "class_probability": float(probabilities[chosen])}
    return told


def _draw(
    film: Film, heat: Tensor, scale: Scale, path: Path, reporter: Reporter
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write the video; returns some of its frames with their overlays, by number and time."""
    num_frames = film.scan.num_frames
    wanted = set(np.linspace(0, num_frames - 1, min(STRIP_FRAMES, num_frames)).round().astype(int).tolist())
    kept = {}

    def pictures() -> Iterator[np.ndarray]:
        maps = maps_of_frames(heat, torch.from_numpy(film.indices), num_frames)
        with reporter.progress(num_frames, "frames") as bar:
            for number, (frame, of_frame) in enumerate(zip(whole_video(film.path), maps, strict=True)):
                area = seen_area(*frame.shape[:2], film.short_side, film.crop_size)
                overlay = lay_over(frame, scale.apply(of_frame), area)
                if number in wanted:
                    kept[f"frame {number}, {float(number / film.rate):.1f} s"] = frame, overlay
                yield overlay
                bar.advance()

    codec = next(name for name in ENCODERS if name in av.codecs_available)
    write_mp4(path, pictures(), film.rate, codec, ENCODERS[codec])
    return kept


def _title(told: dict[str, Any]) -> str:
    lines = [Path(told["video"]).name, f"{told['map']} at {told['layer']} of {told['weights']}"]
    if "predicted" in told:
        lines.append(f"predicted: {told['predicted']}, probability {told['predicted_probability']:.2f}")
    if told.get("class", told.get("predicted")) != told.get("predicted"):
        lines.append(f"map of class: {told['class']}, probability {told['class_probability']:.2f}")
    return "\n".join(lines)
