"""One cell of an ablation: one row with one seed, from pretraining to accuracies."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.data.lists.class_names import CLASSES_FILE
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.splits import draw_per_class
from vtdl_cli.engine.ablation.measures import Measures
from vtdl_cli.engine.ablation.part import Part, Results
from vtdl_cli.engine.ablation.rows import Row
from vtdl_cli.engine.ablation.videos import Videos
from vtdl_cli.engine.features.probe import probe
from vtdl_cli.engine.lists.convert_outputs import write_lists
from vtdl_cli.engine.request import Execution, ListSource, Protocol, protocol_name
from vtdl_cli.engine.stages import extract_lists, measure_top1, training_seconds
from vtdl_cli.engine.train.finetune import finetune
from vtdl_cli.engine.train.pretrain import pretrain
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.runtime import Reporter, SilentReporter
from vtdl_cli.settings import build_config

PRETRAINING, FINETUNING, FEW_SHOT = "pretraining", "finetuning", "few-shot finetuning"

SECTIONS = {
    PRETRAINING: ("data", "model", "method", "pretrain"),
    FINETUNING: ("data", "model", "finetune"),
    FEW_SHOT: ("data", "model", "finetune"),
}
"""What the steps of each training depend on, its own section last."""


@dataclass(frozen=True)
class Cell:
    """One row with one seed; its folder holds the runs and features.

    Attributes:
        row: the row.
        config: its configuration.
        epochs: of those trainings that take another row's time, once measured.
        videos: those of its seed.
        folder: of this cell.
        draws_folder: for the lists of drawn labels, which the rows of a seed share.
        measures: what to measure.
        execution: the seed, and how to run; resumes.
        reporter: of the stages.
    """

    row: Row
    config: Config
    epochs: Mapping[str, int]
    videos: Videos
    folder: Path
    draws_folder: Path
    measures: Measures
    execution: Execution
    reporter: Reporter

    @property
    def timed_trainings(self) -> list[str]:
        """The trainings that take another row's time: pretraining, or without it every finetuning."""
        if self.row.as_long_as is None:
            return []
        measures = self.measures
        finetunings = {FINETUNING: measures.finetune, FEW_SHOT: measures.finetune_draws > 0}
        return [PRETRAINING] if self.row.pretrains else [name for name, is_wanted in finetunings.items() if is_wanted]

    @property
    def first_draw(self) -> int:
        """The seed of the first draw of labels; each seed has its own, which its rows share."""
        return self.execution.seed * self.measures.draws

    @property
    def weights(self) -> str | None:
        """What is measured; none: random weights."""
        return str(self.run_of(PRETRAINING)) if self.row.pretrains else None

    @property
    def features(self) -> tuple[Path, Path]:
        """The files of the features of the training and the test videos."""
        return self.folder / "features" / "train.h5", self.folder / "features" / "val.h5"

    def run_of(self, training: str, draw: int = 0) -> Path:
        """Return the run folder of a training; of few-shot finetuning, that of a draw."""
        return self.folder / (f"{FINETUNING}-draw-{draw}" if training == FEW_SHOT else training)

    def runs_of(self, training: str) -> list[Path]:
        """Return the run folders of a training: of few-shot finetuning one for each draw."""
        draws = self.measures.finetune_draws if training == FEW_SHOT else 1
        return [self.run_of(training, draw) for draw in range(draws)]

    def epochs_of(self, training: str) -> int:
        """Return the epochs of a training."""
        return int(getattr(self.configure(training), SECTIONS[training][-1]).epochs)

    def configure(self, training: str) -> Config:
        """Return the configuration of a training; in finetuning, no epoch is chosen on the test videos."""
        config = (
            self.config if training == PRETRAINING else build_config(self.config.to_dict(), ["finetune.patience=0"])
        )
        return with_epochs(config, training, self.epochs[training]) if training in self.epochs else config

    def labelled(self, training: str, draw: int = 0) -> ListSource:
        """Return the videos that are used with labels, in few-shot finetuning those of a draw."""
        if training != FEW_SHOT:
            return self.videos.train_source
        return ListSource(self._file_of_draw(draw), self.videos.train.root)

    def parts(self) -> Iterator[Part]:
        """Yield the parts, in order."""
        measures = self.measures
        train = {"train_list_sha256": self.videos.train.sha256}
        lists = {**train, "val_list_sha256": self.videos.test.sha256}
        shots = {**lists, "per_class": measures.per_class, "draws": measures.draws}
        how: dict[str, Any] = {"clips": list(measures.clips)} if measures.clips else {}
        how |= {"equal_time_as": self.row.as_long_as} if self.row.finetunes_longer else {}
        if self.row.pretrains:
            settings = {**train, "equal_time_as": self.row.as_long_as}
            yield self._part(PRETRAINING, self.run_of(PRETRAINING), settings, self._pretrain)
        if not self.row.finetunes_longer:  # else its features are as random as those of any other row from scratch
            file = self.folder / "probes.json"
            yield Part("probes", file, self.config, ("data", "model", "extract"), shots, self._probe)
        if measures.finetune:
            yield self._part(FINETUNING, self.run_of(FINETUNING), lists | how, partial(self._finetune, FINETUNING, 0))
        for draw in range(measures.finetune_draws):
            compute = partial(self._finetune, FEW_SHOT, draw)
            yield self._part(FEW_SHOT, self.run_of(FEW_SHOT, draw), shots | how, compute)

    def _part(self, training: str, run: Path, settings: dict[str, Any], compute: Callable[[], Results]) -> Part:
        """Return the part of a training and, if that is finetuning, of its evaluation."""
        sections = SECTIONS[training] if training == PRETRAINING else (*SECTIONS[training], "evaluate")
        file = run.with_suffix(".json")
        return Part(run.name, file, self.configure(training), sections, settings, compute, training)

    def values(self) -> dict[str, list[float]] | None:
        """Return all results, with a value for each draw where there are several; none unless all parts are done."""
        done = [part.results() for part in self.parts()]
        if None in done:
            return None
        found = [item for each in done if each is not None for item in each.items()]
        values: dict[str, list[float]] = {name: [] for name, _ in found}
        for name, value in found:
            values[name] += np.atleast_1d(value).tolist()
        return values

    def check_runs(self) -> dict[str, Any]:
        """Check everything that the runs of this cell need, and return the plan of its pretraining, empty without one.

        Raises:
            UsageError, ListError: something does not fit.
        """
        dry = replace(self.execution, dry_run=True, resume=False, overwrite=True)  # parts check what is there already
        if self.measures.finetunes:
            run, config = self.run_of(FINETUNING), self.configure(FINETUNING)
            finetune(
                config, self.videos.train_source, None, run, dry, SilentReporter(), weights_follow=self.row.pretrains
            )
        if not self.row.pretrains:
            return {}
        config = self.configure(PRETRAINING)
        return pretrain(config, self.videos.train_source, self.run_of(PRETRAINING), dry, self.reporter)

    def _pretrain(self) -> Results:
        run, config = self.run_of(PRETRAINING), self.configure(PRETRAINING)
        pretrain(config, self.videos.train_source, run, self.execution, self.reporter)
        last = next(reversed(RunFolder(run, resume=True, overwrite=False).rows()), {})
        return {
            **{name: last[name] for name in ("loss",) if name in last},
            "pretraining_epochs": float(config.pretrain.epochs),
            "pretraining_seconds": training_seconds(run),
        }

    def _probe(self) -> Results:
        """Measure frozen features by kNN and linear classifiers, with all labels and with draws of a few."""
        train, test = files = self.features
        lists = (self.videos.train_source, self.videos.test_source)
        extract_lists(self.weights, self.config, lists, files, self.execution, self.reporter)
        few, draws = self.measures.per_class, self.measures.draws
        found = probe(train, test, self.reporter, per_class=[few], repeats=draws, seed=self.first_draw)
        names, shots = ("knn@1", "linear_top1"), found["per_class"][str(few)]
        return {name: found[name] for name in names} | {f"few_shot_{name}": shots[name]["draws"] for name in names}

    def _finetune(self, training: str, draw: int) -> Results:
        """Finetune on a list, and measure the weights after the last epoch."""
        run, config = self.run_of(training, draw), self.configure(training)
        labelled = self.labelled(training, draw)
        finetune(config, labelled, None, run, self.execution, self.reporter, weights=self.weights)
        found: Results = {f"finetuned_{name}": value for name, value in self._evaluate(run)}
        found |= {"finetuning_epochs": float(config.finetune.epochs), "finetuning_seconds": training_seconds(run)}
        return {f"few_shot_{name}": value for name, value in found.items()} if training == FEW_SHOT else found

    def _evaluate(self, run: Path) -> Iterator[tuple[str, float]]:
        """Yield the top-1 of a finetuned run by each protocol, or by the preset's."""
        test, how, reporter = self.videos.test_source, self.execution, self.reporter
        if not self.measures.clips:
            yield "top1", measure_top1(run, test, run / "evaluated", how, reporter)
        for clips in self.measures.clips:
            name = protocol_name(clips)
            yield name, measure_top1(run, test, run / name, how, reporter, Protocol(clips))

    def write_draws(self) -> None:
        """Write the lists of the draws of labels to finetune on, the same for every row of the seed.

        All at once and beforehand: rows that are computed side by side would write the same file.
        """
        train = self.videos.train
        for draw in range(self.measures.finetune_draws):
            drawn = draw_per_class(train.labels, self.measures.per_class, self.first_draw + draw)
            chosen = {self._file_of_draw(draw): np.flatnonzero(drawn & (train.labels != UNKNOWN_CLASS))}
            names = self.draws_folder / CLASSES_FILE
            write_lists(train, chosen, names, None, self.reporter, decoder="auto", workers=0)

    def _file_of_draw(self, draw: int) -> Path:
        return self.draws_folder / f"draw-{self.first_draw + draw}.csv"  # CSV has a place for intervals


def with_epochs(config: Config, training: str, epochs: int) -> Config:
    """Return a configuration with another number of epochs of a training."""
    return build_config(config.to_dict(), [f"{SECTIONS[training][-1]}.epochs={epochs}"])
