"""The stages of a chain as `vtdl demo` and `vtdl ablate` run them, each by the engine function of a command."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vtdl_cli.config import Config
from vtdl_cli.engine.evaluate.evaluate import evaluate
from vtdl_cli.engine.evaluate.extract import extract
from vtdl_cli.engine.request import Execution, ListSource, Protocol
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.runtime import Reporter


class StageReporter:
    """The reporter of a stage: passes progress and warnings on, but no lines."""

    def __init__(self, reporter: Reporter) -> None:
        self.progress, self.warn = reporter.progress, reporter.warn

    def line(self, text: str) -> None:
        """Print nothing."""


def extract_lists(
    weights: str | None,
    config: Config,
    lists: Sequence[ListSource],
    files: Sequence[Path],
    execution: Execution,
    reporter: Reporter,
) -> None:
    """Extract the features of each list to its file; `config` is that of a randomly initialised network."""
    for videos, file in zip(lists, files, strict=True):
        extract(weights, videos, file, execution, reporter, config=config)


def measure_top1(
    run: Path, test: ListSource, out: Path, execution: Execution, reporter: Reporter, protocol: Protocol | None = None
) -> float:
    """Evaluate a finetuned run, again if it has been evaluated before, and return top-1 in percent."""
    again = replace(execution, resume=False, overwrite=True)
    return float(evaluate([str(run)], [test], out, again, reporter, protocol)["top1"])


def training_seconds(run: Path) -> float:
    """Return the logged training time of a run."""
    return sum(epoch_seconds(run))


def epoch_seconds(run: Path) -> list[float]:
    """Return the logged time of each epoch."""
    return [row["seconds"] for row in RunFolder(run, resume=True, overwrite=False).rows()]
