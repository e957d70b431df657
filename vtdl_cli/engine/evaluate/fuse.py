"""Late fusion: the scores of several networks on the same videos, as a weighted mean."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.scores import Scores, align, read_scores
from vtdl_cli.data.lists.label_sets import compare_classes
from vtdl_cli.data.video.disk import stem
from vtdl_cli.engine.evaluate.results import ORIGIN, SCORES_FILE, measure, refuse_results, write_results
from vtdl_cli.engine.lists.groups import choose_groups
from vtdl_cli.engine.networks.selection import combine_selected
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.metrics import accuracies
from vtdl_cli.runtime import Reporter

SWEEP = np.linspace(0, 1, 11)  # of the second file's share


@releasing_locks
def fuse(
    paths: Sequence[Path],
    reporter: Reporter,
    *,
    weights: Sequence[float] = (),
    sweep: bool = False,
    group_by: str | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Measure the weighted mean of several files of scores.

    Args:
        paths: two or more scores.h5, such as of RGB and of flow.
        reporter: who is told.
        weights: one for each file; none: all alike.
        sweep: of two files, also top-1 by the share of the second.
        group_by: a regex, whose first group names the recording that a video is cut from; none: that of the files.
        out: folder for the fused metrics, scores and pictures; none writes nothing.
        overwrite: replace what is in it.

    Returns:
        What metrics.json holds: `inputs`, each with its own accuracies, and those of the mean.

    Raises:
        UsageError: the files do not belong together, or the weights do not fit them.
    """
    shares = _shares(weights, len(paths))
    if sweep and len(paths) != 2:
        raise UsageError(f"--sweep goes with two files, not with {len(paths)}. Leave it out, or give --weights")
    if out is not None:
        _refuse_out(out, paths, overwrite)
        lock_folder(out, reporter)
    first, *others = [read_scores(path, reporter.warn) for path in paths]
    classes = _common_classes(paths, [first, *others], reporter)
    inputs = [first, *(_matched(first, other, paths[0], path) for path, other in zip(paths[1:], others, strict=True))]
    names = ("protocol", "aggregate")
    origin = {name: " and ".join(dict.fromkeys(str(scores.attributes[name]) for scores in inputs)) for name in names}
    origin["protocol"] = f"{len(inputs)} networks, {origin['protocol']}"
    skipped, selected = _skipped(inputs), combine_selected(map(_is_selected, inputs))
    if selected:
        reporter.warn(
            "weights of at least one input were chosen on these videos: the accuracy of the mean is optimistic"
        )
    groups = choose_groups(first.paths, group_by, str(first.attributes.get("group_by", "")), reporter)
    attributes = {**origin, "skipped": json.dumps(skipped), "group_by": groups.regex}
    attributes["selected_on_this_list"] = json.dumps(selected)
    fused = Scores(_mean(inputs, shares), first.labels, first.paths, classes, attributes)
    metrics: dict[str, Any] = {**origin, **measure(fused, groups), "num_videos": len(first.labels), "skipped": skipped}
    metrics["selected_on_this_list"] = selected
    metrics["inputs"] = {
        str(path): {"weight": share, **_described(scores)}
        for path, share, scores in zip(paths, shares, inputs, strict=True)
    }
    if sweep:
        metrics["sweep"] = _sweep(inputs)
    if out is not None:
        write_results(out, metrics, fused)
    return metrics


def _refuse_out(out: Path, paths: Sequence[Path], overwrite: bool) -> None:
    if any(path.resolve() == (out / SCORES_FILE).resolve() for path in paths):
        raise UsageError(f"output '{out}' holds one of the files that are fused. Choose another --out")
    refuse_results(out, overwrite)


def _skipped(inputs: Sequence[Scores]) -> list[dict[str, str]]:
    """Videos that a network's evaluation could not read, each once."""
    every = [video for scores in inputs for video in json.loads(scores.attributes.get("skipped", "[]"))]
    return list({video["path"]: video for video in every}.values())


