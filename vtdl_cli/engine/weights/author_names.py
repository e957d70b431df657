"""Names in the authors' checkpoints of C3D, R3D and R(2+1)D -> ours; those of their I3D are ours already.

Theirs are numbered differently, and say `bn1` where ours say `conv1.1`. Our own names and torchvision's match no rule.
"""

import re
from collections.abc import Callable, Sequence

Rule = tuple[str, str | Callable[[re.Match[str]], str]]  # pattern, replacement


def _first_block(match: re.Match[str]) -> str:
    return f"layer{int(match[1]) - 1}.0."  # their stem is conv1


def _later_block(match: re.Match[str]) -> str:
    return f"layer{int(match[1]) - 1}.{int(match[2]) + 1}."


RULES: dict[str, Sequence[Rule]] = {
    "c3d": (
        (r"^conv([12])\.", r"conv\1a.0."),
        (r"^bn([12])\.", r"conv\1a.1."),
        (r"^conv([345][ab])\.(weight|bias)$", r"conv\1.0.\2"),
        (r"^bn([345][ab])\.", r"conv\1.1."),
    ),
    "r3d-author": (
        (r"^conv1\.", "stem.0."),
        (r"^bn1\.", "stem.1."),
        (r"^(layer\d\.\d+)\.conv(\d)\.weight$", r"\1.conv\2.0.weight"),
        (r"^(layer\d\.\d+)\.bn(\d)\.", r"\1.conv\2.1."),
    ),
    "r2p1d-author": (
        (r"^conv([2-5])\.block1\.", _first_block),
        (r"^conv([2-5])\.blocks\.(\d+)\.", _later_block),
        (r"^conv1\.", "stem."),
        (r"^bn1\.", "stem.4."),
        (r"\.bn(\d)\.", r".conv\1.1."),
        (r"\.conv(\d)\.(spatial_conv|bn|temporal_conv)\.", r".conv\1.0.\2."),
        (r"\.downsampleconv\.", ".downsample.0."),
        (r"\.downsamplebn\.", ".downsample.1."),
        (r"\.spatial_conv\.", ".0."),
        (r"\.bn\.", ".1."),
        (r"\.temporal_conv\.", ".3."),
    ),
}
"""`model.name` -> rules, applied in order; of `src/model/c3d.py`, `r3d.py` and `r2p1d.py`."""


def rename_author(name: str, backbone: str) -> str:
    """Return our name of a tensor of the authors' `backbone`; of any other tensor, its name."""
    for pattern, replacement in RULES.get(backbone, ()):
        name = re.sub(pattern, replacement, name)
    return name
