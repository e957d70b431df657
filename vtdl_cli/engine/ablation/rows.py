"""The rows of an ablation: named changes to one preset.

A row is a list of `section.key=value` assignments, `scratch` (no pretraining) and `equal time as ROW`: as many epochs
of pretraining as take the time of that row's; without pretraining, as many of finetuning as take the time of that row's
pretraining and finetuning. A YAML file of one's own rows maps names to such lists:

    untrained: scratch
    no-jitter: [data.jitter.hue=0, data.jitter.contrast=0]
    moco-longer: [method.tca.alpha=0, equal time as tca]
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vtdl_cli.config import Config
from vtdl_cli.engine.networks.methods import check_config
from vtdl_cli.errors import ConfigError, UsageError
from vtdl_cli.settings import build_config
from vtdl_cli.yaml_values import read_yaml

SCRATCH, EQUAL_TIME = "scratch", "equal time as "

_MOCO = ["method.intra_video_negative=false", "method.tca.alpha=0"]

ROWS: dict[str, list[str]] = {
    "scratch": [SCRATCH],
    "scratch-equal-time": [SCRATCH, f"{EQUAL_TIME}tca"],
    "moco": _MOCO,
    "moco-equal-time": [*_MOCO, f"{EQUAL_TIME}tca"],
    "intra-video-negative": ["method.tca.alpha=0"],
    "tca": [],
    "baseline": [SCRATCH, "finetune.augment=false"],
    "basic-augmentation": [SCRATCH],
    "temporal-discriminative": ["method.tca.alpha=0"],
    "tca-without-negative": ["method.intra_video_negative=false"],
}
"""Rows by name, as a file of one's own rows would have them."""

GROUPS = {"published": ["baseline", "basic-augmentation", "temporal-discriminative", "tca"]}
"""Several rows by one name: those of the paper's ablation (method/README)."""

EARLIER_NAMES = {"own-negative": "intra-video-negative"}

PUBLISHED = {
    "ucf101/i3d": {"baseline": 60.3, "basic-augmentation": 63.3, "temporal-discriminative": 72.7, "tca": 82.3},
    "hmdb51/i3d": {"baseline": 22.6, "basic-augmentation": 26.2, "temporal-discriminative": 41.2, "tca": 52.9},
}
"""Preset -> row -> top-1 in percent after finetuning, in the ablation of arXiv 2008.02129."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: also of its folders.
        assignments: `section.key=value` on top of the preset.
        pretrains: off: the network is randomly initialised.
        as_long_as: the row whose time this one is given; none: it has the epochs of its settings.
    """

    name: str
    assignments: tuple[str, ...] = ()
    pretrains: bool = True
    as_long_as: str | None = None

    @property
    def finetunes_longer(self) -> bool:
        """Whether its finetuning takes another row's time; nothing else of it differs from training from scratch."""
        return not self.pretrains and self.as_long_as is not None

    def build_config(self, base: Config) -> Config:
        """Return the preset with the settings of this row.

        Raises:
            ConfigError: with a line for each mistake, which names the row.
        """
        try:
            config = build_config(base.to_dict(), self.assignments)
            check_config(config, self.assignments)
        except ConfigError as error:
            raise ConfigError(*(f"row '{self.name}': {line}" for line in error.lines)) from None
        return config

    def describe(self) -> str:
        """Return the row's settings on one line."""
        time = [f"{EQUAL_TIME}{self.as_long_as}"] if self.as_long_as else []
        return ", ".join([*([] if self.pretrains else [SCRATCH]), *self.assignments, *time]) or "as the preset"


def read_rows(words: str) -> list[Row]:
    """Read rows from `--rows`: names of ROWS or GROUPS and YAML files, separated by commas.

    Raises:
        UsageError: a word is not one of these, a row occurs twice, or a file is not one of rows.
    """
    named = [item for word in words.split(",") if word.strip() for item in _find_rows(word.strip()).items()]
    if not named:
        raise UsageError("--rows '' names no row. For example: --rows scratch,moco,tca")
    rows: dict[str, Row] = {}
    for name, items in named:
        if name in rows:
            raise UsageError(f"--rows '{words}' has row '{name}' twice. Name each once")
        rows[name] = parse_row(name, items)
    return list(rows.values())


def _find_rows(word: str) -> Mapping[str, Any]:
    word = EARLIER_NAMES.get(word, word)
    if word in ROWS or word in GROUPS:
        return {name: ROWS[name] for name in GROUPS.get(word, [word])}
    if not Path(word).is_file():
        known = ", ".join([*ROWS, *GROUPS])
        raise UsageError(f"--rows '{word}' is neither a row nor a YAML file. Choose from {known}, or write a file")
    try:
        rows = read_yaml(Path(word).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"file of rows '{word}' is not YAML: {error}. See: vtdl ablate --help") from error
    if not isinstance(rows, dict) or not rows:
        raise UsageError(f"file of rows '{word}' does not map names to settings. For example: 'tca-0.3: [...]'")
    return rows


def parse_row(name: object, items: object) -> Row:
    """Read one row.

    Raises:
        UsageError: the name cannot be that of a folder, or the items are not text.
    """
    name = str(name)  # YAML takes 1 for a number
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name, re.ASCII):
        raise UsageError(f"row '{name}' cannot be the name of a folder. Use letters, digits, '.', '_', '+' and '-'")
    items = [] if items is None else [items] if isinstance(items, str) else items
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise UsageError(f"row '{name}' is not a list of settings. For example: '{name}: [method.tca.alpha=0.3]'")
    times = [item.removeprefix(EQUAL_TIME).strip() for item in items if item.startswith(EQUAL_TIME)]
    assignments = tuple(item for item in items if item != SCRATCH and not item.startswith(EQUAL_TIME))
    return Row(name, assignments, SCRATCH not in items, times[-1] if times else None)


def apply_budget(rows: Sequence[Row], budget: str) -> list[Row]:
    """Give every row the same steps, or the time that one row takes.

    Args:
        rows: the rows.
        budget: `steps`: each row has the epochs of its settings; `seconds:ROW`: as long as that row takes; `seconds`:
            as long as the last row that pretrains for the epochs of its settings.

    Raises:
        UsageError: the budget is another word, or a row is to be as long as one that is missing, has no pretraining,
            or depends on another in turn.
    """
    kind, _, reference = budget.partition(":")
    if kind not in ("steps", "seconds") or (kind == "steps" and budget != kind):
        raise UsageError(f"--budget '{budget}' is neither steps, seconds nor seconds:ROW. Use one of them")
    if kind == "seconds":
        timed = [row.name for row in rows if row.pretrains and not row.as_long_as]
        if not timed:
            raise UsageError("--budget 'seconds' needs a row that pretrains. Add one: --rows scratch,tca")
        reference = reference or timed[-1]
        free = {name for name in timed if name != reference}
        rows = [replace(row, as_long_as=reference) if row.name in free else row for row in rows]
    _check_times(rows)
    return list(rows)


def _check_times(rows: Iterable[Row]) -> None:
    timed = {row.name for row in rows if row.pretrains and not row.as_long_as}
    for row in rows:
        if row.as_long_as and row.as_long_as not in timed:
            raise UsageError(
                f"row '{row.name}' trains as long as '{row.as_long_as}', which is not a row of --rows that pretrains "
                "for a number of epochs. Add it"
            )
