"""Late fusion: the scores of several networks on the same videos, as a weighted mean."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.scores import Scores, align, read_scores
from vtdl_cli.data.lists.label_sets import compare_classes
from vtdl_cli.data.video.disk import stem
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.engine.evaluate.results import (
    SCORES_FILE,
    SCORES_ORIGIN,
    measure_accuracies,
    refuse_results,
    write_results,
)
from vtdl_cli.engine.lists.groups import choose_groups
from vtdl_cli.engine.networks.selection import combine_selected
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.metrics import accuracies
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted

SWEEP = np.linspace(0, 1, 11)  # weights of the second file


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
        reporter: warns.
        weights: one for each file; none: equal ones.
        sweep: of two files, also the top-1 for each weight of the second.
        group_by: regex whose first group names the recording that a video is cut from; none: that of the first file.
        out: results folder; none: nothing is written.
        overwrite: replace results in it.

    Returns:
        Content of metrics.json: the accuracies of the mean, and under `inputs` those of each file.

    Raises:
        UsageError: the files do not belong together, or the weights do not fit them.
    """
    shares = _normalise(weights, len(paths))
    if sweep and len(paths) != 2:
        raise UsageError(f"--sweep takes two files, not {len(paths)}. Leave it out, or give --weights")
    if out is not None:
        _refuse_out(out, paths, overwrite)
        lock_folder(out, reporter)
    first, *others = [read_scores(path, reporter.warn) for path in paths]
    classes = _common_classes(paths, [first, *others], reporter)
    inputs = [first, *(_match(first, other, paths[0], path) for path, other in zip(paths[1:], others, strict=True))]
    names = ("protocol", "aggregate")
    origin = {name: " and ".join(dict.fromkeys(str(scores.attributes[name]) for scores in inputs)) for name in names}
    origin["protocol"] = f"{len(inputs)} networks, {origin['protocol']}"
    skipped, selected = _join_skipped(inputs), combine_selected(map(_is_selected, inputs))
    if selected:
        reporter.warn(
            "weights of at least one input were chosen on these videos: the accuracy of the mean is optimistic"
        )
    groups = choose_groups(first.paths, group_by, str(first.attributes.get("group_by", "")), reporter)
    attributes = {**origin, "skipped": json.dumps(skipped), "group_by": groups.regex}
    attributes["selected_on_this_list"] = json.dumps(selected)
    fused = Scores(_weighted_mean(inputs, shares), first.labels, first.paths, classes, attributes, first.intervals)
    metrics: dict[str, Any] = {**origin, **measure_accuracies(fused, groups)}
    metrics |= {"num_videos": len(first.labels), "skipped": skipped, "selected_on_this_list": selected}
    metrics["inputs"] = {
        str(path): {"weight": share, **_describe_input(scores)}
        for path, share, scores in zip(paths, shares, inputs, strict=True)
    }
    if sweep:
        metrics["sweep"] = _sweep_weights(inputs)
    if out is not None:
        write_results(out, metrics, fused)
    return metrics


def _refuse_out(out: Path, paths: Sequence[Path], overwrite: bool) -> None:
    if any(path.resolve() == (out / SCORES_FILE).resolve() for path in paths):
        raise UsageError(f"output '{out}' holds one of the files to fuse. Choose another --out")
    refuse_results(out, overwrite)


def _join_skipped(inputs: Sequence[Scores]) -> list[dict[str, str]]:
    """Return the videos that an evaluation could not read, each once."""
    every = [video for scores in inputs for video in json.loads(scores.attributes.get("skipped", "[]"))]
    return list({video["path"]: video for video in every}.values())


def _describe_input(scores: Scores) -> dict[str, Any]:
    """Return one network's own accuracies and their provenance."""
    origin = {name: scores.attributes.get(name, "") for name in SCORES_ORIGIN}
    return {**accuracies(scores.values, scores.labels), **origin, "selected_on_this_list": _is_selected(scores)}


def _is_selected(scores: Scores) -> bool | None:
    """Return whether a network's weights were chosen on the videos it was measured on; none: unknown."""
    return {"true": True, "false": False}.get(str(scores.attributes.get("selected_on_this_list")))


