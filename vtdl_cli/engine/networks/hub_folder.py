"""A model as hubs of models keep it: a folder with model.safetensors, config.json and a model card, README.md.

All that vtdl needs is in model.safetensors; config.json repeats it for other readers, and holds the file's SHA-256.
"""

import json
from pathlib import Path
from typing import Any

from vtdl_cli.errors import CheckpointError

MODEL_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"
HUB_FILES = (MODEL_FILE, CONFIG_FILE, CARD_FILE)
LIBRARY = "vtdl"  # config.json's `library_name`


def read_hub_config(folder: Path) -> dict[str, Any] | None:
    """Return the config.json that vtdl wrote into a folder; None: there is none, or another library's."""
    try:
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("library_name") == LIBRARY else None


def recorded_sha256(folder: Path) -> str:
    """Return the SHA-256 that model.safetensors of a folder has to have.

    Raises:
        CheckpointError: the folder does not say.
    """
    config = read_hub_config(folder)
    if config is None or not isinstance(config.get("sha256"), str):
        raise CheckpointError(
            f"weights '{folder}' have no {CONFIG_FILE} of vtdl with the sha256 of {MODEL_FILE}. "
            f"Download the whole folder again, or name the file: {folder / MODEL_FILE}"
        )
    return str(config["sha256"])
