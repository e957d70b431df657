"""The keys of settings: those there are, those of earlier versions, and the one that a mistyped key is nearest to."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from vtdl_cli.config import Config
from vtdl_cli.runtime import Warn, ignore_warning

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


def present_key(key: str) -> str:
    """Return the present name of a key, which may be that of an earlier version."""
    return RENAMED_KEYS.get(key.strip(), key.strip())


def all_keys(section: type[BaseModel] = Config) -> list[str]:
    """Return every key that a preset may hold, with its section: `pretrain.optimizer.name`."""
    return [key for key, _ in _fields(section)]


def setting_choices() -> dict[str, tuple[str, ...]]:
    """Return every key that is no section, and the values to choose from; empty: it is a number or a text."""
    sections = {key.rpartition(".")[0] for key in all_keys()}
    return {key: _choices(annotation) for key, annotation in _fields(Config) if key not in sections}


def _fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key with its type, sections before what is in them."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        yield prefix + name, inner
        if isinstance(inner, UnionType):
            inner = next((kind for kind in get_args(inner) if isinstance(kind, type)), None)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{name}.")


def _choices(annotation: Any) -> tuple[str, ...]:
    if annotation is bool:
        return "true", "false"
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings in one level, by keys such as `pretrain.optimizer.lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def keys_named(name: str) -> list[str]:
    """Return every key whose last part is `name`, by its present or an earlier name, or that is `name` itself."""
    earlier = {old.rpartition(".")[2]: new.rpartition(".")[2] for old, new in RENAMED_KEYS.items()}
    name = earlier.get(name, name)
    return [key for key in all_keys() if "." in key and name in (key, key.rpartition(".")[2])]


def suggest_key(key: str) -> str:
    """Suggest the key of the same or nearly the same name in the section or below it, else the nearest of all keys."""
    top, _, rest = key.partition(".")
    name = rest.rpartition(".")[2]
    below = {each.rpartition(".")[2]: each for each in all_keys() if each.startswith(f"{top}.")}
    same = [each for each in keys_named(name) if each.startswith(f"{top}.")]
    close = [below[each] for each in difflib.get_close_matches(name, below, n=1)]
    return suggest(same or close) or suggest_nearest(key, all_keys())


def suggest_nearest(word: str, choices: list[str]) -> str:
    """Return a question that suggests the nearest choice; '' if none is near."""
    return suggest(difflib.get_close_matches(word, choices, n=1, cutoff=0.5))


def suggest(names: Iterable[str]) -> str:
    """Return a question that suggests names; '' if there are none."""
    quoted = " or ".join(f"'{name}'" for name in names)
    return f" Did you mean {quoted}?" if quoted else ""
