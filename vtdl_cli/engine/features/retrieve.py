"""Retrieval: are a video's nearest neighbours of its class?

The usual protocol: test videos are queries, training videos the gallery, compared by the cosine of features averaged
over ten clips; a query is correct at k where any of its k nearest neighbours is of its class.
"""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.retrieval import RetrievalCell, draw_retrieval
from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.data.video.decoding import AUTO, read_middle_frame
from vtdl_cli.data.video.timeline import interval_at
from vtdl_cli.engine.features.class_names import name_classes
from vtdl_cli.engine.features.pair import read_grouping, read_pair
from vtdl_cli.engine.lists.groups import Groups, choose_groups
from vtdl_cli.errors import UnreadableVideo, UsageError, VtdlError
from vtdl_cli.intervals import share_interval
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.metrics import nearest, unit
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file
from vtdl_cli.text import counted

RECALL_AT = (1, 5, 10, 20, 50)
"""Values of k."""

NEIGHBOURS_SHOWN = 5  # beside a query in the figure


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
        ranked: int64 (Q, k), rows of the gallery, nearest first.
        names: of the classes.
    """

    gallery: Features
    queries: Features
    ranked: np.ndarray
    names: dict[int, str]

    def correct(self) -> np.ndarray:
        """Return which neighbours are of the query's class, bool (Q, k)."""
        matches: np.ndarray = self.gallery.labels[self.ranked] == self.queries.labels[:, None]
        return matches

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

    Args:
        gallery: HDF5 of `vtdl extract`, of the training videos; clips of one video are averaged.
        query: the same, of the test videos.
        reporter: warns, and shows progress.
        classes: classes.txt with the names of the classes; none: those in the files, else the videos' folders.
        group_by: regex whose first group names the recording that a query is cut from; none: that of its list.
        figure: of some queries with their neighbours.
        per_query: CSV to write, one query a line.
        overwrite: replace existing outputs.

    Returns:
        `R@1`, `R@5`, .. in percent, up to the size of the gallery, their `intervals` (95%, over queries), and how the
        queries are grouped.

    Raises:
        UsageError: a file is no feature file or damaged, the two do not belong together, or an output exists.
        VtdlError: a video of the figure cannot be read; nothing has been written.
    """
    began = time.monotonic()
    gallery_features, query_features = read_pair(gallery, query, reporter)
    if figure is not None:
        figure.check(overwrite=overwrite, sources=[gallery, query])
    if per_query is not None:
        taken = [gallery, query, figure.path] if figure is not None else [gallery, query]
        check_new_file(per_query, "--per-query", overwrite=overwrite, sources=taken)
    for file in (figure.path if figure is not None else None, per_query):
        if file is not None:
            lock_file(file, reporter)
    depth = min(max(RECALL_AT), len(gallery_features.labels))
    ranked = nearest(query_features.values, gallery_features.values, k=depth)
    search = Search(gallery_features, query_features, ranked, name_classes((gallery_features, query_features), classes))
    _warn_of_limits(search, reporter)
    groups = choose_groups(query_features.paths, group_by, read_grouping(query_features), reporter)
    metrics, intervals = measure_recall(search, groups)
    outputs: dict[str, str] = {}
    if figure is not None:
        draw_neighbours(
            search,
            figure,
            f"R@1 {metrics['R@1']:.1f}% of {counted(len(query_features.labels), 'query')}",
            reporter,
        )
        outputs["picture"] = str(figure.path)
    if per_query is not None:
        with atomic_write(per_query) as temporary:
            temporary.write_text(format_queries(search), encoding="utf-8")
        outputs["per_query"] = str(per_query)
    return {
        "gallery": str(gallery),
        "query": str(query),
        "num_gallery": len(gallery_features.labels),
        "num_query": len(query_features.labels),
        "dim": gallery_features.values.shape[1],
        "layer": str(gallery_features.attributes.get("layer", "")),
        "protocol": _describe_protocol(search),
        **metrics,
        "intervals": intervals,
        **groups.describe(query_features.paths),
        **outputs,
        "seconds": round(time.monotonic() - began, 2),
    }


def measure_recall(search: Search, groups: Groups) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return R@k in percent and its interval, for every k up to the size of the gallery."""
    correct = search.correct()
    hits = {f"R@{k}": np.any(correct[:, :k], axis=1) for k in RECALL_AT if k <= correct.shape[1]}
    metrics = {name: 100 * float(hit.mean()) for name, hit in hits.items()}
    keys = groups.keys(search.queries.paths)
    return metrics, {name: share_interval(hit, keys) for name, hit in hits.items()}


