"""Whether a run may overwrite what is in its folder."""

from contextlib import suppress
from pathlib import Path

from vtdl_cli.engine.networks.checkpoint import Stage, find_weights, load_checkpoint
from vtdl_cli.engine.train.run_folder import (
    CONFIG,
    REPLACING,
    has_text,
    name_files,
    written_checkpoints,
    written_files,
)
from vtdl_cli.errors import CheckpointError, UsageError
from vtdl_cli.settings import load_config


def check_overwriting(out: Path, stage: Stage, weights: str | None) -> None:
    """Refuse to overwrite anything but a run of the same stage, which may have been stopped before its first save.

    Args:
        out: the folder to overwrite.
        stage: of the run that is to be written there.
        weights: what it begins from; None: random ones.

    Raises:
        UsageError: `out` holds the weights, a run of the other stage, or files of no run that would be replaced.
    """
    if weights is not None and find_weights(weights).resolve().is_relative_to(out.resolve()):
        raise UsageError(f"weights '{weights}' lie in --out '{out}', which --overwrite replaces. Choose another --out")
    found = _find_stage(out)
    if found not in (stage, ""):
        raise UsageError(
            f"run folder '{out}' holds a run of vtdl {found}, which vtdl {stage} does not overwrite. Choose another "
            "--out, or remove it"
        )
    replaced = [path for path in (*written_files(out), out / CONFIG) if path.exists()]
    if replaced and not found and not (out / REPLACING).exists() and not _is_written(out / CONFIG):
        raise UsageError(
            f"run folder '{out}' holds {name_files(replaced, out)}, and no run of vtdl. Choose another --out"
        )


def _find_stage(folder: Path) -> str:
    """Return the stage of the run in a folder by its checkpoints; empty if none of them can be read."""
    for checkpoint in written_checkpoints(folder):
        with suppress(CheckpointError):
            return str(load_checkpoint(checkpoint)["stage"])
    return ""


def _is_written(config: Path) -> bool:
    """Whether a run wrote this configuration: presets that users write lack settings, or have another form."""
    try:
        return has_text(config, load_config(str(config)).to_yaml())
    except UsageError:
        return False
