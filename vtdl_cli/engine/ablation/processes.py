"""Compute tasks side by side, each in a process of its own, and stop all of them together.

Processes are forked from a server that has imported everything and done nothing else: each starts at once, where one
from nothing imports for seven seconds. On other systems than Linux that is what they do.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from vtdl_cli.engine.ablation.task_process import Work, serve
from vtdl_cli.engine.ablation.tasks import Needs, Task, next_ready
from vtdl_cli.errors import Interrupted, PartFailed, VtdlError
from vtdl_cli.runtime import Progress, Reporter, StopRequest
from vtdl_cli.system import available_cores
from vtdl_cli.workers import blocked_signals, is_killed

START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"  # macOS may not fork: Python's manual
CONTEXT: Any = multiprocessing.get_context(START_METHOD)
IMPORTED = ["vtdl_cli.engine.ablation.running", "av", "matplotlib.backends.backend_agg", "matplotlib.figure",
            "sklearn.linear_model", "sklearn.model_selection", "torch._dynamo", "torch.utils.tensorboard"]  # fmt: skip
"""What the server imports: all that most tasks need. What functions import themselves is among it: torch's own alone,
with the first optimizer, takes two seconds."""

POLL_SECONDS = 0.2  # between two looks at whether a signal has come


def threads_for(jobs: int) -> int:
    """Return the threads of each job: its share of the cores, but no more than this process would compute with."""
    return max(1, min(torch.get_num_threads(), available_cores() // jobs))


def start_server(jobs: int) -> None:
    """Let the server import while this process does something else; the first tasks would wait for it."""
    if START_METHOD == "forkserver":
        from multiprocessing import forkserver

        CONTEXT.set_forkserver_preload(IMPORTED)
        with _few_threads(threads_for(jobs)), blocked_signals():  # so are those of what it forks, from the start
            forkserver.ensure_running()


def side_by_side(
    work: Work, tasks: Needs, jobs: int, stop: StopRequest, reporter: Reporter, bar: Progress
) -> Generator[tuple[Task, Any, float], None, None]:
    """Yield each task when it is done, what `work` returned, and how many seconds it took; close it at the end.

    Args:
        work: computes a task.
        tasks: in the order in which they begin.
        jobs: how many at once.
        stop: says whether a signal has come.
        reporter: for the warnings of the tasks.
        bar: shows how far each is.

    Raises:
        PartFailed: a task failed; the others have saved and ended.
        Interrupted: by a signal; all have saved and ended.
    """
    waiting, running, threads = dict(tasks), list[_Child](), threads_for(jobs)
    if waiting:
        start_server(jobs)
    try:
        while waiting or running:
            while len(running) < jobs and (task := next_ready(waiting, [child.task for child in running])):
                del waiting[task]
                running.append(_start(work, task, _free_number(running), threads))
            ended = _wait(running, reporter)
            if signal := stop.received():
                raise Interrupted(_explain_stop(signal, running))
            for child in ended:
                running.remove(child)
                yield child.task, child.result(), time.monotonic() - child.began
            if running:
                bar.advance(0, **{str(child.task): child.shown for child in running})
    except KeyboardInterrupt:  # the second Ctrl-C
        for child in running:
            child.process.kill()
        raise
    finally:
        _stop(running, reporter)


@dataclass(eq=False)
class _Child:
    """A process with its task.

    Attributes:
        number: among those that run at the same time, from 0.
        shown: how far it is.
        value: what the task returned, once it is done.
        error: why it failed, if it did.
    """

    task: Task
    number: int
    process: BaseProcess
    connection: Connection
    began: float = field(default_factory=time.monotonic)
    shown: str = "0%"
    value: Any = None
    error: Exception | None = None

    def receive(self, reporter: Reporter) -> bool:
        """Read what it has sent, and return whether it has ended."""
        try:
            while self.connection.poll():
                what, content = self.connection.recv()
                if what == "warning":
                    reporter.warn(content)
                elif what == "shown":
                    self.shown = content
                else:
                    self.value, self.error = (content, None) if what == "done" else (None, content)
                    self.process.join()
                    return True
        except (EOFError, ConnectionError):
            self.process.join()
            self.error = _Died(_explain_death(self.process.exitcode))
            return True
        return False

    def result(self) -> Any:
        """Return what the task returned, or raise why it failed."""
        if isinstance(self.error, Interrupted):  # by a signal that it received itself
            raise self.error
        if self.error is not None:
            raise PartFailed(str(self.task)) from self.error
        return self.value


class _Died(VtdlError):
    """A process ended without a word."""


def _start(work: Work, task: Task, number: int, threads: int) -> _Child:
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=serve, args=(theirs, work, task, number, threads), name=str(task))
    with _few_threads(threads), blocked_signals():
        process.start()
    theirs.close()
    return _Child(task, number, process, ours)


def _free_number(running: Sequence[_Child]) -> int:
    """Return the lowest number that no process has."""
    return min(set(range(len(running) + 1)) - {child.number for child in running})


def _wait(running: Sequence[_Child], reporter: Reporter) -> list[_Child]:
    """Wait a moment for messages, and return the processes that have ended."""
    ready = wait([child.connection for child in running], POLL_SECONDS)
    return [child for child in running if child.connection in ready and child.receive(reporter)]


def _stop(running: Sequence[_Child], reporter: Reporter) -> None:
    """Let all processes save and end; a Ctrl-C meanwhile kills them."""
    left = list(running)
    for child in left:
        child.process.terminate()
    try:
        while left:
            for child in _wait(left, reporter):
                left.remove(child)
                if child.error is not None and not isinstance(child.error, Interrupted | _Died):
                    reporter.warn(f"{child.task}: {child.error}")
    finally:
        for child in left:
            child.process.kill()
            child.process.join()


def _explain_stop(signal: str, running: Sequence[_Child]) -> str:
    tasks = "; ".join(str(child.task) for child in running)
    return f"{signal} during {tasks}: saved. Resume with --resume"


def _explain_death(exit_code: int | None) -> str:
    if is_killed(exit_code):
        why = "its process was killed by the system, most often because memory ran out"
    else:
        why = f"its process ended with exit code {exit_code}, most often in a decoder or for lack of memory"
    return f"{why}. Use fewer --jobs, and continue with --resume"


@contextmanager
def _few_threads(threads: int) -> Iterator[None]:
    """Start processes whose libraries, NumPy's too, compute with so many threads: they read the number once."""
    name = "OMP_NUM_THREADS"
    before, os.environ[name] = os.environ.get(name), str(threads)
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update({} if before is None else {name: before})
