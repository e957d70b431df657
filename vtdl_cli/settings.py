"""Build a configuration from a preset and `--set section.key=value`; all mistakes are reported at once.

A preset is one YAML file that holds every stage.
"""

import copy
import difflib
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from vtdl_cli.config import Config
from vtdl_cli.errors import ConfigError, UsageError
from vtdl_cli.runtime import Warn, ignore_warning
from vtdl_cli.text import has_lone_surrogate

RENAMED_KEYS = {
    "method.own_negative": "method.intra_video_negative",
    "method.own_negative_gradient": "method.intra_video_negative_gradient",
    "model.first_weights": "model.weight_init",
    "pretrain.optimizer.learning_rate": "pretrain.optimizer.lr",
    "finetune.optimizer.learning_rate": "finetune.optimizer.lr",
}
"""Keys of earlier versions, in presets and checkpoints, and what they are called now."""


def rename_keys(values: dict[str, Any], warn: Warn = ignore_warning) -> dict[str, Any]:
    """Return nested settings with the keys of earlier versions under their present names.

    Args:
        values: changed in place; a key that is there under both names is left, as an unknown one.
        warn: called for each renamed key.
    """
    for old, new in RENAMED_KEYS.items():
        *sections, name = old.split(".")
        section: Any = values
        for each in sections:
            section = section.get(each) if isinstance(section, dict) else None
        present = new.rpartition(".")[2]
        if isinstance(section, dict) and name in section and present not in section:
            section[present] = section.pop(name)
            warn(f"key '{old}' is now called '{new}': rename it, a later version will not read it")
    return values


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
        f"preset '{name}' is neither a preset nor a file.{_nearest(name, preset_names())} See: vtdl presets list"
    )


MOST_LEVELS, MOST_VALUES = 20, 10_000
"""Of nested settings; ours have four levels and about 100 values."""


def check_extent(values: Any) -> Any:
    """Refuse nested values that are too many to process, and text that cannot be written.

    A few lines of YAML may expand to endlessly many values.

    Raises:
        ValueError: they are nested too deeply, or too many, or UTF-8 cannot hold one.
    """
    pending, count = [(values, 0)], 0
    while pending:
        value, level = pending.pop()
        count += 1
        if level > MOST_LEVELS or count > MOST_VALUES:
            raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels, or has more than {MOST_VALUES} values")
        if isinstance(value, str) and has_lone_surrogate(value):
            raise ValueError("it has a lone surrogate, which UTF-8 cannot hold")
        if isinstance(value, dict):
            value = [*value, *value.values()]
        inner = value if isinstance(value, list | tuple | set) else ()
        pending.extend((each, level + 1) for each in inner)
    return values


def read_yaml(text: str) -> Any:
    """Read plain values from YAML.

    Raises:
        ValueError: it is not YAML, or too deeply nested; the message names the place.
    """
    try:
        return check_extent(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels") from None


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
        mistakes += [_explain(dict(detail), source) for detail in error.errors()]
        raise ConfigError(*mistakes) from None
    mistakes += without_effect(assignments, dict(_idle_keys(config)))
    if mistakes:
        raise ConfigError(*mistakes)
    return config


def present_key(key: str) -> str:
    """Return the present name of a key, which may be that of an earlier version."""
    return RENAMED_KEYS.get(key.strip(), key.strip())


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
    if not equals or not sections or not name:
        hint = _did_you_mean(keys_named(name)) or " For example: --set pretrain.epochs=10"
        return f"--set '{text}' is not of the form section.key=value.{hint}"
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            return f"--set '{text}' goes into '{section}', which is a value and not a section"
    try:
        values[name] = _read_value(value)
    except ValueError:  # also of a date that does not exist
        return f"--set '{_shortened(text)}' has a value that is not YAML, or nested too deeply"
    return ""


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
            mistakes.append(f"--set '{text}' has no effect where {reason}. Leave it out")
    return mistakes


def _idle_keys(config: Config) -> Iterator[tuple[str, str]]:
    """Yield keys and sections that have no effect in this configuration, and the reason."""
    if config.method.tca.alpha == 0:
        for key in ("version", "side", "per"):
            yield f"method.tca.{key}", "method.tca.alpha is 0"
    if config.data.modality == "flow":
        yield "data.jitter", "data.modality is 'flow'"
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


def _read_value(text: str) -> Any:
    """Read a YAML value; YAML 1.1 takes `1e-3` for a string, users mean a number."""
    value = read_yaml(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(detail: dict[str, Any], source: str) -> str:
    """Return one line for one of pydantic's errors."""
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        return f"key '{key}' of '{source}' is unknown.{_nearest_key(key)} See: vtdl presets show demo"
    if detail["type"] == "missing":
        return f"key '{key}' is missing from '{source}'. Add it, or --set {key}=..."
    if detail["type"] == "model_type":
        keys = [name for name in all_keys() if name.rpartition(".")[0] == key]
        return f"key '{key}' of '{source}' is a section, and no value. Set what is in it: {', '.join(keys)}"
    rule = detail["msg"].removeprefix("Value error, ")
    value = "" if isinstance(detail["input"], dict) else f" '{_shortened(str(detail['input']))}'"
    return f"{key or 'configuration'}{value} in '{source}' is not valid: {rule[:1].lower()}{rule[1:]}"


def _shortened(text: str) -> str:
    """Return text on one line, at most 80 characters long."""
    return textwrap.shorten(text, 80, placeholder="...")


def _nearest(word: str, choices: list[str]) -> str:
    return _did_you_mean(difflib.get_close_matches(word, choices, n=1, cutoff=0.5))


def _did_you_mean(names: Iterable[str]) -> str:
    quoted = " or ".join(f"'{name}'" for name in names)
    return f" Did you mean {quoted}?" if quoted else ""


def _nearest_key(key: str) -> str:
    """Suggest the key of the same or nearly the same name in the section or below it, else the nearest of all keys."""
    top, _, rest = key.partition(".")
    name = rest.rpartition(".")[2]
    below = {each.rpartition(".")[2]: each for each in all_keys() if each.startswith(f"{top}.")}
    same = [each for each in keys_named(name) if each.startswith(f"{top}.")]
    close = [below[each] for each in difflib.get_close_matches(name, below, n=1)]
    return _did_you_mean(same or close) or _nearest(key, all_keys())


def keys_named(name: str) -> list[str]:
    """Return every key whose last part is `name`, by its present or an earlier name, or that is `name` itself."""
    earlier = {old.rpartition(".")[2]: new.rpartition(".")[2] for old, new in RENAMED_KEYS.items()}
    name = earlier.get(name, name)
    return [key for key in all_keys() if "." in key and name in (key, key.rpartition(".")[2])]


def all_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Return every key that a preset may hold, with its section: `pretrain.optimizer.name`."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        inner = field.annotation
        if isinstance(inner, UnionType):
            inner = next((kind for kind in get_args(inner) if isinstance(kind, type)), None)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += all_keys(inner, f"{prefix}{name}.")
    return keys
