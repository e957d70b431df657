"""Compute all tasks of a grid, in this process one after another, or several at once in processes of their own."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from vtdl_cli.engine.ablation.grid import Grid
from vtdl_cli.engine.ablation.processes import side_by_side, threads_for
from vtdl_cli.engine.ablation.tasks import Needs, Task, list_tasks, next_ready
from vtdl_cli.engine.request import Execution
from vtdl_cli.engine.stages import StageReporter
from vtdl_cli.errors import Interrupted, PartFailed
from vtdl_cli.runtime import Progress, Reporter, SilentReporter, StopRequest, default_workers
from vtdl_cli.system import available_cores

Finished = Generator[tuple[Task, Any], None, None]
"""Tasks when they are done, each with what `Grid.compute` returned."""


def run_grid(grid: Grid, jobs: int = 1, after_each: Callable[[], None] = lambda: None) -> None:
    """Compute what is not done yet.

    Args:
        grid: the grid.
        jobs: how many tasks at once.
        after_each: called after each task.

    Raises:
        PartFailed: a task failed.
        Interrupted: by a signal, after saving.
    """
    cells = grid.cells()
    for cell in cells[:: len(grid.rows)]:
        cell.write_draws()
    tasks, done = list_tasks(cells)
    with StopRequest() as stop, grid.reporter.progress(done + len(tasks), "parts", done) as bar:
        compute = _one_by_one if jobs == 1 else partial(_side_by_side, jobs)
        with closing(compute(grid, tasks, done, stop, bar)) as finished:
            for task, epochs in finished:
                if task.measured:
                    grid.measured_epochs.keep(task.row, task.measured, epochs)
                after_each()


def _one_by_one(grid: Grid, tasks: Needs, done: int, stop: StopRequest, bar: Progress) -> Finished:
    waiting, total = dict(tasks), done + len(tasks)
    while task := next_ready(waiting):
        grid.reporter.line(f"{total - len(waiting) + 1}/{total} {task}")
        try:
            result = grid.compute(task)
        except (Interrupted, BrokenPipeError):  # of a pipe that nobody reads any more; the command line ends quietly
            raise
        except Exception as error:
            raise PartFailed(str(task)) from error
        del waiting[task]
        bar.advance()
        yield task, result
        if signal := stop.received():  # training stops sooner by itself
            raise Interrupted(f"{signal} after {task}: saved. Resume with --resume")


def _side_by_side(jobs: int, grid: Grid, tasks: Needs, done: int, stop: StopRequest, bar: Progress) -> Finished:
    total, workers = done + len(tasks), share(grid.execution, jobs, 0).workers
    if tasks:
        each = f"threads of each: {threads_for(jobs)}, workers: {workers}"
        grid.reporter.line(f"{len(tasks)} of {total} parts are left: {jobs} at a time; {each}")
    work = _Aside(replace(grid, reporter=SilentReporter(), stage_reporter=SilentReporter()), jobs)
    with closing(side_by_side(work, tasks, jobs, stop, grid.stage_reporter, bar)) as finished:
        for number, (task, result, seconds) in enumerate(finished, start=done + 1):
            grid.reporter.line(f"{number}/{total} {task}: {seconds:.0f} s")
            bar.advance(1, **{str(task): f"{seconds:.0f} s"})
            yield task, result


@dataclass(frozen=True)
class _Aside:
    """Computes tasks of a grid in processes of their own; it is sent to each."""

    grid: Grid
    jobs: int

    def __call__(self, task: Task, number: int, reporter: Reporter) -> int | None:
        execution = share(self.grid.execution, self.jobs, number)
        with StopRequest():  # what cannot be continued, such as probing, is finished
            return replace(self.grid, execution=execution, stage_reporter=StageReporter(reporter)).compute(task)


def share(execution: Execution, jobs: int, number: int) -> Execution:
    """Return how one of several jobs runs: with its share of the workers and, if there are several, a GPU of its own.

    With a single core it decodes by itself: with a worker beside it, pretraining with `demo` took 5% more CPU time (one
    core, two pairs of runs).

    Args:
        execution: of all together.
        jobs: how many there are.
        number: of this one, from 0.
    """
    cores = available_cores() // jobs
    own = min(default_workers(), cores) if cores > 1 else 0
    workers = own if execution.workers is None else execution.workers // jobs
    num_gpus = torch.cuda.device_count() if execution.device in ("auto", "cuda") else 0
    device = f"cuda:{number % num_gpus}" if num_gpus > 1 else execution.device
    return replace(execution, workers=workers, device=device)
