"""Check an existing list: how it is read, which of its videos are missing, and which options would find them."""

import shlex
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from vtdl_cli.data.lists.label_sets import counting_warning
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.decoding import AUTO, FLOW
from vtdl_cli.data.video.disk import stem
from vtdl_cli.data.video.folder_scan import scan_folder
from vtdl_cli.data.video.probe import VideoFacts
from vtdl_cli.data.video.timeline import Interval, why_outside
from vtdl_cli.engine.lists.audit import describe_rates, min_median_max
from vtdl_cli.engine.lists.labels import describe_left_out
from vtdl_cli.engine.lists.parts import describe_contradictions, find_contradictions
from vtdl_cli.engine.lists.survey import survey
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted

MOST_VOTES = 1000  # missing videos whose paths are compared with those on the disk
MOST_TRIED = 3  # options with which the list is read again, to count what they find


def check_list(
    source: ListSource, reporter: Reporter, *, open_videos: bool = False, decoder: str = AUTO, workers: int | None
) -> dict[str, Any]:
    """Report how a list is read, which of its videos are missing, and which options would find them.

    Args:
        source: the list, folder of videos, or video; missing videos are also searched for below its root (None: the
            list's own folder).
        reporter: for progress, and a warning if the list seems to count classes from 1, or frame rates differ.
        open_videos: open the videos that exist, and count their frames.
        decoder: what opens them.
        workers: processes that open them.

    Returns:
        The report; `proposal`, options that would find more videos and how many, or None; `problems`, a line each.

    Raises:
        ListError: the list cannot be read.
    """
    parsed = source.parse_parts(flow=decoder == FLOW)
    videos = parsed.videos
    names = [videos.name(index) for index in range(len(videos))]
    present = np.array([videos.exists(index) for index in range(len(videos))])
    missing = np.flatnonzero(~present)
    contradictions = find_contradictions(videos, range(len(videos)))
    report: dict[str, Any] = {
        "list": str(source.path),
        "columns": videos.columns,
        "videos": len(videos),
        "parts": dict(Counter(parsed.sides)) if parsed.sides else None,
        "classes": _describe_classes(videos),
        "listed_frames": min_median_max(videos.frames.tolist()) if videos.frames.any() else None,
        "root": str(videos.root),
        "present": int(present.sum()),
        "missing": [names[index] for index in missing],
        "repeated": [name for name, times in Counter(map(videos.sample_name, range(len(videos)))).items() if times > 1],
        "contradictory": [videos.sample_name(rows[0]) for rows in contradictions],
        "intervals": 0 if videos.intervals is None else int((~np.isnan(videos.intervals[:, 0])).sum()),
        "proposal": _try_to_propose(source, present, decoder) if len(missing) else None,
    }
    if warning := describe_left_out(videos):
        reporter.warn(warning)
    if warning := counting_warning(videos.label_set):
        reporter.warn(warning)
    if open_videos and present.any():
        report |= _open(videos, np.flatnonzero(present).tolist(), names, decoder, workers, reporter)
        if warning := describe_rates(report["frame_rates"]):
            reporter.warn(warning)
    contradictory = [describe_contradictions(videos, contradictions)] if contradictions else []
    return {**report, "problems": _problems(report) + contradictory}


def _describe_classes(videos: VideoList) -> dict[str, Any]:
    is_known = videos.labels != UNKNOWN_CLASS
    without = {"unlabelled_videos": int((~is_known).sum())}
    if not is_known.any():
        return without
    labels, counts = np.unique(videos.labels[is_known], return_counts=True)
    return {
        **without,
        "named": len(videos.classes) if videos.classes else None,
        "highest": int(labels[-1]),
        "without_videos": int(labels[-1]) + 1 - len(labels),
        "seem_to_count_from_one": videos.label_set.seems_to_count_from_one,
        "fewest_videos": int(counts.min()),
        "most_videos": int(counts.max()),
    }


def _open(
    videos: VideoList, present: list[int], names: list[str], decoder: str, workers: int | None, reporter: Reporter
) -> dict[str, Any]:
    """Open each video that exists once; compare frame counts with the listed ones, and durations with intervals."""
    files = list(dict.fromkeys(names[index] for index in present))
    found = survey(videos.root, files, decoder=decoder, workers=workers, reporter=reporter)
    facts_of = {files[position]: facts for position, facts in found.facts.items()}
    readable = [(index, facts_of[names[index]]) for index in present if names[index] in facts_of]
    whole = [(index, facts) for index, facts in readable if videos.interval(index) is None]
    rates = [facts.frame_rate for facts in facts_of.values() if facts.frame_rate]
    return {
        "frame_rates": min_median_max(rates) if rates else None,
        "unreadable": [{"path": files[position], "reason": reason} for position, reason in found.reasons.items()],
        "other_frames": [
            {"path": names[index], "listed": int(videos.frames[index]), "counted": facts.num_frames}
            for index, facts in whole
            if videos.frames[index] not in (0, facts.num_frames)
        ],
        "misplaced_intervals": [
            {"path": videos.sample_name(index), "line": videos.line(index), "reason": reason}
            for index, facts in readable
            if (reason := _why_misplaced(videos.interval(index), facts))
        ],
    }


