"""Where a network looks: a map for every frame of a video, laid over it as a video and as a strip of frames.

The video passes frame by frame, never held whole: once to find its class where the map needs one, once for the maps
of its clips, and once to be drawn.
"""

import difflib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vtdl_cli.analysis.heat_maps import PERCENTILES, Scale, maps_of_frames, scale_of
from vtdl_cli.analysis.overlay import draw_overlays, lay_over
from vtdl_cli.data.clips.views import seen_area
from vtdl_cli.data.video.whole_video import choose_encoder, whole_video, write_mp4
from vtdl_cli.engine.networks.machine import build_machine
from vtdl_cli.engine.networks.trained import Source, load_network
from vtdl_cli.engine.report.heat import Film, Watched, classify, open_film, watch
from vtdl_cli.engine.request import Execution
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.models.encoder import Backbone, Encoder, choose_layer
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file

MAPS = {"energy": "norm of the features", "similarity": "cosine to the clip's mean feature", "gradcam": "Grad-CAM"}
"""Name -> what the colours mean."""

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
    lock_file(out, reporter)
    machine = build_machine(execution.device, "fp32", 0, reporter)
    backbone = network.backbone if isinstance(network, Encoder) else network
    watched = Watched(machine.place(network.requires_grad_(False)), machine, kind, choose_layer(backbone, layer))
    film = open_film(video, source, source.config.finetune if watched.classifies else source.config.extract)
    if kind == "gradcam" and chosen is None:
        chosen = int(classify(watched, film, reporter).argmax())
    heat, probabilities = watch(watched, film, chosen, reporter)
    opinion = _opinion(probabilities, chosen, source) if watched.classifies else {}
    scale = scale_of(heat)
    told = {"video": str(video), "weights": source.path, "map": kind, "layer": watched.layer, **opinion}
    with atomic_write(out) as movie, atomic_write(strip) as picture:
        kept = _draw(film, heat, scale, movie, reporter)
        draw_overlays(kept, picture, title=_title(told), scale=scale, meaning=_meaning(told))
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
    for file in (out, strip):
        check_new_file(file, "--out", overwrite=overwrite, sources=[video])
    return strip


def _opinion(probabilities: Tensor, chosen: int | None, source: Source) -> dict[str, Any]:
    """The predicted class and its probability; the class of the map and its own, where that was chosen."""
    names = source.class_names
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
                area = seen_area(frame.shape[0], frame.shape[1], film.short_side, film.crop_size)
                overlay = lay_over(frame, scale.apply(of_frame), area)
                if number in wanted:
                    kept[f"frame {number}, {float(number / film.rate):.1f} s"] = frame, overlay
                yield overlay
                bar.advance()

    write_mp4(path, pictures(), film.rate, *choose_encoder())
    return kept


def _title(told: dict[str, Any]) -> str:
    lines = [Path(told["video"]).name, f"{told['map']} at {told['layer']} of {told['weights']}"]
    if "predicted" in told:
        lines.append(f"predicted: {told['predicted']}, probability {told['predicted_probability']:.2f}")
    if told.get("class", told.get("predicted")) != told.get("predicted"):
        lines.append(f"map of class: {told['class']}, probability {told['class_probability']:.2f}")
    return "\n".join(lines)


def _meaning(told: dict[str, Any]) -> str:
    of_class = f" of '{told['class']}'" if "class" in told else ""
    return f"{MAPS[told['map']]}{of_class}\n(percentiles {PERCENTILES[0]} to {PERCENTILES[1]} of this video)"
