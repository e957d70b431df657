"""Write a network as safetensors that can be used as a checkpoint."""

from pathlib import Path
from typing import Any

from vtdl_cli.engine.networks.checkpoint import load_checkpoint
from vtdl_cli.engine.networks.safetensors_file import write_safetensors
from vtdl_cli.engine.weights.converted import Converted


def write_checked(converted: Converted, path: Path) -> dict[str, Any]:
    """Write the file and read it again, which verifies its checksum; not atomic."""
    feature_dim = converted.backbone.feature_dim  # refuses weights that do not fit their own network
    write_safetensors(path, converted.checkpoint)
    load_checkpoint(path)
    return {"stage": converted.checkpoint["stage"], "tensors": converted.tensors, "feature_dim": feature_dim}
