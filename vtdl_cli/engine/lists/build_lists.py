"""Build lists from candidate videos: open each once, drop unreadable ones, split, and write lists with an audit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.splits import SIDES, TRAIN, VAL, draw_fraction, draw_per_class
from vtdl_cli.data.video.decoding import AUTO, FLOW, check_decoder
from vtdl_cli.engine.lists.audit import (
    ListedVideo,
    Sides,
    audit_warnings,
    describe_videos,
    escape_non_utf8,
    find_key_of_copies,
)
from vtdl_cli.engine.lists.outputs import list_files, write_outputs
from vtdl_cli.engine.lists.recordings import find_recordings_on_several
from vtdl_cli.engine.lists.survey import Survey, SurveyCache, survey
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.runtime import Reporter

CACHE_FILE = ".survey.jsonl"


@dataclass(frozen=True)
class PrepareOptions:
    """Options common to all sources of lists.

    Attributes:
        out: the folder to write to, created if missing.
        reporter: for progress, and a warning for everything in the audit that needs attention.
        per_class: videos of each class to keep in the training list, drawn at random; other lists are not reduced.
        fraction: or the fraction of each class to keep.
        seed: seed of all draws.
        decoder: what opens the videos, see `data.video.decoding`.
        verify: decode each video completely.
        min_frames: leave out videos with fewer frames.
        workers: processes that open videos; 0: none but this one, None: one for each core, at most 8.
        overwrite: replace the files of an earlier run.

    Raises:
        UsageError: `per_class` and `fraction` exclude each other, `fraction` is out of range, or `decoder` is
            unknown.
    """

    out: Path
    reporter: Reporter
    per_class: int | None = None
    fraction: float | None = None
    seed: int = 0
    decoder: str = AUTO
    verify: bool = False
    min_frames: int = 1
    workers: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.per_class is not None and self.fraction is not None:
            raise UsageError("--per-class and --fraction exclude each other. Choose one")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise UsageError(f"--fraction '{self.fraction}' is not a share of the videos. Try 0.1")
        check_decoder(self.decoder)


@dataclass(frozen=True)
class Candidates:
    """The N videos that lists could be built from, before any is opened.

    Attributes:
        dataset: its name, for the audit.
        root: the folder that names are relative to.
        classes: class names, in the order of their numbers; empty for unlabelled videos.
        names: paths [N].
        labels: int64 [N]; -1 for unlabelled videos.
        assign_sides: from the indices [K] of the readable videos to their sides, str [K].
        options: the options of this dataset, for the audit.
        split: number of the official split.
        groups: the key of each video's recording, if known.
        sides: those of `SIDES` that get a list.
        ignored: paths that hold no video.
        findings: further entries of the audit.
        warnings: warnings about these.
        redraw: options that draw lists in place of those that folders stand for, see `classes.FoundVideos`.
    """

    dataset: str
    root: Path
    classes: list[str]
    names: list[str]
    labels: NDArray[np.int64]
    assign_sides: Callable[[NDArray[np.intp]], NDArray[np.str_]]
    options: dict[str, Any]
    split: int = 1
    groups: list[str] | None = None
    sides: tuple[str, ...] = (TRAIN, VAL)
    ignored: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    redraw: str | None = ""


def build_lists(candidates: Candidates, options: PrepareOptions) -> dict[str, Any]:
    """Open all candidates, split the readable ones, write the outputs, and return the audit.

    Raises:
        ListError: no video can be read.
        Interrupted: by a signal; the findings so far are kept.
        VtdlError: an output cannot be written.
    """
    cache = SurveyCache(options.out / CACHE_FILE, f"{options.decoder} {options.verify}")
    try:
        audit = _build(candidates, options, cache)
    except (UsageError, ListError):  # a refused command leaves nothing behind but the findings of an interrupted run
        cache.remove(new_only=True)
        raise
    cache.remove()
    for warning in audit["warnings"]:
        options.reporter.warn(warning)
    return audit


def _build(candidates: Candidates, options: PrepareOptions, cache: SurveyCache) -> dict[str, Any]:
    found = _survey(candidates, options, cache)
    side_of = candidates.assign_sides(found.readable)
    listed = (side_of != TRAIN) | _draw_training(candidates.labels[found.readable], side_of == TRAIN, options)
    chosen = list(zip(found.readable[listed].tolist(), side_of[listed].tolist(), strict=True))
    sides: Sides = {side: [] for side in candidates.sides}
    for index, side in chosen:
        video = ListedVideo(candidates.names[index], int(candidates.labels[index]), found.facts[index])
        sides[side].append(video)
    groups = _sides_of_groups([(candidates.groups[index], side) for index, side in chosen]) if candidates.groups else {}
    audit = {
        **_describe_options(candidates, options),
        **describe_videos(sides, candidates.classes, candidates.root),
        "left_out": int((~listed).sum()),
        "groups": {group: " and ".join(on) for group, on in groups.items()} if _splits_by_group(candidates) else None,
        "groups_on_both_sides": [group for group, on in groups.items() if len(on) > 1],
        "recordings_on_both_sides": [] if candidates.groups else _suspect_recordings(sides),
        "rejected": [
            {"path": escape_non_utf8(candidates.names[index]), "reason": escape_non_utf8(reason)}
            for index, reason in found.reasons.items()
        ],
        "ignored": [escape_non_utf8(name) for name in candidates.ignored],
        **candidates.findings,
    }
    files = list_files(candidates.split)
    regex = find_key_of_copies(candidates.names, candidates.labels, audit["on_both_sides"])
    audit["warnings"] = candidates.warnings + audit_warnings(audit, files, candidates.redraw, regex)
    write_outputs(options.out, files, candidates.classes, sides, audit)
    return audit


def _survey(candidates: Candidates, options: PrepareOptions, cache: SurveyCache) -> Survey:
    found = survey(
        candidates.root,
        candidates.names,
        decoder=options.decoder,
        workers=options.workers,
        reporter=options.reporter,
        verify=options.verify,
        min_frames=options.min_frames,
        cache=cache,
    )
    if not found.facts:
        first = f"'{candidates.names[0]}': {found.reasons[0]}"
        remedy = "" if options.decoder in (AUTO, FLOW) else ". Try --decoder auto"
        raise ListError(f"--root '{candidates.root}' has no readable video: {first}{remedy}")
    return found


def _suspect_recordings(sides: Sides) -> list[str]:
    names = {side: [video.name for video in listed] for side, listed in sides.items()}
    return find_recordings_on_several(names, len({video.label for listed in sides.values() for video in listed}))


def _describe_options(candidates: Candidates, options: PrepareOptions) -> dict[str, Any]:
    shared = ("per_class", "fraction", "seed", "decoder", "verify", "min_frames")
    return {
        "dataset": candidates.dataset,
        "root": escape_non_utf8(str(candidates.root)),
        "options": {**candidates.options, **{name: getattr(options, name) for name in shared}},
    }


def _splits_by_group(candidates: Candidates) -> bool:
    return bool(candidates.options.get("group_by"))


def _draw_training(
    labels: NDArray[np.int64], is_train: NDArray[np.bool_], options: PrepareOptions
) -> NDArray[np.bool_]:
    """Return which videos [N] the training list keeps."""
    kept = is_train.copy()
    if options.per_class is not None:
        kept[is_train] = draw_per_class(labels[is_train], options.per_class, options.seed)
    elif options.fraction is not None:
        kept[is_train] = draw_fraction(labels[is_train], options.fraction, options.seed)
    return kept


def _sides_of_groups(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the sides on which each group has videos, from (group, side) of each video."""
    found = set(pairs)
    return {group: [side for side in SIDES if (group, side) in found] for group in sorted({name for name, _ in found})}
