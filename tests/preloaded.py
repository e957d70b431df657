"""What every command that trains or measures imports, and nothing that starts a thread (see tests/processes.py)."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch reads it

import importlib
import pkgutil

import vtdl_cli

LATER = [
    "decord",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "typer.rich_utils",
]
"""What is not imported at the top of a module."""

modules = [module.name for module in pkgutil.walk_packages(vtdl_cli.__path__, "vtdl_cli.")]
for name in (*modules, *LATER):
    if not name.endswith("__main__"):
        importlib.import_module(name)
