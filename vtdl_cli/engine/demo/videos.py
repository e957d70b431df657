"""The generated videos of a demo and their lists, for each seed its own."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtdl_cli.data.video.motion import CLASSES, write_videos
from vtdl_cli.engine.ablation.videos import SEED, of_seed
from vtdl_cli.engine.lists.build_lists import PrepareOptions
from vtdl_cli.engine.lists.outputs import LIST_FILES
from vtdl_cli.engine.lists.prepare import prepare_folder
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.errors import Interrupted, UsageError
from vtdl_cli.runtime import Reporter, StopRequest, write_json

TEST_FRACTION = 20 / 84
BEGUN_FILE = "videos.json"  # what the videos depend on


@dataclass(frozen=True)
class GeneratedVideos:
    """The videos of all seeds.

    Attributes:
        out: the folder of the demo.
        per_class: number of videos of each class, about a quarter of them to test on.
        execution: how to run.
        reporter: for progress.
        stage_reporter: for the function that writes lists.
    """

    out: Path
    per_class: int
    execution: Execution
    reporter: Reporter
    stage_reporter: Reporter

    @property
    def lists(self) -> tuple[ListSource, ListSource]:
        """The lists to train on and to test on, `{seed}` in their paths."""
        lists, root = self.out / "lists" / f"seed-{SEED}", self.out / "videos" / f"seed-{SEED}"
        return ListSource(lists / LIST_FILES["train"], root), ListSource(lists / LIST_FILES["val"], root)

    def of_seed(self, seed: int) -> tuple[ListSource, ListSource]:
        """Return the lists of one seed."""
        train, test = self.lists
        return of_seed(train, seed), of_seed(test, seed)

    def begin(self, settings: dict[str, Any]) -> None:
        """Record what the demo is begun with, beside the number of videos.

        Raises:
            UsageError: it was begun with something else, or by an earlier version.
        """
        path, settings = self.out / BEGUN_FILE, settings | {"videos": self.per_class}
        try:
            before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else settings
        except ValueError:
            before = None
        if not isinstance(before, dict):
            raise UsageError(f"file '{path}' is damaged. Choose another --out, or remove it and use --overwrite")
        if before.keys() != settings.keys():
            raise UsageError(
                f"folder '{self.out}' holds a demo of an earlier version, which had other folders. Choose another --out"
            )
        changed = [] if self.execution.overwrite else [key for key in before if before[key] != settings[key]]
        if changed:
            key = changed[0]
            raise UsageError(
                f"folder '{self.out}' was begun with {key} '{before[key]}', now it is '{settings[key]}'. "
                "Resume with what it was begun with, use --overwrite, or choose another --out"
            )
        write_json(path, settings)

    def generate(self, seed: int) -> None:
        """Generate the videos of one seed, all or none, unless they are there, and write their lists.

        Raises:
            Interrupted: by a signal; no videos of this seed are kept.
        """
        train, _ = self.of_seed(seed)
        assert train.root
        if not train.root.exists():
            self.reporter.line(
                f"generating {self.per_class * len(CLASSES)} videos of {len(CLASSES)} motions, seed {seed}"
            )
            part = train.root.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            self._write(part, seed)
            part.rename(train.root)
        workers = self.execution.workers
        options = PrepareOptions(train.path.parent, self.stage_reporter, workers=workers, overwrite=True)
        prepare_folder(train.root, options, labels="folder", val_fraction=TEST_FRACTION)

    def _write(self, folder: Path, seed: int) -> None:
        total = self.per_class * len(CLASSES)
        with StopRequest() as stop, self.reporter.progress(total, "videos") as bar:

            def advance() -> None:
                if signal := stop.received():
                    raise Interrupted(f"{signal} while videos were generated. Resume with --resume")
                bar.advance()

            write_videos(folder, self.per_class, seed, advance)
