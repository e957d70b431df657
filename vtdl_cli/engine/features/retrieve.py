"""Retrieval: which videos are nearest to a video, and are they of its class?

The usual protocol: test videos are queries, training videos the gallery, compared by the cosine of features averaged
over ten clips; a query is correct at k where any of its k nearest neighbours is of its class. One file may be both, and
each query is left out of its own gallery. Without classes, the neighbours are all there is to report.
"""

import csv
import io
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.retrieval import RetrievalCell, draw_retrieval
from vtdl_cli.data.hdf5.features import Features, read_features
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.video.decoding import AUTO, read_middle_frame
from vtdl_cli.data.video.timeline import interval_at
from vtdl_cli.engine.features.class_names import name_classes
from vtdl_cli.engine.features.pair import (
    check_same_network,
    find_itself,
    keep_labelled,
    match_pair,
    read_grouping,
    warn_of_intervals,
)
from vtdl_cli.engine.features.video_names import short_names
from vtdl_cli.engine.lists.groups import Groups, choose_groups
from vtdl_cli.errors import UnreadableVideo, UsageError, VtdlError
from vtdl_cli.intervals import share_interval
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.metrics import nearest, unit
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file, write_text
from vtdl_cli.text import counted

RECALL_AT = (1, 5, 10, 20, 50)
"""Values of k."""

NEIGHBOURS_SHOWN = 5  # beside a query in the figure, and in the list of neighbours
NO_NEIGHBOUR = -1


@dataclass(frozen=True)
class FigureRequest:
    """A figure of some queries with their neighbours.

    Attributes:
        path: PNG to write.
        root: folder that the videos' paths start from.
        rows: number of queries.
        seed: of their choice.
    """

    path: Path
    root: Path
    rows: int = 6
    seed: int = 0

    def check(self, *, overwrite: bool, sources: Sequence[Path]) -> None:
        """Raise UsageError where the figure could not be written."""
        check_new_file(self.path, "--figure", overwrite=overwrite, sources=sources, ending=".png")
        if not self.root.is_dir():
            raise UsageError(f"--root '{self.root}' is not a folder. Name the folder that the videos' paths start from")


@dataclass(frozen=True)
class Search:
    """Queries and their neighbours in a gallery.

    Attributes:
        gallery: G videos.
        queries: Q videos.
        ranked: int64 (Q, k), rows of the gallery, nearest first; a query that is in the gallery is not its own
            neighbour, and ends in NO_NEIGHBOUR where others have more.
        names: of the classes.
    """

    gallery: Features
    queries: Features
    ranked: np.ndarray
    names: dict[int, str]

    @property
    def leaves_one_out(self) -> bool:
        """Whether gallery and queries are one file."""
        return self.gallery is self.queries

    @property
    def size(self) -> int:
        """The number of gallery videos that a query is compared with."""
        return len(self.gallery.labels) - self.leaves_one_out

    def correct(self) -> np.ndarray:
        """Return which neighbours are of the query's class, bool (Q, k)."""
        matches: np.ndarray = self.gallery.labels[self.ranked] == self.queries.labels[:, None]
        return matches

    def nearest(self, row: int) -> list[int]:
        """Return the rows of the gallery that are shown for one query."""
        nearest: list[int] = self.ranked[row, :NEIGHBOURS_SHOWN].tolist()
        return [at for at in nearest if at != NO_NEIGHBOUR]

    def similarity(self, row: int, number: int) -> np.ndarray:
        """Return the cosines (number,) of one query with its nearest neighbours."""
        cosines: np.ndarray = unit(self.gallery.values[self.ranked[row, :number]]) @ unit(self.queries.values[row])
        return cosines


