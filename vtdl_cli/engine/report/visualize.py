"""Where a network looks: a heat map for every frame of a video, as a video and as a strip of frames.

The video is decoded frame by frame and never held whole: once to find its class where the maps need one, once for the
maps of its clips, and once to draw them.
"""

import difflib
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vtdl_cli.analysis.heat_maps import PERCENTILES, Scale, maps_of_frames, scale_of
from vtdl_cli.analysis.overlay import draw_overlays, lay_over
from vtdl_cli.data.clips.views import seen_area
from vtdl_cli.data.video.timeline import Interval, name_sample
from vtdl_cli.data.video.whole_video import choose_encoder, encode_video
from vtdl_cli.engine.networks.machine import build_machine
from vtdl_cli.engine.networks.trained import Source, load_network
from vtdl_cli.engine.report.heat import ClippedVideo, HeatMapper, classify_video, clip_video, map_video
from vtdl_cli.engine.request import Execution
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.models.encoder import Backbone, Encoder, choose_layer
from vtdl_cli.runtime import Reporter, Warn, atomic_write, check_new_file
from vtdl_cli.text import counted

MAPS = {"energy": "norm of the features", "similarity": "cosine to the clip's mean feature", "gradcam": "Grad-CAM"}
"""Kinds of heat map, and the meaning of their colours."""

STRIP_FRAMES = 6


