"""vtdl: learn to recognise human actions from video without labels.

From Python, in a notebook or a program:

    import vtdl_cli

    model = vtdl_cli.load("runs/finetuned")  # or a checkpoint, or a hub's folder
    model.predict("clip.mp4")  # {"wave": 0.93, "walk": 0.05, ...}: all of model.classes
    model.features("clip.mp4")  # float32 [model.feature_dim]; or of decoded frames, uint8 [T, H, W, 3]

    train = vtdl_cli.read_features("train.h5")  # of vtdl extract or vtdl features import
    train.values, train.labels, train.paths  # float32 [N, D], int64 [N], N paths

`model.module` is the torch module underneath, and `model.transform` turns the frames of a clip into its input.

Public are the names in `__all__`, and for methods of your own `vtdl_cli.method.pretext_task`; all else is private and
may change in any version. Nothing heavy, such as torch, is imported before it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vtdl_cli.api import Features, Model, load, read_features
    from vtdl_cli.errors import VtdlError

__version__ = "0.1.0"
__all__ = ["Features", "Model", "VtdlError", "__version__", "load", "read_features"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'vtdl_cli' has no attribute '{name}'. It has {', '.join(__all__)}")
    home = importlib.import_module("vtdl_cli.errors" if name == "VtdlError" else "vtdl_cli.api")
    return getattr(home, name)


def __dir__() -> list[str]:
    """List the public names, for completion in notebooks."""
    return __all__