@releasing_locks
def retrieve(
    gallery: Path,
    query: Path,
    reporter: Reporter,
    *,
    classes: Path | None = None,
    group_by: str | None = None,
    figure: FigureRequest | None = None,
    per_query: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Search the gallery for each query.

    Where neither or only one file has classes, the neighbours of each query take the place of the metrics.

    Args:
        gallery: HDF5 of `vtdl extract`, of the training videos; clips of one video are averaged.
        query: the same, of the test videos; or the same file, of which each video is searched for among the others.
        reporter: warns, and shows progress.
        classes: classes.txt with the names of the classes; none: those in the files, else the videos' folders.
        group_by: regex whose first group names the recording that a query is cut from; none: that of its list.
        figure: of some queries with their neighbours.
        per_query: CSV to write, one query a line.
        overwrite: replace existing outputs.

    Returns:
        `R@1`, `R@5`, .. in percent, up to the size of the gallery, their `intervals` (95%, over queries), and how the
        queries are grouped. Without classes, `neighbours`: of each query the nearest videos and their cosines.

    Raises:
        UsageError: a file is no feature file or damaged, the two do not belong together, an option needs classes that
            they lack, or an output exists.
        VtdlError: a video of the figure cannot be read; nothing has been written.
    """
    began = time.monotonic()
    gallery_features = read_features(gallery, reporter.warn)
    leaves_one_out = gallery.resolve() == query.resolve()
    query_features = gallery_features if leaves_one_out else read_features(query, reporter.warn)
    without_classes = [each for each in (gallery_features, query_features) if (each.labels == UNKNOWN_CLASS).all()]
    if without_classes:
        _check_without_classes(without_classes[0], {"--classes": classes, "--group-by": group_by})
        check_same_network(gallery_features, query_features)
    elif leaves_one_out:
        gallery_features = query_features = keep_labelled(gallery_features, reporter)
        warn_of_intervals(gallery_features, reporter)
    else:
        gallery_features, query_features = match_pair(gallery_features, query_features, reporter)
    if figure is not None:
        figure.check(overwrite=overwrite, sources=[gallery, query])
    if per_query is not None:
        taken = [gallery, query, figure.path] if figure is not None else [gallery, query]
        check_new_file(per_query, "--per-query", overwrite=overwrite, sources=taken)
    for file in (figure.path if figure is not None else None, per_query):
        if file is not None:
            lock_file(file, reporter)
    names = name_classes((gallery_features, query_features), classes)
    search = Search(gallery_features, query_features, rank_others(gallery_features, query_features), names)
    measured: dict[str, Any]
    if without_classes:
        reporter.warn(
            f"R@k left out: it needs classes, and features '{without_classes[0].path}' have none. "
            "To measure it, extract from lists with classes"
        )
        measured = {"neighbours": list_neighbours(search)}
    else:
        _warn_of_limits(search, reporter)
        groups = choose_groups(query_features.paths, group_by, read_grouping(query_features), reporter)
        metrics, intervals = measure_recall(search, groups)
        measured = {**metrics, "intervals": intervals, **groups.describe(query_features.paths)}
    outputs: dict[str, str] = {}
    if figure is not None:
        draw_neighbours(search, figure, measured.get("R@1"), reporter)
        outputs["picture"] = str(figure.path)
    if per_query is not None:
        write_text(per_query, format_queries(search, has_classes=not without_classes))
        outputs["per_query"] = str(per_query)
    return {
        "gallery": str(gallery),
        "query": str(query),
        "num_gallery": len(gallery_features.labels),
        "num_query": len(query_features.labels),
        "dim": gallery_features.values.shape[1],
        "layer": str(gallery_features.attributes.get("layer", "")),
        "protocol": _describe_protocol(search),
        **_describe_weights("gallery", gallery_features),
        **_describe_weights("query", query_features),
        **measured,
        **outputs,
        "seconds": round(time.monotonic() - began, 2),
    }


def _check_without_classes(features: Features, options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(
                f"{name} '{value}' is for R@k, which needs classes: features '{features.path}' have none. Leave it out"
            )


def rank_others(gallery: Features, queries: Features) -> np.ndarray:
    """Rank the gallery for each query, without the query itself; see `Search.ranked`.

    Raises:
        UsageError: the gallery holds nothing but a query.
    """
    itself = find_itself(gallery, queries)
    size, has_any = len(gallery.labels), bool((itself >= 0).any())
    if size == 1 and has_any:
        raise UsageError(
            f"features '{gallery.path}' hold one video, the query itself: there is no other. Extract a longer list"
        )
    depth = min(max(RECALL_AT), size - bool((itself >= 0).all()))
    ranked = nearest(queries.values, gallery.values, k=min(depth + has_any, size))
    is_itself = ranked == itself[:, None]
    order = np.argsort(is_itself, axis=1, kind="stable")[:, :depth]  # the others first, in their order
    return np.take_along_axis(np.where(is_itself, NO_NEIGHBOUR, ranked), order, 1)


def list_neighbours(search: Search) -> list[dict[str, Any]]:
    """List each query with its nearest videos: `query`, and `nearest` with `path` and `cosine` of each."""
    queries, gallery, found = search.queries.names, search.gallery.names, []
    for row, query in enumerate(queries):
        rows = search.nearest(row)
        pairs = zip(rows, search.similarity(row, len(rows)).tolist(), strict=True)
        found.append({"query": query, "nearest": [{"path": gallery[at], "cosine": round(c, 6)} for at, c in pairs]})
    return found


def measure_recall(search: Search, groups: Groups) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return R@k in percent and its interval, for every k up to the size of the gallery."""
    correct = search.correct()
    hits = {f"R@{k}": np.any(correct[:, :k], axis=1) for k in RECALL_AT if k <= correct.shape[1]}
    metrics = {name: 100 * float(hit.mean()) for name, hit in hits.items()}
    keys = groups.keys(search.queries.paths)
    return metrics, {name: share_interval(hit, keys) for name, hit in hits.items()}


def _describe_weights(side: str, features: Features) -> dict[str, str]:
    names = ("weights", "weights_sha256")
    return {f"{side}_{name}": str(features.attributes.get(name, "")) for name in names}


def _describe_protocol(search: Search) -> str:
    ours, theirs = (str(side.attributes.get("protocol", "")) for side in (search.gallery, search.queries))
    if search.leaves_one_out:
        return f"cosine, {ours}, each query left out of the gallery"
    return f"cosine, {ours}" if ours == theirs else f"cosine, {theirs} queries against {ours}"


def _warn_of_limits(search: Search, reporter: Reporter) -> None:
    """Warn of metrics that are left out, and of queries that cannot be correct."""
    size, gallery = search.size, search.gallery
    if absent := [f"R@{k}" for k in RECALL_AT if k > size]:
        more = " beside the query" if search.leaves_one_out else ""
        reporter.warn(f"{', '.join(absent)} left out: gallery '{gallery.path}' has {counted(size, 'video')}{more}")
    numbers = Counter(gallery.labels.tolist())
    if hopeless := sum(numbers[label] == search.leaves_one_out for label in search.queries.labels.tolist()):
        lacks = "of which the gallery has no other video" if search.leaves_one_out else "that the gallery lacks"
        reporter.warn(
            f"{counted(hopeless, 'query is of a class', 'queries are of classes')} {lacks}, and counted as incorrect"
        )


def format_queries(search: Search, *, has_classes: bool) -> str:
    """Format a CSV: each query and its nearest videos with their cosines, empty where the gallery has too few.

    With classes also these of all, and the rank of the first correct neighbour, empty without any.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    first = ("nearest", "nearest_class", "cosine") if has_classes else ("nearest", "cosine")
    later = [f"{name}_{number}" for number in range(2, NEIGHBOURS_SHOWN + 1) for name in first]
    writer.writerow(("path", *(("class", "first_right") if has_classes else ()), *first, *later))
    correct = search.correct()
    for row, each in enumerate(list_neighbours(search)):
        of_query: list[str | int] = [each["query"]]
        if has_classes:
            right = correct[row]
            of_query += [search.names[int(search.queries.labels[row])], int(right.argmax()) + 1 if right.any() else ""]
        cells = list[str]()
        for at, video in zip(search.nearest(row), each["nearest"], strict=True):
            own = [search.names[int(search.gallery.labels[at])]] if has_classes else []
            cells += [video["path"], *own, f"{video['cosine']:.4f}"]
        writer.writerow((*of_query, *cells, *[""] * (len(first) * NEIGHBOURS_SHOWN - len(cells))))
    return table.getvalue()


def draw_neighbours(search: Search, figure: FigureRequest, recall: float | None, reporter: Reporter) -> None:
    """Write the figure: middle frames of some queries and of their nearest neighbours.

    Args:
        search: what was found.
        figure: what to draw.
        recall: R@1 in percent; none: there are no classes, and files are named in their place.
        reporter: shows progress.
    """
    num_queries = len(search.queries.labels)
    among = counted(search.size, "other video" if search.leaves_one_out else "gallery video")
    title = f"Nearest of {among} by cosine"
    if recall is None:
        chosen = np.random.default_rng(figure.seed).permutation(num_queries)[: figure.rows].tolist()
        if len(chosen) < num_queries:
            title += f"\nshown: {len(chosen)} of {counted(num_queries, 'query')}, chosen at random"
        names = (short_names(search.queries), short_names(search.gallery))
        correct = None
    else:
        correct = search.correct()
        chosen = choose_queries(correct[:, 0], search.queries.labels, figure.rows, figure.seed)
        num_correct = int(correct[chosen, 0].sum())
        title += f": R@1 {recall:.1f}% of {counted(num_queries, 'query')}\nshown: nearest neighbour correct for "
        title += f"{counted(num_correct, 'query')}, incorrect for {len(chosen) - num_correct}"
        own, theirs = ([search.names[int(label)] for label in side.labels] for side in (search.queries, search.gallery))
        names = own, theirs
    with reporter.progress(len(chosen), "frames") as bar:
        rows = []
        for row in chosen:
            rows.append(list(_read_cells(search, row, figure.root, names, correct)))
            bar.advance()
    with atomic_write(figure.path) as temporary:
        draw_retrieval(rows, title, describe_network(search.gallery), temporary)


def describe_network(features: Features) -> str:
    """Return which network features are of, for a figure: `features of r3d depth 10, a.pt, sha256 12345678`."""
    about = {name: str(features.attributes.get(name, "")) for name in ("backbone", "weights", "weights_sha256")}
    sha256 = about["weights_sha256"] and f"sha256 {about['weights_sha256'][:8]}"
    weights = f"weights {about['weights']}" if about["weights"] else ""
    known = ", ".join(filter(None, (about["backbone"], weights, sha256)))
    return f"features of {known}" if known else f"features of {features.path.name}, which names no network"


def _read_cells(
    search: Search, row: int, root: Path, names: tuple[Sequence[str], Sequence[str]], correct: np.ndarray | None
) -> Iterator[RetrievalCell]:
    """Yield a query, then its neighbours."""
    queries, gallery = search.queries, search.gallery
    yield RetrievalCell(read_frame(queries, row, root), names[0][row])
    rows = search.nearest(row)
    for rank, (at, cosine) in enumerate(zip(rows, search.similarity(row, len(rows)).tolist(), strict=True)):
        is_correct = None if correct is None else bool(correct[row, rank])
        yield RetrievalCell(read_frame(gallery, at, root), names[1][at], is_correct, cosine)


def read_frame(features: Features, row: int, root: Path) -> np.ndarray:
    """Read a video's middle frame (H, W, 3) uint8, with the decoder of its features; flow as x in red, y in green.

    Raises:
        VtdlError: it cannot be read.
    """
    decoder = str(features.attributes.get("decoder", AUTO))
    try:
        return read_middle_frame(root / features.paths[row], decoder, interval_at(features.intervals, row))
    except UnreadableVideo as error:
        raise VtdlError(f"{error}. Check --root '{root}', or leave --figure out") from error


def choose_queries(correct: np.ndarray, labels: np.ndarray, number: int, seed: int) -> list[int]:
    """Choose queries to show: correct and incorrect ones in turn, of as many classes as possible.

    Args:
        correct: bool (Q,).
        labels: (Q,).
        number: of queries to choose, at most Q.
        seed: of the draw.

    Returns:
        Rows: correct ones first.
    """
    order = np.random.default_rng(seed).permutation(len(labels)).tolist()
    taken: list[int] = []
    while len(taken) < min(number, len(order)):
        left = [row for row in order if row not in taken]
        wanted = [row for row in left if correct[row] == (len(taken) % 2 == 0)] or left
        seen = labels[taken]
        taken.append(min(wanted, key=lambda row: int((seen == labels[row]).sum())))
    return sorted(taken, key=lambda row: not correct[row])