def _why_misplaced(interval: Interval | None, facts: VideoFacts) -> str:
    """Return why a video has no such interval; empty if it has."""
    if interval is None:
        return ""
    if not facts.frame_rate:
        return "its frame rate is unknown, which an interval in seconds needs"
    return why_outside(interval, facts.num_frames / facts.frame_rate, 1 / facts.frame_rate)


def _problems(report: dict[str, Any]) -> list[str]:
    problems = []
    if missing := report["missing"]:
        is_missing = "is missing:" if len(missing) == 1 else "are missing, starting with"
        what = f"{len(missing)} of {counted(report['videos'], 'video')} {is_missing} '{missing[0]}'"
        not_found = f"no video with such a name is below '{report['root']}'. Name their folder, as in --root videos"
        problems.append(f"{what}: {report['proposal'] or not_found}")
    if repeated := report["repeated"]:
        problems.append(
            f"{counted(len(repeated), 'video is listed', 'videos are listed')} more than once; the first is "
            f"'{repeated[0]}'"
        )
    if unreadable := report.get("unreadable"):
        first = f"'{unreadable[0]['path']}': {unreadable[0]['reason']}"
        problems.append(f"{counted(len(unreadable), 'video')} cannot be read; the first is {first}")
    if misplaced := report.get("misplaced_intervals"):
        first = f"'{misplaced[0]['path']}' in line {misplaced[0]['line']}: {misplaced[0]['reason']}"
        what = counted(len(misplaced), "interval is not in its video", "intervals are not in their videos")
        problems.append(f"{what}; the first is {first}")
    return problems


def _try_to_propose(source: ListSource, present: np.ndarray, decoder: str) -> str | None:
    try:
        return propose(source, present, flow=decoder == FLOW)
    except UsageError as error:  # a folder beside the list that may not be entered: no error in the list
        return f"its folder could not be searched for them: {error}"


def propose(source: ListSource, present: np.ndarray, *, flow: bool = False) -> str | None:
    """Propose options that would find missing videos, from files with their names below the list's root.

    Args:
        source: the list and the options that it was read with.
        present: whether each of its videos exists.
        flow: look for folders of optical flow.

    Returns:
        How many options would find and what to type, or else what the disk has; None if it has no such file.
    """
    videos = replace(source, strip_prefix="").parse_parts(flow=flow).videos  # options apply to paths as they are listed
    places: dict[str, list[str]] = {}
    for name in scan_folder(videos.root, flow=flow).videos:
        places.setdefault(stem(name), []).append(name)
    votes: Counter[tuple[str, str]] = Counter()
    renamed: Counter[tuple[str, str]] = Counter()  # the same video under another suffix
    elsewhere: Counter[tuple[str, str]] = Counter()
    missing = np.flatnonzero(~present)
    for index in missing[:: max(1, len(missing) // MOST_VOTES)]:
        listed = videos.name(int(index)).split("/")
        for place in places.get(stem(listed[-1]), []):
            found = place.split("/")
            if same := _count_common_end(listed, found):
                prefix = "/".join(listed[:-same]) or ("/" if listed[:-same] else "")
                votes[prefix, "/".join(found[:-same])] += 1
                elsewhere[videos.name(int(index)), place] += 1
            else:
                renamed[listed[-1], place] += 1
    tried = [
        replace(source, root=videos.root / folder, strip_prefix=prefix)
        for (prefix, folder), _ in votes.most_common(MOST_TRIED)
    ]
    numbers = [_count_present(each, flow=flow) for each in tried]
    if tried and (most := max(numbers)) > present.sum():
        every = f"all {most}" if most == len(videos) else f"{most} of {len(videos)}"
        return f"to find {every}, try {_options(tried[numbers.index(most)])}"
    if renamed:
        (name, place), _ = renamed.most_common(1)[0]
        remedy = "Make lists of the videos on the disk: vtdl prepare-lists folder --root videos --out lists"
        return f"the disk has '{place}' for '{name}'. {remedy}"
    if elsewhere:
        (name, place), _ = elsewhere.most_common(1)[0]
        return f"the disk has '{place}' for '{name}', and no options find more videos. Correct the paths in the list"
    return None


def _count_present(source: ListSource, *, flow: bool) -> int:
    """Count the videos that a list has on the disk with these options; 0 if it is refused."""
    try:
        videos = source.parse_parts(flow=flow).videos
    except VtdlError:
        return 0
    return sum(videos.exists(index) for index in range(len(videos)))


def _count_common_end(ours: list[str], theirs: list[str]) -> int:
    """Count the parts that two paths have in common at their ends."""
    same = 0
    while same < min(len(ours), len(theirs)) and ours[-1 - same] == theirs[-1 - same]:
        same += 1
    return same


def _options(source: ListSource) -> str:
    strip = ["--strip-prefix", source.strip_prefix] if source.strip_prefix else []
    return shlex.join([*strip, "--root", str(source.root)])
