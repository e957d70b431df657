"""Pictures of what other commands left behind: runs, features, gradients."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.curves import draw_curves, group_metrics
from vtdl_cli.analysis.embedding import draw_points, project_pca, project_tsne
from vtdl_cli.analysis.gradients import draw_gradients
from vtdl_cli.data.hdf5.features import Features, read_features
from vtdl_cli.engine.features.class_names import class_names
from vtdl_cli.engine.train.run_folder import GRADIENTS, METRICS, read_log
from vtdl_cli.errors import UsageError
from vtdl_cli.metrics import unit
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file

METHODS = ("tsne", "pca")
FEWEST = {"tsne": 4, "pca": 3}  # videos; in two dimensions fewer show nothing


def plot_runs(runs: Sequence[Path], out: Path | None, *, overwrite: bool) -> dict[str, Any]:
    """Draw the curves of one or several runs.

    Args:
        runs: folders of pretraining or finetuning.
        out: PNG; none: beside the first run, `RUN-curves.png` for one and `curves.png` for several.
        overwrite: replace it.

    Raises:
        UsageError: a run has no finished epoch, is named twice, or the output is in the way.
    """
    names = unique_names(runs)
    logs = {name: _rows(run, METRICS) for name, run in zip(names, runs, strict=True)}
    for run, rows in zip(runs, logs.values(), strict=True):
        if not any(group_metrics(rows)):
            raise UsageError(f"run '{run}' has nothing to draw: its {METRICS} holds no known metric")
    beside = runs[0].resolve().parent
    out = out or beside / (f"{names[0]}-curves.png" if len(runs) == 1 else "curves.png")
    check_new_file(out, "--out", overwrite=overwrite)
    with atomic_write(out) as temporary:
        draw_curves(logs, temporary)
    return {"out": str(out), "runs": [{"name": name, "epochs": len(rows)} for name, rows in logs.items()]}


def unique_names(runs: Sequence[Path]) -> list[str]:
    """Each run's folder, with as many of those above it as tell the runs apart.

    Raises:
        UsageError: a run is named twice.
    """
    places = [run.resolve() for run in runs]
    if twice := [run for run, place in zip(runs, places, strict=True) if places.count(place) > 1]:
        raise UsageError(f"run '{twice[0]}' is named twice. Name each run once")
    for depth in count(1):
        names = ["/".join(place.parts[-depth:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def _rows(run: Path, log: str) -> list[dict[str, Any]]:
    """The epochs of a run's log, at least one."""
    hint = "It is logged with --set pretrain.log_gradients=true" if log == GRADIENTS else "Name a run folder"
    if run.suffix == ".h5":
        raise UsageError(f"run '{run}' is a file. To draw features: vtdl plot features {run}")
    if not run.is_dir():
        raise UsageError(f"run '{run}' is not a folder. Name what vtdl pretrain or finetune wrote to --out")
    if not (run / log).exists():
        raise UsageError(f"run '{run}' has no {log}. {hint}")
    rows = read_log(run / log)
    if not rows:
        raise UsageError(f"run '{run}' has no finished epoch yet: {log} is empty. Wait for the first")
    return rows


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
    """Draw features in two dimensions, coloured by class; they have length 1 first, as for cosine.

    Args:
        file: HDF5 of `vtdl extract`; clips of one video are averaged.
        out: PNG; none: beside the file, `train-tsne.png` for train.h5.
        method: `tsne` or `pca`.
        seed: of t-SNE and of the draw.
        max_videos: as many are drawn at random from more.
        classes: names of the classes; none: those in the file, else the folders of the videos.
        overwrite: replace `out`.

    Raises:
        UsageError, ListError: the file holds no features, or too few, or all the same; the output is in the way.
    """
    if method not in METHODS:
        raise UsageError(f"--method '{method}' is unknown. Choose from {', '.join(METHODS)}")
    features = read_features(file, reporter.warn)
    out = out or file.with_name(f"{file.stem}-{method}.png")
    check_new_file(out, "--out", overwrite=overwrite, sources=[file])
    names = class_names([features], classes)
    shown = features.rows(_draw(len(features.labels), max_videos, seed))
    values = unit(shown.values.astype(np.float64))
    _check_enough(shown, values, method)
    reporter.line(f"{method} of {len(values)} videos")
    if method == "tsne":
        points, perplexity = project_tsne(values, seed)
        what, axes = f"t-SNE (perplexity {perplexity:.3g})", ("", "")
    else:
        points, shares = project_pca(values)
        first, second = (f"component {number}: {share:.1%} of the variance" for number, share in enumerate(shares, 1))
        what, axes = "PCA", (first, second)
    title = f"{what} of {_number(shown, features)}\n{_origin(features)}"
    names = {label: names[label] for label in np.unique(shown.labels).tolist()}
    with atomic_write(out) as temporary:
        draw_points(points, shown.labels, names, title, axes, temporary)
    return {"out": str(out), "method": what, "num_videos": len(values), "num_classes": len(names)}


def _draw(number: int, most: int, seed: int) -> np.ndarray:
    """Bool (number,): at most so many of them, at random."""
    chosen = np.zeros(number, bool)
    chosen[np.random.default_rng(seed).permutation(number)[:most]] = True
    return chosen


def _check_enough(features: Features, values: np.ndarray, method: str) -> None:
    if len(values) < FEWEST[method] or values.shape[1] < 2:
        raise UsageError(
            f"features '{features.path}' are {len(values)} videos by {values.shape[1]} numbers: "
            f"{method} needs {FEWEST[method]} videos or more and 2 numbers or more"
        )
    if np.ptp(values, axis=0).max() < 1e-7:
        raise UsageError(
            f"features '{features.path}' all point one way: the network has collapsed. See: vtdl plot runs RUN"
        )


def _number(shown: Features, features: Features) -> str:
    drawn, there = len(shown.labels), len(features.labels)
    return f"{there:,} videos" if drawn == there else f"{drawn:,} videos drawn from {there:,}"


def _origin(features: Features) -> str:
    parts = (str(features.attributes.get(name, "")) for name in ("backbone", "layer", "protocol"))
    return "; ".join([features.path.name, *filter(None, parts)])


def plot_gradients(run: Path, out: Path | None, *, overwrite: bool) -> dict[str, Any]:
    """Draw how large the gradients of each layer were at the end of each epoch.

    Args:
        run: folder of a training with `log_gradients`.
        out: PNG; none: `gradients.png` in the run.
        overwrite: replace it.

    Raises:
        UsageError: nothing was logged, or the output is in the way.
    """
    rows = _rows(run, GRADIENTS)
    out = out or run / "gradients.png"
    check_new_file(out, "--out", overwrite=overwrite)
    weights = list(dict.fromkeys(name for row in rows for name in row.get("mean", {})))
    if not weights:
        raise UsageError(f"run '{run}' has no gradients: no step was made")
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
    """Names of weight tensors without what tells nothing: `encoders.query.backbone.stem.0.weight` is `stem.0`."""
    shared = ("encoders.query.", "encoder.", "")
    prefix = next(each for each in shared if all(name.startswith(each) for name in weights))
    bare = (name.removeprefix(prefix).removeprefix("backbone.").removesuffix(".weight") for name in weights)
    return [name.removesuffix(".conv3d") for name in bare]
