"""Work for processes of their own, without any training: what its name says; `quick` ends once `long` has begun."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from vtdl_cli.engine.ablation.tasks import Task
from vtdl_cli.errors import Interrupted, ListError
from vtdl_cli.runtime import Reporter, StopRequest


class Odd(Exception):
    """Cannot be sent: what receives it would call it without its second argument."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} {why}")


@dataclass(frozen=True)
class Work:
    """Notes in a folder when tasks begin and end."""

    folder: Path

    def __call__(self, task: Task, number: int, reporter: Reporter) -> str:
        with StopRequest() as stop:
            self.note(task.name, f"begins as {number}")
            if task.name == "list":
                raise ListError("list 'x' is empty. Name another")
            if task.name == "memory":
                raise MemoryError("no room")
            if task.name == "odd":
                raise Odd("two", "words")
            if task.name == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            while task.name == "quick" and "long begins as 0" not in self.notes():
                time.sleep(0.01)
            if task.name == "warns":
                reporter.warn("a lamp is broken")
            while task.name.startswith("long"):
                time.sleep(0.01)
                if stop.received():
                    self.note(task.name, "saves")
                    raise Interrupted("SIGTERM after step 3 of 10: saved")
            self.note(task.name, "ends")
        return f"{task.name} of {os.getpid()}"

    def note(self, name: str, what: str) -> None:
        with (self.folder / "notes").open("a") as file:
            file.write(f"{name} {what}\n")

    def notes(self) -> list[str]:
        """What was noted so far."""
        return (self.folder / "notes").read_text().splitlines() if (self.folder / "notes").exists() else []
