"""Time the loop of pretraining as it is: its steps from a warm start, what it waits for, and the ends of its epochs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.bench.timing import NOTHING, Clock, Timing
from vtdl_cli.engine.train.pretrain import pretrain_epochs
from vtdl_cli.engine.train.training import Training
from vtdl_cli.errors import Interrupted
from vtdl_cli.method.pretext_task import PretextTask
from vtdl_cli.runtime import Progress, Reporter, SilentReporter

WARM_STEPS = 8  # before the measured ones: workers start, fill their queues, and the device chooses its kernels
EPOCH = "epoch "  # begins the line with which an epoch ends, see `epoch_line`


@dataclass
class LoopTimes:
    """What the measured steps took.

    Attributes:
        whole: all steps, and the ends of the epochs among them.
        data_seconds: that the loop waited for batches.
        epoch_ends: time of each: kNN where it is due, checkpoint, logs.
    """

    whole: Timing = NOTHING
    data_seconds: float = 0.0
    epoch_ends: list[Timing] = field(default_factory=list)


class _AllMeasured(Exception):
    """The last step to be measured is done."""


class LoopReporter:
    """A training's reporter that times its steps, and ends it after so many.

    Args:
        reporter: shows progress and warns.
        warm_steps: that are not measured.
        steps: that are, afterwards.
    """

    def __init__(self, reporter: Reporter, warm_steps: int, steps: int) -> None:
        self.warn = reporter.warn
        self.times = LoopTimes()
        self._reporter, self._warm, self._steps, self._done = reporter, warm_steps, steps, 0
        self._shown: Progress | None = None

    def watch(self, training: Training) -> None:
        """Time this training."""
        self._training = training
        self._clock, self._epoch_clock = Clock(training.machine.device), Clock(training.machine.device)

    @contextmanager
    def progress(self, _total: int, _description: str, start: int = 0) -> Iterator[Progress]:
        """Show the loop, and nothing of what runs inside it."""
        if self._shown is not None:
            yield SilentReporter()
            return
        with self._reporter.progress(self._warm + self._steps, "together", start) as self._shown:
            yield self

    def advance(self, n: int = 1, **fields: str) -> None:
        """Count a step; only at the ends of spans does the host wait for the device."""
        self._done += n
        assert self._shown is not None
        self._shown.advance(n, **fields)
        if self._training.state.between_epochs:
            self._epoch_clock.restart()
        if self._done == self._warm:
            self.times.data_seconds = -self._data_seconds
            self._clock.restart()
        if self._done == self._warm + self._steps:
            self.times.whole = self._clock.read()
            self.times.data_seconds += self._data_seconds
            raise _AllMeasured

    def line(self, text: str) -> None:
        """Note the end of an epoch, which the training reports; print what it says before its loop."""
        if self._shown is None:
            self._reporter.line(text)
        elif text.startswith(EPOCH) and self._warm <= self._done:
            self.times.epoch_ends.append(self._epoch_clock.read())

    @property
    def _data_seconds(self) -> float:
        return self._training.state.meter.whole_data_seconds


def time_loop(training: Training, method: PretextTask, videos: VideoList, reporter: LoopReporter) -> LoopTimes:
    """Run the training, whose reporter is `reporter`, until all is measured.

    Raises:
        KeyboardInterrupt: a signal has asked the training to stop.
    """
    reporter.watch(training)
    try:
        pretrain_epochs(training, method, videos, judge=False)  # what the weights become does not matter
    except _AllMeasured:
        pass
    except Interrupted as error:  # its message is about resuming
        raise KeyboardInterrupt from error
    return reporter.times
