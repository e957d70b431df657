"""Plain values from YAML, such as a preset, or what is typed after `--set`."""

from typing import Any

import yaml

from vtdl_cli.text import has_lone_surrogate

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