def _normalise(weights: Sequence[float], number: int) -> list[float]:
    """Return weights that add up to 1."""
    if number < 2:
        raise UsageError(f"fusion takes two or more files of scores, not {number}. See: vtdl fuse --help")
    if weights and len(weights) != number:
        raise UsageError(
            f"--weights has {counted(len(weights), 'number')} for {counted(number, 'file')}. Give one for each"
        )
    if any(not np.isfinite(weight) or weight < 0 for weight in weights) or (weights and not sum(weights)):
        raise UsageError(f"--weights '{','.join(map(str, weights))}' must be finite, not negative, and not all 0")
    return [weight / sum(weights) for weight in weights] if weights else [1 / number] * number


def _common_classes(paths: Sequence[Path], inputs: Sequence[Scores], reporter: Reporter) -> list[str]:
    """Return the classes of the columns in all files; names take the place of numbers.

    Raises:
        UsageError: they are not the same.
    """
    remedy = "Evaluate networks that were finetuned with the same classes.txt"
    sets = [scores.label_set(path) for path, scores in zip(paths, inputs, strict=True)]
    sets.sort(key=lambda labels: labels.names is None)  # one with names first, as the reference
    for labels in sets[1:]:
        if len(labels.occurring) != len(sets[0].occurring):
            raise UsageError(
                f"{labels.owner} have {counted(len(labels.occurring), 'class')}, {sets[0].owner} "
                f"have {len(sets[0].occurring)}. "
                f"{remedy}"
            )
        if warning := compare_classes(sets[0], labels, remedy):
            reporter.warn(warning)
    return sets[0].names or inputs[0].classes


def _match(first: Scores, other: Scores, first_path: Path, path: Path) -> Scores:
    """Return `other` in the order of `first`.

    Raises:
        UsageError: it has other videos, other labels or another aggregate.
    """
    ours, theirs = _identify_videos(first, other)
    for path_of, keys in ((first_path, ours), (path, theirs)):
        if len(set(keys)) < len(keys):
            raise UsageError(f"scores '{path_of}' have a video twice. Evaluate a list without duplicates")
    if missing := sorted(set(ours) ^ set(theirs)):
        raise UsageError(
            f"scores '{path}' and '{first_path}' are of different videos: {len(missing)} are in only one of them, the "
            f"first is '{missing[0]}'. Evaluate both on one list; metrics.json names skipped videos"
        )
    aligned = align(other, theirs, ours)
    if (differ := aligned.labels != first.labels).any():
        name = first.names[int(differ.argmax())]
        raise UsageError(
            f"scores '{path}' and '{first_path}' have different labels for '{name}'. Evaluate both on one list"
        )
    kinds = [scores.attributes["aggregate"] for scores in (other, first)]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"scores '{path}' are means of {kinds[0]}, '{first_path}' of {kinds[1]}. Evaluate both with the same "
            "--aggregate"
        )
    return aligned


def _identify_videos(first: Scores, other: Scores) -> tuple[list[str], list[str]]:
    """Return the keys to match videos by: paths, or bare names where one stream has files and the other folders."""
    if set(first.paths) & set(other.paths):
        return first.names, other.names
    ours, theirs = (name_samples([stem(path) for path in each.paths], each.intervals) for each in (first, other))
    return ours, theirs


def _weighted_mean(inputs: Sequence[Scores], shares: Sequence[float]) -> np.ndarray:
    values: np.ndarray = sum(
        share * scores.values.astype(np.float64) for share, scores in zip(shares, inputs, strict=True)
    )  # type: ignore[assignment]
    return values


def _sweep_weights(inputs: Sequence[Scores]) -> dict[str, float]:
    """Return the top-1 for each weight of the second file. The best one is chosen on the test videos: not a result."""
    means = {f"{share:.1f}": _weighted_mean(inputs, (1 - share, share)) for share in SWEEP}
    return {share: accuracies(mean, inputs[0].labels)["top1"] for share, mean in means.items()}
