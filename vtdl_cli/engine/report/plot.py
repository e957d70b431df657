"""Figures of runs, features and gradients."""

import shlex
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.curves import draw_curves, group_metrics
from vtdl_cli.analysis.embedding import MOST_NAMED, draw_points, project_pca, project_tsne
from vtdl_cli.analysis.gradients import draw_gradients
from vtdl_cli.data.hdf5.features import Features, read_features
from vtdl_cli.engine.features.class_names import name_classes
from vtdl_cli.engine.features.video_names import short_names
from vtdl_cli.engine.train.run_folder import GRADIENTS, METRICS, read_log, stage_of
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.metrics import unit
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file
from vtdl_cli.text import counted

MIN_VIDEOS = {"tsne": 4, "pca": 3}
"""Projections to two dimensions, and the number of videos that each needs."""


@releasing_locks
def plot_runs(runs: Sequence[Path], out: Path | None, reporter: Reporter, *, overwrite: bool) -> dict[str, Any]:
    """Draw the curves of one or several runs.

    Args:
        runs: folders of pretraining or finetuning.
        out: PNG; none: beside the first run, `RUN-curves.png` for one and `curves.png` for several.
        reporter: warns where `out` cannot be locked.
        overwrite: replace an existing PNG.

    Raises:
        UsageError: a run has no finished epoch or is named twice, or the output exists.
    """
    names = unique_names(runs)
    logs = {name: _read_epochs(run, METRICS) for name, run in zip(names, runs, strict=True)}
    for run, rows in zip(runs, logs.values(), strict=True):
        if not any(group_metrics(rows)):
            raise UsageError(f"run '{run}' has no known metric in its {METRICS}. Name a run of this version of vtdl")
    beside = runs[0].resolve().parent
    out = out or beside / (f"{names[0]}-curves.png" if len(runs) == 1 else "curves.png")
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, ending=".png")
    with atomic_write(out) as temporary:
        draw_curves(logs, temporary)
    return {"out": str(out), "runs": [{"name": name, "epochs": len(rows)} for name, rows in logs.items()]}


def unique_names(runs: Sequence[Path]) -> list[str]:
    """Return the name of each run's folder, with as many parent folders as make the names unique.

    Raises:
        UsageError: a run is named twice.
    """
    folders = [run.resolve() for run in runs]
    if twice := [run for run, folder in zip(runs, folders, strict=True) if folders.count(folder) > 1]:
        raise UsageError(f"run '{twice[0]}' is named twice. Name each run once")
    for depth in count(1):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def _read_epochs(run: Path, log: str) -> list[dict[str, Any]]:
    """Read the epochs of a run's log, at least one."""
    if run.suffix == ".h5":
        raise UsageError(f"run '{run}' is a file. To draw features: vtdl plot features {run}")
    if not run.is_dir():
        raise UsageError(f"run '{run}' is not a folder. Name a run folder of vtdl pretrain or vtdl finetune")
    if not (run / log).exists():
        hint = (
            f"Train with --set {stage_of(read_log(run / METRICS))}.log_gradients=true"
            if log == GRADIENTS
            else "Name a run folder"
        )
        raise UsageError(f"run '{run}' has no {log}. {hint}")
    rows = read_log(run / log)
    if not rows:
        raise UsageError(f"run '{run}' has no finished epoch yet: {log} is empty. Wait for the first")
    return rows


