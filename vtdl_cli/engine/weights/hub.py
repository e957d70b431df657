"""Write the folder of a model as hubs of models keep it; `networks/hub_folder.py` reads it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from vtdl_cli.engine.networks.checkpoint import CHECKPOINTS
from vtdl_cli.engine.networks.hub_folder import CARD_FILE, CONFIG_FILE, HUB_FILES, MODEL_FILE, read_hub_config
from vtdl_cli.engine.weights.converted import Converted, Wanted
from vtdl_cli.engine.weights.description import describe_network
from vtdl_cli.engine.weights.measured import find_measured
from vtdl_cli.engine.weights.model_card import format_card
from vtdl_cli.engine.weights.safetensors_form import write_checked
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Reporter, atomic_write, check_writable, file_sha256, write_json, write_text

UNKNOWN_LICENSE = "unknown"
LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")  # identifiers of SPDX and of hubs


def check_hub_folder(out: Path, *, overwrite: bool, source: Path) -> None:
    """Check that the folder can be written, and that no file of it would be lost that vtdl has not written.

    Raises:
        UsageError: it cannot, or it is a run's, or it holds such files, or the source, or a model without `overwrite`.
    """
    check_writable(out)
    if (out / CHECKPOINTS).is_dir():
        raise UsageError(f"output '{out}' is a run folder. Choose another --out")
    present = [name for name in HUB_FILES if (out / name).exists()]
    if (out / MODEL_FILE).resolve() == source.resolve():
        raise UsageError(f"output '{out}' is itself one of the inputs. Choose another --out")
    if present and read_hub_config(out) is None:
        raise UsageError(f"output '{out / present[0]}' exists, and is not of vtdl. Choose another --out")
    if present and not overwrite:
        raise UsageError(f"output '{out / present[0]}' exists. Use --overwrite, or another --out")


def write_hub_folder(converted: Converted, out: Path, wanted: Wanted, reporter: Reporter) -> dict[str, Any]:
    """Write model.safetensors, config.json with its SHA-256, and the model card.

    Raises:
        UsageError: the licence is not an identifier, or results are of other weights.
        VtdlError: a file cannot be written.
    """
    license_ = wanted.license or UNKNOWN_LICENSE
    if not LICENSE.fullmatch(license_):
        raise UsageError(f"--license '{license_}' is not an identifier such as apache-2.0 or cc-by-nc-4.0")
    measured = find_measured(converted, wanted, reporter)
    converted = _without_folders(converted)
    with atomic_write(out / MODEL_FILE) as temporary:
        report = write_checked(converted, temporary)
        content = {
            **describe_network(converted),
            "license": license_,
            "sha256": file_sha256(temporary),
            "list_sha256": converted.checkpoint["list_sha256"],
            "measured": measured,
        }
        write_json(out / CONFIG_FILE, content, indent=2)  # first: without its model it is no model
    name = out.resolve().name or "model"
    write_text(out / CARD_FILE, format_card(converted, name, content, measured))
    if wanted.license is None:
        reporter.line(f"the model card says license: {UNKNOWN_LICENSE}. --license apache-2.0 would state that one")
    return {**report, "sha256": content["sha256"], "license": license_, "measured": measured}


def _without_folders(converted: Converted) -> Converted:
    """Return the weights with only the last part of each absolute path in their origin: the folder is published."""
    origin = {
        name: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for name, value in converted.checkpoint["origin"].items()
    }
    return replace(converted, checkpoint={**converted.checkpoint, "origin": origin})
