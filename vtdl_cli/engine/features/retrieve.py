"""Retrieval: are a video's nearest neighbours of its class?

The field's protocol: test videos ask, training videos answer, by cosine of features averaged over ten clips; a query
counts at k where any of its k nearest is of its class.
"""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.retrieval import Shown, draw_retrieval
from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.data.video.decoding import read_middle_frame
from vtdl_cli.engine.features.class_names import class_names
from vtdl_cli.engine.features.pair import read_pair, recorded_in
from vtdl_cli.engine.lists.groups import Groups, choose_groups
from vtdl_cli.errors import UnreadableVideo, UsageError, VtdlError
from vtdl_cli.intervals import share_interval
from vtdl_cli.metrics import nearest, unit
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file

RANKS = (1, 5, 10, 20, 50)
SHOWN = 5  # neighbours in a picture


@dataclass(frozen=True)
class Picture:
    """A picture that is wanted.

    Attributes:
        path: PNG to write.
        root: folder that the videos' paths start from.
        rows: queries to show.
        seed: of their choice.
    """

    path: Path
    root: Path
    rows: int = 6
    seed: int = 0

    def check(self, *, overwrite: bool, sources: Sequence[Path]) -> None:
        """Raise UsageError where it could not be drawn."""
        check_new_file(self.path, "--picture", overwrite=overwrite, sources=sources)
        if not self.root.is_dir():
            raise UsageError(f"--root '{self.root}' is not a folder. Name the folder that the videos' paths start from")


@dataclass(frozen=True)
class Search:
    """What was asked, of which gallery, and `ranked`: int64 (Q, k), rows of the gallery, nearest first."""

    gallery: Features
    queries: Features
    ranked: np.ndarray
    names: dict[int, str]

    def right(self) -> np.ndarray:
        """Bool (Q, k): which neighbours are of the query's class."""
        matches: np.ndarray = self.gallery.labels[self.ranked] == self.queries.labels[:, None]
        return matches

    def similarity(self, row: int, number: int) -> np.ndarray:
        """Cosines (number,) of one query with its nearest."""
        found: np.ndarray = unit(self.gallery.values[self.ranked[row, :number]]) @ unit(self.queries.values[row])
        return found