@releasing_locks
def plot_features(
    file: Path,
    out: Path | None,
    reporter: Reporter,
    *,
    method: str = "tsne",
    seed: int = 0,
    max_videos: int = 5000,
    classes: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw L2-normalised features in two dimensions, coloured by class; a few videos without classes are named.

    Args:
        file: HDF5 of `vtdl extract`; clips of one video are averaged.
        out: PNG; none: beside the file, `train-tsne.png` for train.h5.
        reporter: warns, and shows progress.
        method: `tsne` or `pca`.
        seed: of t-SNE and of the choice of videos.
        max_videos: the most to show; of more, a random choice.
        classes: classes.txt with the names of the classes; none: those in the file, else the videos' folders.
        overwrite: replace an existing `out`.

    Raises:
        UsageError, ListError: the file holds no features, too few, or identical ones, or the output exists.
    """
    if method not in MIN_VIDEOS:
        raise UsageError(f"--method '{method}' is unknown. Choose from {', '.join(MIN_VIDEOS)}")
    features = read_features(file, reporter.warn)
    out = out or file.with_name(f"{file.stem}-{method}.png")
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=[file], ending=".png")
    names = name_classes([features], classes)
    shown = features.rows(_choose_videos(len(features.labels), max_videos, seed))
    values = unit(shown.values.astype(np.float64))
    _check_enough(shown, values, method)
    reporter.line(f"{method} of {counted(len(values), 'video')}")
    if method == "tsne":
        points, perplexity = project_tsne(values, seed)
        projection, axes = f"t-SNE (perplexity {perplexity:.3g})", ("", "")
    else:
        points, shares = project_pca(values)
        first, second = (f"component {number}: {share:.1%} of the variance" for number, share in enumerate(shares, 1))
        projection, axes = "PCA", (first, second)
    title = f"{projection} of {_describe_number(shown, features)}\n{_describe_origin(features)}"
    names = {label: names[label] for label in np.unique(shown.labels).tolist()}
    num_classes = sum(label >= 0 for label in names)  # -1 is a video without a class
    videos = [] if num_classes or len(values) > MOST_NAMED else short_names(shown)
    if not num_classes and not videos:
        reporter.line(
            f"names left out: those of more than {MOST_NAMED} videos cannot be read. "
            f"To see which are alike: vtdl retrieve --gallery {shlex.quote(str(file))} --query {shlex.quote(str(file))}"
        )
    with atomic_write(out) as temporary:
        draw_points(points, shown.labels, names, title, axes, temporary, videos=videos)
    return {"out": str(out), "method": projection, "num_videos": len(values), "num_classes": num_classes}


def _choose_videos(number: int, maximum: int, seed: int) -> np.ndarray:
    """Return a random bool (number,) with at most `maximum` true."""
    chosen = np.zeros(number, bool)
    chosen[np.random.default_rng(seed).permutation(number)[:maximum]] = True
    return chosen


def _check_enough(features: Features, values: np.ndarray, method: str) -> None:
    if len(values) < MIN_VIDEOS[method] or values.shape[1] < 2:
        raise UsageError(
            f"features '{features.path}' are {values.shape[1]}-dimensional, of {counted(len(values), 'video')}: "
            f"{method} needs at least 2 dimensions and {MIN_VIDEOS[method]} videos. Extract a longer list"
        )
    if np.ptp(values, axis=0).max() < 1e-7:
        raise UsageError(
            f"features '{features.path}' all have one direction: the network has collapsed. "
            "See: vtdl plot runs runs/pretrained"
        )


def _describe_number(shown: Features, features: Features) -> str:
    drawn, total = len(shown.labels), len(features.labels)
    return f"{total:,} videos" if drawn == total else f"{drawn:,} random videos of {total:,}"


def _describe_origin(features: Features) -> str:
    parts = (str(features.attributes.get(name, "")) for name in ("backbone", "layer", "protocol"))
    return "; ".join([features.path.name, *filter(None, parts)])


@releasing_locks
def plot_gradients(run: Path, out: Path | None, reporter: Reporter, *, overwrite: bool) -> dict[str, Any]:
    """Draw how large the gradients of each layer were at the end of each epoch.

    Args:
        run: run folder of a training with `log_gradients`.
        out: PNG; none: `gradients.png` in the run folder.
        reporter: warns where `out` cannot be locked.
        overwrite: replace an existing PNG.

    Raises:
        UsageError: no gradients were logged, or the output exists.
    """
    rows = _read_epochs(run, GRADIENTS)
    out = out or run / "gradients.png"
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, ending=".png")
    weights = list(dict.fromkeys(name for row in rows for name in row.get("mean", {})))
    if not weights:
        raise UsageError(f"run '{run}' has no gradients: no step was made. Train it for an epoch first")
    mean, largest = (
        np.array([[row.get(metric, {}).get(name) for name in weights] for row in rows], np.float64)
        for metric in ("mean", "largest")
    )
    epochs = [row["epoch"] for row in rows]
    title = f"Gradient flow of {run.resolve().name}, at the last step of the epoch"
    with atomic_write(out) as temporary:
        draw_gradients(layer_names(weights), epochs, mean, largest, title, temporary)
    return {"out": str(out), "layers": len(weights), "epochs": len(epochs)}


def layer_names(weights: Sequence[str]) -> list[str]:
    """Shorten names of weight tensors: `encoders.query.backbone.stem.0.weight` is `stem.0`."""
    shared = ("encoders.query.", "encoder.", "")
    prefix = next(each for each in shared if all(name.startswith(each) for name in weights))
    bare = (name.removeprefix(prefix).removeprefix("backbone.").removesuffix(".weight") for name in weights)
    return [name.removesuffix(".conv3d") for name in bare]
