"""What is kept of each part of an ablation, so that a resumed one repeats nothing and mixes nothing.

A part is the pretraining of one row and seed, the probes of its features, or one finetuning. Its JSON file holds what
the part depends on from when it begins, and its results from when it is done.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtdl_cli.config import Config
from vtdl_cli.engine.train.resuming import MAY_CHANGE
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.runtime import write_json
from vtdl_cli.setting_keys import flatten
from vtdl_cli.settings import build_config

Results = dict[str, float | list[float]]
"""Metric -> value, or a value for each draw of labels."""


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        name: what it is, for messages.
        file: its JSON file.
        config: the configuration of its row.
        sections: those that it depends on.
        settings: what else it depends on, in JSON's types.
        compute: trains or measures, and returns the results; resumes what it finds half done.
        training: the training that it is; empty for a measurement alone.
    """

    name: str
    file: Path
    config: Config
    sections: tuple[str, ...]
    settings: dict[str, Any]
    compute: Callable[[], Results]
    training: str = ""

    @property
    def depends_on(self) -> dict[str, Any]:
        """Everything that changes its results, except for the seed and the parts before it."""
        return self._flatten(self.config.to_dict(), self.settings)

    def check(self) -> None:
        """Make sure that the part, if it has begun, depends on the same as now.

        Raises:
            UsageError: naming what has changed.
        """
        if not (saved := self._read()):
            return
        before, now = self._flatten(saved["config"], saved["settings"]), self.depends_on
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                raise UsageError(
                    f"{self.name} in '{self.file.parent}' was begun with {key} '{before.get(key)}', now it is "
                    f"'{now.get(key)}'. Resume with what it was begun with, or choose another --out"
                )

    def results(self) -> Results | None:
        """Return the results; none unless the part is done."""
        return self._read().get("results")

    def run(self) -> Results:
        """Compute the part, unless it is done, and return its results."""
        if (done := self.results()) is not None:
            return done
        self._write(None)
        results = self.compute()
        self._write(results)
        return results

    def _read(self) -> dict[str, Any]:
        """Return the content of the file; empty if there is none.

        Raises:
            VtdlError: it is not the file of a part.
        """
        if not self.file.exists():
            return {}
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
        except ValueError:
            content = None
        if not isinstance(content, dict) or content.keys() != {"config", "settings", "results"}:
            raise VtdlError(f"file '{self.file}' is damaged. Remove it: the part is then computed again")
        return content

    def _write(self, results: Results | None) -> None:
        content = {"config": self.config.to_dict(), "settings": self.settings, "results": results}
        write_json(self.file, content, indent=2)

    def _flatten(self, config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """Return settings by key; one that an earlier version did not have has its default."""
        complete = build_config(config).to_dict()
        flat = flatten({section: complete[section] for section in self.sections})
        idle = {f"{section}.{name}" for section in self.sections for name in MAY_CHANGE - {"epochs"}}
        return {key: value for key, value in flat.items() if key not in idle} | settings
