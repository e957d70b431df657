"""What there is to compute in an ablation, what each task waits for, and in which order they begin.

A task is a part of a cell (`part.py`), or the measurement of how many epochs take another row's time (`equal_time.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from vtdl_cli.engine.ablation.cell import PRETRAINING, Cell


class Task(NamedTuple):
    """One task.

    Attributes:
        seed: of the cell.
        row: of the cell.
        name: of the part; or what is measured.
        measured: the training whose epochs are measured; empty for a part.
    """

    seed: int
    row: str
    name: str
    measured: str = ""

    def __str__(self) -> str:
        return f"{self.row}, seed {self.seed}: {self.name}"


Needs = Mapping[Task, Collection[Task]]
"""Tasks that are not done, in the order in which they begin, each with those that have to be done before it."""


def list_tasks(cells: Sequence[Cell]) -> tuple[Needs, int]:
    """Return the tasks that are left, and how many are done.

    Args:
        cells: all of them, seed by seed.
    """
    first = {cell.row.name: cell for cell in reversed(cells)}  # of each row that of the first seed
    needs = {task: set[Task]() for task in _measurements(first.values())}
    done = {task for task in needs if task.measured in first[task.row].epochs}
    for task in needs:
        other = first[first[task.row].row.as_long_as or ""]
        needs[task] = {_task(other, PRETRAINING), _task(other, other.run_of(task.measured).name)}
    for cell in cells:
        for part in cell.parts():
            task = _task(cell, part.name)
            measurement = _measurement(first[cell.row.name], part.training)
            needs[task] = {_task(cell, PRETRAINING)} if cell.row.pretrains and part.name != PRETRAINING else set()
            needs[task] |= {measurement} & needs.keys()
            done |= {task} if part.results() is not None else set()
    left = [task for task in needs if task not in done]
    return {task: needs[task] for task in sorted(left, key=lambda task: _rank(task, needs))}, len(done)


def next_ready(waiting: Needs, running: Collection[Task] = ()) -> Task | None:
    """Return the first task whose needs are done; none if all wait for one that is running."""
    return next(
        (task for task, needs in waiting.items() if not any(each in waiting or each in running for each in needs)), None
    )


def _task(cell: Cell, name: str) -> Task:
    return Task(cell.execution.seed, cell.row.name, name)


def _measurements(cells: Iterable[Cell]) -> list[Task]:
    return [_measurement(cell, training) for cell in cells for training in cell.timed_trainings]


def _measurement(cell: Cell, training: str) -> Task:
    """Return the task that measures how many epochs of a training take the time of another row."""
    name = f"how many epochs of {training} take as long as {cell.row.as_long_as}"
    return Task(cell.execution.seed, cell.row.name, name, training)


def _rank(task: Task, needs: Needs) -> tuple[int, int]:
    """Return the place of a task among others: those of a seed together, of these first what takes longest in all.

    That is whatever another row's time is measured by, and then what trains for as long as that.
    """
    measurements = [each for each in needs if each.measured]
    is_awaited = any(task in needs[each] for each in measurements)
    takes_time = any(each in needs[task] for each in measurements)
    return task.seed, 0 if task.measured or is_awaited else 1 if takes_time else 2
