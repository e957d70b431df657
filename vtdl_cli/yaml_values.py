"""Plain values from YAML, such as a preset, or what is typed after `--set`."""

import re
from typing import Any

import yaml

from vtdl_cli.text import has_lone_surrogate

MOST_LEVELS, MOST_VALUES = 20, 10_000
"""Of nested settings; ours have four levels and about 100 values."""

INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """Reads numbers as people mean them: to YAML 1.1, 010 is 8, 1:30 is 90, and 1e-3 is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag not in (INT, FLOAT)]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(INT, re.compile(r"[-+]?\d+(_\d+)*$", re.ASCII), list("-+0123456789"))
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|\.inf|\.nan)$", re.ASCII | re.IGNORECASE),
    list("-+.0123456789"),
)
_Loader.add_constructor(INT, lambda _, node: int(node.value))


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
        return check_extent(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels") from None