def _described(scores: Scores) -> dict[str, Any]:
    """One network's own accuracies, and where they come from."""
    origin = {name: scores.attributes.get(name, "") for name in ORIGIN}
    return {**accuracies(scores.values, scores.labels), **origin, "selected_on_this_list": _is_selected(scores)}


def _is_selected(scores: Scores) -> bool | None:
    """Whether a network's weights were chosen on the videos it was measured on; none: not known."""
    return {"true": True, "false": False}.get(str(scores.attributes.get("selected_on_this_list")))


def _shares(weights: Sequence[float], number: int) -> list[float]:
    """Weights that add up to 1."""
    if number < 2:
        raise UsageError(f"fusing takes two or more files of scores, not {number}. See: vtdl fuse --help")
    if weights and len(weights) != number:
        raise UsageError(f"--weights are {len(weights)} numbers for {number} files. Give one for each")
    if any(not np.isfinite(weight) or weight < 0 for weight in weights) or (weights and not sum(weights)):
        raise UsageError(f"--weights '{','.join(map(str, weights))}' must not be negative, nor all 0")
    return [weight / sum(weights) for weight in weights] if weights else [1 / number] * number


def _common_classes(paths: Sequence[Path], inputs: Sequence[Scores], reporter: Reporter) -> list[str]:
    """The classes that the columns of all stand for; numbers give way to names.

    Raises:
        UsageError: they are not the same.
    """
    told = [scores.label_set(path) for path, scores in zip(paths, inputs, strict=True)]
    told.sort(key=lambda labels: labels.names is None)  # what all are held against has names, if any has
    for labels in told[1:]:
        if len(labels.occurring) != len(told[0].occurring):
            raise UsageError(
                f"{labels.owner} have {len(labels.occurring)} classes, {told[0].owner} have {len(told[0].occurring)}. "
                "Evaluate networks that were finetuned on lists of one classes.txt"
            )
        if warning := compare_classes(told[0], labels, "Evaluate networks that were finetuned with one classes.txt"):
            reporter.warn(warning)
    return told[0].names or inputs[0].classes


def _matched(first: Scores, other: Scores, first_path: Path, path: Path) -> Scores:
    """`other` in the order of `first`.

    Raises:
        UsageError: it has other videos or labels, or was averaged in another way.
    """
    ours, theirs = _keys(first, other)
    for path_of, keys in ((first_path, ours), (path, theirs)):
        if len(set(keys)) < len(keys):
            raise UsageError(f"scores '{path_of}' have a video twice: which is which? Use a list without repetitions")
    if missing := sorted(set(ours) ^ set(theirs)):
        raise UsageError(
            f"scores '{path}' are of other videos than '{first_path}': {len(missing)} are in one only, "
            f"'{missing[0]}' among them. Evaluate both on one list; what was skipped is in metrics.json"
        )
    aligned = align(other, theirs, ours)
    if (differ := aligned.labels != first.labels).any():
        name = first.paths[int(differ.argmax())]
        raise UsageError(
            f"scores '{path}' have another label for '{name}' than '{first_path}'. Evaluate both on one list"
        )
    kinds = [scores.attributes["aggregate"] for scores in (other, first)]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"scores '{path}' are means of {kinds[0]}, '{first_path}' of {kinds[1]}. Evaluate both with one --aggregate"
        )
    return aligned


def _keys(first: Scores, other: Scores) -> tuple[list[str], list[str]]:
    """What says which video is which: its path; where one stream has files and the other folders, its name alone."""
    if set(first.paths) & set(other.paths):
        return first.paths, other.paths
    return [stem(path) for path in first.paths], [stem(path) for path in other.paths]


def _mean(inputs: Sequence[Scores], shares: Sequence[float]) -> np.ndarray:
    values: np.ndarray = sum(
        share * scores.values.astype(np.float64) for share, scores in zip(shares, inputs, strict=True)
    )  # type: ignore[assignment]
    return values


def _sweep(inputs: Sequence[Scores]) -> dict[str, float]:
    """Top-1 by the second file's share. The best of them was chosen on the test videos: it is no result."""
    return {f"{share:.1f}": accuracies(_mean(inputs, (1 - share, share)), inputs[0].labels)["top1"] for share in SWEEP}
