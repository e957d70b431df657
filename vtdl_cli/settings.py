"""Build a configuration from a preset and `--set section.key=value`; all mistakes are reported at once.

A preset is one YAML file that holds every stage.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vtdl_cli.config import Config
from vtdl_cli.errors import ConfigError, UsageError
from vtdl_cli.runtime import Warn, ignore_warning
from vtdl_cli.setting_keys import (
    all_keys,
    keys_named,
    present_key,
    rename_keys,
    suggest,
    suggest_key,
    suggest_nearest,
)
from vtdl_cli.text import shorten
from vtdl_cli.yaml_values import read_yaml

MESSAGE_CHARACTERS = 80
"""Of a value, or of what was typed, in a message."""


def preset_dir() -> Path:
    """Return the folder of the presets: inside an installed package, or at the top of a checkout."""
    packaged = Path(__file__).parent / "presets"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "presets"


def preset_names() -> list[str]:
    """Return the names of all presets, such as `hmdb51/i3d`."""
    return sorted(path.relative_to(preset_dir()).with_suffix("").as_posix() for path in preset_dir().rglob("*.yaml"))


def find_preset(name: str) -> Path:
    """Return the file of a preset given by name or by path.

    Raises:
        UsageError: there is no such preset or file.
    """
    if name in preset_names():
        return preset_dir() / f"{name}.yaml"
    if Path(name).is_file():
        return Path(name)
    raise UsageError(
        f"preset '{name}' is neither a preset nor a file.{suggest_nearest(name, preset_names())} See: vtdl presets list"
    )


def load_config(preset: str, assignments: Iterable[str] = (), warn: Warn = ignore_warning) -> Config:
    """Read a preset and apply `section.key=value` assignments.

    Args:
        preset: its name, or a file.
        assignments: on top of it.
        warn: called for each key that has been renamed.

    Raises:
        ConfigError: with one line for each mistake in file and assignments.
    """
    path = find_preset(preset)
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:  # also where it is not UTF-8, or has a date that does not exist
        raise ConfigError(f"preset '{preset}' is not YAML of settings: {error}. See: vtdl presets show demo") from error
    if not isinstance(values, dict):
        raise ConfigError(f"preset '{preset}' holds no sections. See: vtdl presets show demo")
    return build_config(values, assignments, source=preset, warn=warn)


def build_config(
    values: dict[str, Any], assignments: Iterable[str] = (), source: str = "checkpoint", warn: Warn = ignore_warning
) -> Config:
    """Validate plain values with `section.key=value` assignments on top of them.

    Raises:
        ConfigError: with one line for each mistake.
    """
    values = rename_keys(copy.deepcopy(values), warn)
    assignments = [_renamed_assignment(text, warn) for text in assignments]
    mistakes = [mistake for text in assignments if (mistake := _assign(values, text))]
    rename_keys(values, warn)  # also in a whole section that was assigned
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        assigned = [text.partition("=")[0].strip() for text in assignments]
        mistakes += [_explain(dict(detail), source, assigned) for detail in error.errors()]
        raise ConfigError(*mistakes) from None
    mistakes += without_effect(assignments, dict(_idle_keys(config)))
    if mistakes:
        raise ConfigError(*mistakes)
    return config


def _renamed_assignment(text: str, warn: Warn) -> str:
    """Return `section.key=value` with the present name of its key."""
    key, equals, value = text.partition("=")
    if (new := present_key(key)) == key.strip():
        return text
    warn(f"--set {key.strip()} is now called {new}: a later version will not read it")
    return f"{new}{equals}{value}"


def _assign(values: dict[str, Any], text: str) -> str:
    """Put one assignment into `values`; return an error line, or an empty text."""
    key, equals, value = text.partition("=")
    *sections, name = key.strip().split(".")
    typed = shorten(text, MESSAGE_CHARACTERS)
    if sections and not equals and key.strip() in all_keys():
        return f"--set '{typed}' has no value. Type --set {key.strip()}=VALUE"
    if not equals or not sections or not name:
        hint = suggest(_keys_meant(name)) or " For example: --set pretrain.epochs=10"
        return f"--set '{typed}' is not of the form section.key=value.{hint}"
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            return f"--set '{typed}' goes into '{section}', which is a value and not a section"
    try:
        values[name] = read_yaml(value)
    except ValueError:  # also of a date that does not exist
        return f"--set '{typed}' has a value that is not YAML, or nested too deeply"
    return ""


def _keys_meant(name: str) -> list[str]:
    """Return the keys that a word without a section may mean; of a section with a name, `method=vtdl`, that name."""
    return [key for key in all_keys() if key == f"{name}.name"] or keys_named(name)


def without_effect(assignments: Iterable[str], idle: Mapping[str, str]) -> list[str]:
    """Return an error line for each assignment that has no effect.

    A preset may hold such keys: who switches off one thing by `--set` need not remove what belongs to it.

    Args:
        assignments: `section.key=value`.
        idle: keys and sections without effect, and the reason.
    """
    mistakes = []
    for text in assignments:
        key = present_key(text.partition("=")[0])
        if reason := next((reason for each, reason in idle.items() if f"{key}.".startswith(f"{each}.")), ""):
            mistakes.append(f"--set '{shorten(text, MESSAGE_CHARACTERS)}' has no effect where {reason}. Leave it out")
    return mistakes


def _idle_keys(config: Config) -> Iterator[tuple[str, str]]:
    """Yield keys and sections that have no effect in this configuration, and the reason."""
    if config.method.tca.alpha == 0:
        for key in ("version", "side", "per"):
            yield f"method.tca.{key}", "method.tca.alpha is 0"
    if config.data.modality == "flow":
        for key in ("decoder", "jitter"):
            yield f"data.{key}", "data.modality is 'flow'"
    if not (config.pretrain.augment or config.finetune.augment):
        for key in ("jitter", "rotation_degrees"):
            yield f"data.{key}", "neither stage augments"
    if not config.finetune.validate_every:
        yield "finetune.best_by", "finetune.validate_every is 0"
    for stage, training in (("pretrain", config.pretrain), ("finetune", config.finetune)):
        if training.schedule.name != "step":
            for key in ("milestones", "factor"):
                yield f"{stage}.schedule.{key}", f"{stage}.schedule.name is '{training.schedule.name}'"
        if training.optimizer.name != "sgd":
            yield f"{stage}.optimizer.momentum", f"{stage}.optimizer.name is '{training.optimizer.name}'"


def _explain(detail: dict[str, Any], source: str, assigned: Sequence[str]) -> str:
    """Return one line for one of pydantic's errors; `assigned`: the keys that --set has changed."""
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    is_unknown = detail["type"] == "extra_forbidden"  # the section of an assignment may be what is unknown
    is_assigned = any(
        f"{key}.".startswith(f"{each}.") or (is_unknown and each.startswith(f"{key}.")) for each in assigned
    )
    where = "--set" if is_assigned else f"'{source}'"
    keys = [name for name in all_keys() if name.rpartition(".")[0] == key]  # of a section
    if detail["type"] == "extra_forbidden":
        return f"key '{key}' of {where} is unknown.{suggest_key(key)} See: vtdl presets show demo"
    if detail["type"] == "missing":
        how = "as in vtdl presets show demo" if keys else f"or --set {key}=..."
        return f"key '{key}' is missing from '{source}'. Add it, {how}"
    if detail["type"] == "model_type":
        return f"key '{key}' of {where} is a section, and no value. Set what is in it: {', '.join(keys)}"
    rule = detail["msg"].removeprefix("Value error, ")
    value = "" if isinstance(detail["input"], dict) else f" '{shorten(str(detail['input']), MESSAGE_CHARACTERS)}'"
    return f"{key or 'configuration'}{value} in {where} is not valid: {rule[:1].lower()}{rule[1:]}"
