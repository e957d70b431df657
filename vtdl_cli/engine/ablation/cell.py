"""One cell of an ablation: one row with one seed, from pretraining to accuracies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.data.lists.label_sets import compare_classes
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.same_videos import find_shared, fingerprints
from vtdl_cli.data.lists.splits import draw_per_class
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.ablation.part import Part, Results
from vtdl_cli.engine.ablation.rows import Row
from vtdl_cli.engine.features.probe import probe
from vtdl_cli.engine.lists.convert_outputs import write_lists
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.stages import extract_lists, measure_top1, training_seconds
from vtdl_cli.engine.train.finetune import finetune
from vtdl_cli.engine.train.pretrain import pretrain
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.runtime import Reporter, SilentReporter
from vtdl_cli.settings import build_config

ACCURACIES = {
    "knn@1": "kNN, k = 1",
    "linear_top1": "linear probe",
    "few_shot_linear_top1": "few-shot linear probe",
    "finetuned_top1": "finetuned",
    "few_shot_finetuned_top1": "few-shot finetuned",
}
"""The metrics that rows are compared in, top-1 in percent, and their titles; others are only kept."""


@dataclass(frozen=True)
class Measures:
    """What is measured of every network.

    Attributes:
        per_class: labelled videos of each class in a few-shot draw.
        draws: of labels for the few-shot probe, whose accuracies are averaged.
        finetune: also finetune on all labels.
        finetune_draws: also finetune on so many of the draws.
    """

    per_class: int = 2
    draws: int = 20
    finetune: bool = False
    finetune_draws: int = 0

    def __post_init__(self) -> None:
        if self.finetune_draws > self.draws:
            raise UsageError(f"--finetune-draws '{self.finetune_draws}' exceeds --draws {self.draws}. Use at most that")

    @property
    def metrics(self) -> list[str]:
        """The names of ACCURACIES that this gives."""
        absent = {"finetuned_top1": not self.finetune, "few_shot_finetuned_top1": not self.finetune_draws}
        return [name for name in ACCURACIES if not absent.get(name)]

    @property
    def finetunes(self) -> bool:
        """Whether anything is finetuned."""
        return self.finetune or self.finetune_draws > 0


@dataclass(frozen=True)
class Videos:
    """The lists of one seed, the same for all rows."""

    train_source: ListSource
    test_source: ListSource
    train: VideoList
    test: VideoList


@dataclass(frozen=True)
class Cell:
    """One row with one seed; its folder holds the runs and features.

    Attributes:
        row: the row.
        config: its configuration.
        videos: those of its seed.
        folder: of this cell.
        draws_folder: for the lists of drawn labels, which the rows of a seed share.
        measures: what to measure.
        execution: the seed, and how to run; resumes.
        reporter: of the stages.
    """

    row: Row
    config: Config
    videos: Videos
    folder: Path
    draws_folder: Path
    measures: Measures
    execution: Execution
    reporter: Reporter

    @property
    def pretraining(self) -> Path:
        """The run folder of its pretraining."""
        return self.folder / "pretraining"

    @property
    def weights(self) -> str | None:
        """What is measured; none: random weights."""
        return str(self.pretraining) if self.row.pretrains else None

    def parts(self) -> Iterator[Part]:
        """Yield the parts, in order."""
        measures, first_draw = self.measures, self.execution.seed * self.measures.draws
        train = {"train_list_sha256": self.videos.train.sha256}
        lists = {**train, "val_list_sha256": self.videos.test.sha256}
        shots = {**lists, "per_class": measures.per_class, "draws": measures.draws}
        if self.row.pretrains:
            settings = {**train, "equal_time_as": self.row.as_long_as}
            yield self._part("pretraining", ("data", "model", "method", "pretrain"), settings, self._pretrain)
        yield self._part("probes", ("data", "model", "extract"), shots, partial(self._probe, first_draw))
        sections = ("data", "model", "finetune", "evaluate")
        if measures.finetune:
            yield self._part("finetuning", sections, lists, self._finetune_on_all)
        for draw in range(measures.finetune_draws):
            compute = partial(self._finetune_on_draw, draw, first_draw + draw)
            yield self._part(f"finetuning-draw-{draw}", sections, shots, compute)

    def _part(
        self, name: str, sections: tuple[str, ...], settings: dict[str, Any], compute: Callable[[], Results]
    ) -> Part:
        return Part(name, self.folder / f"{name}.json", self.config, sections, settings, compute)

    def results(self) -> Results | None:
        """Return all results, averaged over parts that have the same; none unless all parts are done."""
        done = [part.results() for part in self.parts()]
        if None in done:
            return None
        found = [each for each in done if each is not None]
        names = dict.fromkeys(name for each in found for name in each)
        return {name: float(np.mean([each[name] for each in found if name in each])) for name in names}

    def check_runs(self) -> dict[str, Any]:
        """Check everything that the runs of this cell need, and return the plan of its pretraining, empty without one.

        Raises:
            UsageError, ListError: something does not fit.
        """
        dry = replace(self.execution, dry_run=True)
        if self.measures.finetunes:
            finetune(
                self._finetuning, self.videos.train_source, None, self.folder / "finetuning", dry, SilentReporter()
            )
        if not self.row.pretrains:
            return {}
        return pretrain(self.config, self.videos.train_source, self.pretraining, dry, self.reporter)

    def _pretrain(self) -> Results:
        pretrain(self.config, self.videos.train_source, self.pretraining, self.execution, self.reporter)
        last = next(reversed(RunFolder(self.pretraining, resume=True, overwrite=False).rows()), {})
        return {
            **{name: last[name] for name in ("loss",) if name in last},
            "pretraining_epochs": float(self.config.pretrain.epochs),
            "pretraining_seconds": training_seconds(self.pretraining),
        }

    def _probe(self, first_draw: int) -> Results:
        """Measure frozen features by kNN and linear classifiers, with all labels and with draws of a few."""
        train, test = files = self.folder / "features" / "train.h5", self.folder / "features" / "val.h5"
        lists = (self.videos.train_source, self.videos.test_source)
        extract_lists(self.weights, self.config, lists, files, self.execution, self.reporter)
        measures = self.measures
        found = probe(
            train, test, self.reporter, per_class=[measures.per_class], repeats=measures.draws, seed=first_draw
        )
        names = ("knn@1", "linear_top1")
        few = found["per_class"][str(measures.per_class)]
        return {name: found[name] for name in names} | {f"few_shot_{name}": few[name]["mean"] for name in names}

    def _finetune_on_all(self) -> Results:
        return {"finetuned_top1": self._finetune("finetuning", self.videos.train_source)}

    def _finetune_on_draw(self, draw: int, seed: int) -> Results:
        name = f"finetuning-draw-{draw}"
        return {"few_shot_finetuned_top1": self._finetune(name, self._draw_labels(seed))}

    def _finetune(self, name: str, labelled: ListSource) -> float:
        """Finetune on a list, and return the top-1 of the last epoch by the preset's protocol."""
        run = self.folder / name
        finetune(self._finetuning, labelled, None, run, self.execution, self.reporter, weights=self.weights)
        return measure_top1(run, self.videos.test_source, run / "evaluated", self.execution, self.reporter)

    @property
    def _finetuning(self) -> Config:
        """The configuration of finetuning: nothing is validated, so that no epoch is chosen on the test videos."""
        return build_config(self.config.to_dict(), ["finetune.patience=0"])

    def _draw_labels(self, seed: int) -> ListSource:
        """Write the list of one draw of labels, the same for every row."""
        train, path = self.videos.train, self.draws_folder / f"draw-{seed}.csv"  # CSV has a place for intervals
        drawn = draw_per_class(train.labels, self.measures.per_class, seed) & (train.labels != UNKNOWN_CLASS)
        write_lists(train, {path: np.flatnonzero(drawn)}, None, self.reporter, decoder="auto", workers=0)
        return ListSource(path, train.root)


def check_videos(videos: Videos, measures: Measures) -> None:
    """Check early what measuring features would only find after pretraining.

    Raises:
        ListError: videos are in both lists, or fewer than two classes.
        UsageError: the lists have different classes, or one has fewer videos than `per_class`.
    """
    train, test = videos.train, videos.test
    compare_classes(train.label_set, test.label_set, "Prepare both lists together")
    if (shared := find_shared(*map(fingerprints, (train, test)))).any():
        first = train.sample_name(int(shared.argmax()))
        raise ListError(
            f"list '{test.source}' shares {int(shared.sum())} videos with '{train.source}', the first is '{first}'. "
            "Use lists without common videos"
        )
    classes, counts = np.unique(train.labels[train.labels != UNKNOWN_CLASS], return_counts=True)
    if len(classes) < 2:
        raise ListError(f"list '{train.source}' has labels of {len(classes)} classes. Use one with two or more")
    if counts.min() < measures.per_class:
        rarest = train.label_set.describe(classes[counts.argmin()])
        raise UsageError(
            f"--per-class '{measures.per_class}' exceeds the {counts.min()} videos of class {rarest} in "
            f"'{train.source}'. Use at most that"
        )