def retrieve(
    gallery: Path,
    query: Path,
    reporter: Reporter,
    *,
    classes: Path | None = None,
    group_by: str | None = None,
    picture: Picture | None = None,
    per_query: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Look for each video of `query` in `gallery`.

    Args:
        gallery: HDF5 of `vtdl extract`, of the training videos; clips of one video are averaged.
        query: the same, of the test videos.
        classes: names of the classes; none: those in the files, else the folders of the videos.
        group_by: a regex, whose first group names the recording that a query is cut from; none: that of its list.
        picture: of some queries with their neighbours.
        per_query: CSV to write, one query a line.
        overwrite: replace outputs that are there.

    Returns:
        `R@1`, `R@5`, .. in percent, as far as the gallery reaches, their `intervals` (95%, over queries), and what
        these go by.

    Raises:
        UsageError: a file holds no features, the two do not belong together, or an output is in the way.
        VtdlError: a video of the picture cannot be read; nothing has been written.
    """
    began = time.monotonic()
    known, asked = read_pair(gallery, query, reporter)
    if picture is not None:
        picture.check(overwrite=overwrite, sources=[gallery, query])
    if per_query is not None:
        taken = [gallery, query, picture.path] if picture is not None else [gallery, query]
        check_new_file(per_query, "--per-query", overwrite=overwrite, sources=taken)
    ranked = nearest(asked.values, known.values, k=min(max(RANKS), len(known.labels)))
    search = Search(known, asked, ranked, class_names((known, asked), classes))
    _warn(search, reporter)
    groups = choose_groups(asked.paths, group_by, recorded_in(asked), reporter)
    metrics, intervals = recalls(search, groups)
    outputs: dict[str, str] = {}
    if picture is not None:
        draw(search, picture, f"R@1 {metrics['R@1']:.1f}% of {len(asked.labels)} queries", reporter)
        outputs["picture"] = str(picture.path)
    if per_query is not None:
        with atomic_write(per_query) as temporary:
            temporary.write_text(query_table(search), encoding="utf-8")
        outputs["per_query"] = str(per_query)
    return {
        "gallery": str(gallery),
        "query": str(query),
        "num_gallery": len(known.labels),
        "num_query": len(asked.labels),
        "dim": known.values.shape[1],
        "layer": str(known.attributes.get("layer", "")),
        "protocol": _protocol(search),
        **metrics,
        "intervals": intervals,
        **groups.describe(asked.paths),
        **outputs,
        "seconds": round(time.monotonic() - began, 2),
    }


def recalls(search: Search, groups: Groups) -> tuple[dict[str, float], dict[str, list[float]]]:
    """R@k in percent, and its interval, for every k up to the size of the gallery."""
    right = search.right()
    hits = {f"R@{k}": np.any(right[:, :k], axis=1) for k in RANKS if k <= right.shape[1]}
    metrics = {name: 100 * float(hit.mean()) for name, hit in hits.items()}
    keys = groups.keys(search.queries.paths)
    return metrics, {name: share_interval(hit, keys) for name, hit in hits.items()}


def _protocol(search: Search) -> str:
    ours, theirs = (str(side.attributes.get("protocol", "")) for side in (search.gallery, search.queries))
    return f"cosine, {ours}" if ours == theirs else f"cosine, {theirs} queries against {ours}"


def _warn(search: Search, reporter: Reporter) -> None:
    """Say which metrics are left out, and which queries cannot be right."""
    size = len(search.gallery.labels)
    if absent := [f"R@{k}" for k in RANKS if k > size]:
        reporter.warn(f"{', '.join(absent)} left out: gallery '{search.gallery.path}' has {size} videos")
    if hopeless := int(np.isin(search.queries.labels, search.gallery.labels, invert=True).sum()):
        reporter.warn(f"{hopeless} queries are of classes that the gallery lacks: they count as wrong")


def query_table(search: Search) -> str:
    """CSV: each query, the rank of its first right neighbour (none within the ranks: empty), and the nearest one."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "class", "first_right", "nearest", "nearest_class", "cosine"))
    for row, right in enumerate(search.right()):
        best = search.ranked[row, 0]
        first = int(right.argmax()) + 1 if right.any() else ""
        own, other = (
            search.names[int(side.labels[at])] for side, at in ((search.queries, row), (search.gallery, best))
        )
        cosine = f"{search.similarity(row, 1)[0]:.4f}"
        writer.writerow((search.queries.paths[row], own, first, search.gallery.paths[best], other, cosine))
    return table.getvalue()


def draw(search: Search, picture: Picture, metric: str, reporter: Reporter) -> None:
    """Write the picture: middle frames of some queries and of their nearest."""
    chosen = choose_queries(search.right()[:, 0], search.queries.labels, picture.rows, picture.seed)
    num_right = int(search.right()[chosen, 0].sum())
    title = f"Nearest of {len(search.gallery.labels)} gallery videos by cosine: {metric}\n"
    title += f"shown: {num_right} queries with the nearest right, {len(chosen) - num_right} with it wrong"
    with reporter.progress(len(chosen), "frames") as bar:
        rows = []
        for row in chosen:
            rows.append(list(_row(search, row, picture.root)))
            bar.advance()
    with atomic_write(picture.path) as temporary:
        draw_retrieval(rows, title, temporary)


def _row(search: Search, row: int, root: Path) -> Iterator[Shown]:
    """A query, then its neighbours."""
    queries, gallery = search.queries, search.gallery
    yield Shown(middle_frame(queries, row, root), search.names[int(queries.labels[row])])
    number = min(SHOWN, search.ranked.shape[1])
    cosines = search.similarity(row, number)
    for at, right, cosine in zip(search.ranked[row, :number], search.right()[row], cosines, strict=False):
        name = search.names[int(gallery.labels[at])]
        yield Shown(middle_frame(gallery, at, root), name, right=bool(right), similarity=float(cosine))


def middle_frame(features: Features, row: int, root: Path) -> np.ndarray:
    """A video's middle frame (H, W, 3) uint8, decoded as its features were; of flow, x and y in red and green.

    Raises:
        VtdlError: it cannot be read.
    """
    decoder = str(features.attributes.get("decoder", "decord"))
    try:
        return read_middle_frame(root / features.paths[row], decoder)
    except UnreadableVideo as error:
        raise VtdlError(f"{error}. Check --root '{root}', or leave --picture out") from error


def choose_queries(right: np.ndarray, labels: np.ndarray, number: int, seed: int) -> list[int]:
    """Rows of queries to show: rights and wrongs in turn while there are both, of as many classes as can be.

    Args:
        right: bool (Q,).
        labels: (Q,).
        number: of queries to choose; all where there are fewer.
        seed: of the draw.

    Returns:
        Those that are right, then the others.
    """
    order = np.random.default_rng(seed).permutation(len(labels)).tolist()
    taken: list[int] = []
    while len(taken) < min(number, len(order)):
        left = [row for row in order if row not in taken]
        wanted = [row for row in left if right[row] == (len(taken) % 2 == 0)] or left
        seen = labels[taken]
        taken.append(min(wanted, key=lambda row: int((seen == labels[row]).sum())))
    return sorted(taken, key=lambda row: not right[row])