@releasing_locks
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
    interval: tuple[float, float] | None = None,
    assignments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Write a video with a network's heat maps over it and a strip of its frames beside it, or the strip alone.

    All maps share one scale, percentiles 1 to 99 of the video's heat.

    Args:
        weights: run folder or checkpoint of either stage.
        video: a file, or a folder of frames.
        out: an MP4, whose strip has the same name with .png; or a PNG, the strip alone.
        execution: device, and whether to overwrite.
        reporter: shows progress.
        kind: a key of MAPS; none: gradcam where there is a classifier, else energy.
        layer: of the backbone; none: its last.
        category: class that gradcam explains, a name or a number; none: the predicted one.
        interval: start and end in seconds of the part that is shown, and seen by the network; None: all of the video.
        assignments: `section.key=value` on top of the configuration in the weights.

    Returns:
        The files, the kind of map, the scale, and the prediction.

    Raises:
        UsageError, CheckpointError: options, weights and outputs do not fit together.
        UnreadableVideo: the video cannot be read to its end, or has no such interval. Nothing has been written.
    """
    began = time.monotonic()
    network, source = _load(weights, assignments, reporter.warn)
    kind = _choose_map(kind, network, weights)
    chosen, part = _find_class(category, kind, source), _read_interval(interval)
    movie, strip = _choose_outputs(out, video, execution.overwrite)
    for output in filter(None, (movie, strip)):
        lock_file(output, reporter)
    machine = build_machine(execution.device, "fp32", 0, reporter)
    backbone = network.backbone if isinstance(network, Encoder) else network
    mapper = HeatMapper(machine.place(network.requires_grad_(False)), machine, kind, choose_layer(backbone, layer))
    clip = source.config.finetune if mapper.has_classifier else source.config.extract
    clipped = clip_video(video, source, clip, part)
    if kind == "gradcam" and chosen is None:
        chosen = int(classify_video(mapper, clipped, reporter).argmax())
    heat, probabilities = map_video(mapper, clipped, chosen, reporter)
    prediction = _describe_prediction(probabilities, chosen, source) if mapper.has_classifier else {}
    scale = scale_of(heat)
    facts = {
        "video": name_sample(str(video), part),
        "weights": source.path,
        "map": kind,
        "layer": mapper.layer,
        **prediction,
    }
    shown: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    overlays = _overlay_frames(clipped, heat, scale, shown, reporter)
    with ExitStack() as stack:
        if movie:
            encode_video(stack.enter_context(atomic_write(movie)), overlays, clipped.frame_rate, *choose_encoder())
        else:
            deque(overlays, maxlen=0)
        figure = stack.enter_context(atomic_write(strip))
        draw_overlays(shown, figure, title=_write_title(facts), scale=scale, meaning=_describe_scale(facts))
    return {
        "out": str(out),
        "strip": str(strip),
        **facts,
        "scale": scale._asdict(),
        "clips": len(clipped.indices),
        "frames": clipped.scan.num_frames,
        "frame_rate": float(clipped.frame_rate),
        "seconds": round(time.monotonic() - began, 2),
    }


def _load(weights: str, assignments: tuple[str, ...], warn: Warn) -> tuple[Encoder | Backbone, Source]:
    if weights == "none":
        raise UsageError("weights 'none' are untrained: there is nothing to show. Use a run folder or a checkpoint")
    network, source = load_network(weights, assignments, warn)
    if source.config.data.modality == "flow":
        raise UsageError(f"weights '{source.path}' take optical flow, not frames. Use weights of data.modality rgb")
    return network, source


def _choose_map(kind: str | None, network: Encoder | Backbone, weights: str) -> str:
    has_classifier = isinstance(network, Encoder)
    kind = kind or ("gradcam" if has_classifier else "energy")
    if kind not in MAPS:
        raise UsageError(f"map '{kind}' is unknown. Choose from {', '.join(MAPS)}")
    if kind == "gradcam" and not has_classifier:
        raise UsageError(
            f"map 'gradcam' needs a classifier, and weights '{weights}' were pretrained. Use --map energy or similarity"
        )
    return kind


def _find_class(category: str | None, kind: str, source: Source) -> int | None:
    """Return the number of a class given by name or number."""
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
        f"class '{category}' is not one of the {counted(source.num_classes, 'class')} of weights "
        f"'{source.path}'. {hint}"
    )


def _read_interval(bounds: tuple[float, float] | None) -> Interval | None:
    if bounds is not None and not 0 <= bounds[0] < bounds[1]:
        raise UsageError(
            f"--interval '{bounds[0]:g} {bounds[1]:g}' is not an interval: give its start, from 0, and then its end, "
            "in seconds"
        )
    return None if bounds is None else Interval(*bounds)


def _choose_outputs(out: Path, video: Path, overwrite: bool) -> tuple[Path | None, Path]:
    """Return the paths of the MP4, if one is wanted, and of the strip; refuse those that must not be written."""
    if out.suffix.lower() not in (".mp4", ".png"):
        raise UsageError(f"output '{out}' does not end in .mp4, or .png for a strip of frames alone. Change --out")
    movie, strip = (out, out.with_suffix(".png")) if out.suffix.lower() == ".mp4" else (None, out)
    for file in filter(None, (movie, strip)):
        check_new_file(file, "--out", overwrite=overwrite, sources=[video])
    return movie, strip


def _describe_prediction(probabilities: Tensor, chosen: int | None, source: Source) -> dict[str, Any]:
    """Return the predicted class and its probability, and those of the class that the map explains."""
    names = source.class_names
    predicted = int(probabilities.argmax())
    prediction = {"predicted": names[predicted], "predicted_probability": float(probabilities[predicted])}
    if chosen is not None:
        prediction |= {"class": names[chosen], "class_probability": float(probabilities[chosen])}
    return prediction


def _overlay_frames(
    video: ClippedVideo,
    heat: Tensor,
    scale: Scale,
    shown: dict[str, tuple[np.ndarray, np.ndarray]],
    reporter: Reporter,
) -> Iterator[np.ndarray]:
    """Yield every frame with its heat; a few frames with their overlays are added to `shown`, by number and time."""
    num_frames = video.scan.num_frames
    wanted = set(np.linspace(0, num_frames - 1, min(STRIP_FRAMES, num_frames)).round().astype(int).tolist())
    maps = maps_of_frames(heat, torch.from_numpy(video.indices), num_frames)
    with reporter.progress(num_frames, "frames") as bar:
        for number, (frame, of_frame) in enumerate(zip(video.frames(), maps, strict=True)):
            area = seen_area(frame.shape[0], frame.shape[1], video.short_side, video.crop_size)
            overlay = lay_over(frame, scale.apply(of_frame), area)
            if number in wanted:
                seconds = video.start_seconds + float(number / video.frame_rate)
                shown[f"frame {video.numbers[number]}, {seconds:.1f} s"] = frame, overlay
            yield overlay
            bar.advance()


def _write_title(facts: dict[str, Any]) -> str:
    kind = MAPS["gradcam"] if facts["map"] == "gradcam" else facts["map"]
    lines = [Path(facts["video"]).name, f"{kind} at {facts['layer']} of {facts['weights']}"]
    if "predicted" in facts:
        lines.append(f"predicted: {facts['predicted']}, probability {facts['predicted_probability']:.2f}")
    if facts.get("class", facts.get("predicted")) != facts.get("predicted"):
        lines.append(f"map of class: {facts['class']}, probability {facts['class_probability']:.2f}")
    return "\n".join(lines)


def _describe_scale(facts: dict[str, Any]) -> str:
    of_class = f" of '{facts['class']}'" if "class" in facts else ""
    return f"{MAPS[facts['map']]}{of_class}\n(percentiles {PERCENTILES[0]} to {PERCENTILES[1]} of this video)"
