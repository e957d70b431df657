"""Third-party weights into a checkpoint of ours; of a run of ours, a part of it into a file of its own."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vtdl_cli.engine.networks.checkpoint import (
    BACKBONE,
    find_weights,
    load_checkpoint,
    save_checkpoint,
    tensors_under,
    trains_embedding,
)
from vtdl_cli.engine.weights.export import ONNX, export_backbone
from vtdl_cli.engine.weights.import_weights import Import, import_weights
from vtdl_cli.engine.weights.third_party import ThirdParty, check_finite, read_third_party
from vtdl_cli.engine.weights.torchvision_weights import fetch, find_release
from vtdl_cli.errors import CheckpointError, UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, check_new_file

KEY_ENCODER_PREFIX = "encoders.key."  # of its names in a run of ours


@releasing_locks
def convert(
    weights: str, out: Path, wanted: Import, reporter: Reporter, *, key_encoder: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Import third-party weights; of a run of ours, export the backbone or the key encoder.

    Args:
        weights: a file, a run folder, or `torchvision:NAME`.
        out: the file to write.
        wanted: how to read third-party weights.
        reporter: for downloads, and warnings of weights without checksums and of an `out` that cannot be locked.
        key_encoder: take the momentum encoder instead of the one that was trained.
        overwrite: whether `out` may exist.

    Returns:
        What was written, and `stage` where it is a checkpoint.

    Raises:
        CheckpointError: the weights cannot be downloaded or read, or do not fit.
        UsageError: an option does not go with these weights; nothing has been written.
    """
    release = find_release(weights)
    path = release.path if release else find_weights(weights)
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=[path])
    content = {} if release else read_third_party(path, reporter.warn)
    ours = is_ours(content)
    if out.suffix == ONNX and (key_encoder or not ours):
        first = shlex.quote(str(out.with_suffix(".pt")))
        raise UsageError(
            f"--out '{out}' is named as ONNX, and what comes of these weights is a checkpoint. "
            f"Choose --out {first}, then: vtdl convert {first} --out {shlex.quote(str(out))}"
        )
    if not ours:
        source = fetch(release, reporter) if release else ThirdParty(path, content, {"converted_from": str(path)})
        return import_weights(source, out, wanted, key_encoder=key_encoder)
    if options := wanted.options:
        raise UsageError(f"weights '{path}' are ours and carry their preset. Leave out {' and '.join(options)}")
    return take_key_encoder(path, out) if key_encoder else export_backbone(weights, out)


def is_ours(content: Mapping[str, Any]) -> bool:
    """Whether this is the content of a checkpoint of vtdl."""
    return "schema" in content and "config" in content


def take_key_encoder(path: Path, out: Path) -> dict[str, Any]:
    """Write the key encoder of a pretraining run, its head included, as a checkpoint with no other encoder.

    Raises:
        CheckpointError: it has none.
    """
    content = load_checkpoint(path)
    tensors = tensors_under(content, KEY_ENCODER_PREFIX)
    if not tensors:
        raise CheckpointError(
            f"weights '{path}' have no key encoder: only pretraining with vtdl trains one. Leave out --key-encoder"
        )
    check_finite(tensors, path)
    kept = {name: content[name] for name in ("stage", "config", "classes", "num_classes", "list_sha256", "seed")}
    kept |= {"backbone": f"encoder.{BACKBONE}", "trains_embedding": trains_embedding(content)}
    origin = {"converted_from": str(path), "encoder": "key"}
    model = {f"encoder.{name}": tensor for name, tensor in tensors.items()}
    save_checkpoint(out, {**kept, "origin": origin, "model": model})
    return {"out": str(out), "stage": content["stage"], "encoder": "key", "tensors": len(tensors)}
