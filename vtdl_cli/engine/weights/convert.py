"""Convert weights: read a run's or third-party ones as a checkpoint, and write it in the form that --out names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vtdl_cli.engine.networks.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    encoder_prefix,
    find_weights,
    load_checkpoint,
)
from vtdl_cli.engine.weights.converted import Converted, Wanted, select_encoder
from vtdl_cli.engine.weights.forms import choose_form
from vtdl_cli.engine.weights.import_weights import Import, import_weights
from vtdl_cli.engine.weights.third_party import ThirdParty, check_finite_tensors, read_third_party
from vtdl_cli.engine.weights.torchvision_weights import Release, fetch
from vtdl_cli.errors import CheckpointError, UsageError
from vtdl_cli.locks import releasing_locks
from vtdl_cli.runtime import Reporter, file_sha256

KEY_ENCODER_PREFIX = "encoders.key."  # of its names in a run of ours


@releasing_locks
def convert(
    weights: str | Release,
    out: Path,
    imported: Import,
    wanted: Wanted,
    reporter: Reporter,
    *,
    key_encoder: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Convert weights to the form that the name of `out` ends in, see `forms.FORMS`.

    Args:
        weights: a file, a run folder, a hub's folder, or published weights.
        out: the file or folder to write.
        imported: how to read third-party weights.
        wanted: options of the form.
        reporter: for downloads, and warnings of weights without checksums and of an `out` that cannot be locked.
        key_encoder: take the momentum encoder instead of the one that was trained.
        overwrite: whether `out` may exist.

    Returns:
        What was written, and `stage` where it can be used as --weights.

    Raises:
        CheckpointError: the weights cannot be downloaded or read, or do not fit.
        UsageError: an option does not go with these weights or this form; nothing has been written.
    """
    path = weights.path if isinstance(weights, Release) else find_weights(weights)
    form = choose_form(out, wanted)
    form.prepare(out, path, reporter, overwrite=overwrite)
    if isinstance(weights, Release):
        converted = import_weights(fetch(weights, reporter), imported, key_encoder=key_encoder)
    else:
        converted = _read(path, imported, reporter, key_encoder=key_encoder)
    check_finite_tensors(converted.checkpoint["model"], path)
    written = form.write(converted, out, wanted, reporter)
    return {"out": str(out), **converted.report, **written}


def _read(path: Path, imported: Import, reporter: Reporter, *, key_encoder: bool) -> Converted:
    """Read the weights in a file; the file decides whether they are ours."""
    content = read_third_party(path, reporter.warn)
    if not is_ours(content):
        source = ThirdParty(path, content, {"converted_from": str(path)})
        return import_weights(source, imported, key_encoder=key_encoder)
    if options := imported.options:
        raise UsageError(f"weights '{path}' are ours and carry their preset. Leave out {' and '.join(options)}")
    checkpoint, sha256 = load_checkpoint(path), file_sha256(path)
    if key_encoder:
        return Converted(select_key_encoder(checkpoint, path), path, sha256, report={"encoder": "key"})
    run = path.parent.parent if path.parent.name == CHECKPOINTS else None
    return Converted(select_encoder(checkpoint, encoder_prefix(checkpoint), path), path, sha256, run)


def is_ours(content: Mapping[str, Any]) -> bool:
    """Whether this is the content of a checkpoint of vtdl."""
    return "schema" in content and "config" in content


def select_key_encoder(content: Checkpoint, path: Path) -> Checkpoint:
    """Return the key encoder of a pretraining run, its head included, as a checkpoint with no other encoder.

    Raises:
        CheckpointError: it has none.
    """
    selected = select_encoder(content, KEY_ENCODER_PREFIX, path)
    if not selected["model"]:
        raise CheckpointError(
            f"weights '{path}' have no key encoder: only pretraining with vtdl trains one. Leave out --key-encoder"
        )
    return {**selected, "origin": {"converted_from": str(path), "encoder": "key"}}