def _describe_protocol(search: Search) -> str:
    ours, theirs = (str(side.attributes.get("protocol", "")) for side in (search.gallery, search.queries))
    return f"cosine, {ours}" if ours == theirs else f"cosine, {theirs} queries against {ours}"


def _warn_of_limits(search: Search, reporter: Reporter) -> None:
    """Warn of metrics that are left out, and of queries that cannot be correct."""
    size = len(search.gallery.labels)
    if absent := [f"R@{k}" for k in RECALL_AT if k > size]:
        reporter.warn(f"{', '.join(absent)} left out: gallery '{search.gallery.path}' has {counted(size, 'video')}")
    if hopeless := int(np.isin(search.queries.labels, search.gallery.labels, invert=True).sum()):
        reporter.warn(
            f"{counted(hopeless, 'query is of a class', 'queries are of classes')} that the gallery lacks, "
            "and counted as incorrect"
        )


def format_queries(search: Search) -> str:
    """Format a CSV: each query, the rank of its first correct neighbour (empty without any), and the nearest one."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "class", "first_right", "nearest", "nearest_class", "cosine"))
    queries, gallery = search.queries.names, search.gallery.names
    for row, correct in enumerate(search.correct()):
        best = search.ranked[row, 0]
        first = int(correct.argmax()) + 1 if correct.any() else ""
        own, other = (
            search.names[int(side.labels[at])] for side, at in ((search.queries, row), (search.gallery, best))
        )
        cosine = f"{search.similarity(row, 1)[0]:.4f}"
        writer.writerow((queries[row], own, first, gallery[best], other, cosine))
    return table.getvalue()


def draw_neighbours(search: Search, figure: FigureRequest, metric: str, reporter: Reporter) -> None:
    """Write the figure: middle frames of some queries and of their nearest neighbours."""
    chosen = choose_queries(search.correct()[:, 0], search.queries.labels, figure.rows, figure.seed)
    num_correct = int(search.correct()[chosen, 0].sum())
    title = f"Nearest of {counted(len(search.gallery.labels), 'gallery video')} by cosine: {metric}\n"
    title += (
        f"shown: nearest neighbour correct for {counted(num_correct, 'query')}, incorrect "
        f"for {len(chosen) - num_correct}"
    )
    with reporter.progress(len(chosen), "frames") as bar:
        rows = []
        for row in chosen:
            rows.append(list(_read_cells(search, row, figure.root)))
            bar.advance()
    with atomic_write(figure.path) as temporary:
        draw_retrieval(rows, title, temporary)


def _read_cells(search: Search, row: int, root: Path) -> Iterator[RetrievalCell]:
    """Yield a query, then its neighbours."""
    queries, gallery = search.queries, search.gallery
    yield RetrievalCell(read_frame(queries, row, root), search.names[int(queries.labels[row])])
    number = min(NEIGHBOURS_SHOWN, search.ranked.shape[1])
    cosines = search.similarity(row, number)
    for at, correct, cosine in zip(search.ranked[row, :number], search.correct()[row], cosines, strict=False):
        name = search.names[int(gallery.labels[at])]
        yield RetrievalCell(read_frame(gallery, at, root), name, correct=bool(correct), similarity=float(cosine))


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
