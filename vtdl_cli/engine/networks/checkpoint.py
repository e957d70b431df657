"""Checkpoints: tensors and plain types only, written atomically, read without running code.

They are files of torch's, or to be used elsewhere safetensors, alone or in a folder as hubs of models keep them.

A checkpoint is a dict with `schema`, `stage`, `config`, `classes`, `model` and, to resume from, the training state.
"""

import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vtdl_cli import __version__
from vtdl_cli.engine.networks import TORCHVISION
from vtdl_cli.engine.networks.checkpoint_content import check_checkpoint
from vtdl_cli.engine.networks.hub_folder import CONFIG_FILE, MODEL_FILE, recorded_sha256
from vtdl_cli.engine.networks.methods import METHODS
from vtdl_cli.engine.networks.tensor_file import read_tensors, suggest_convert
from vtdl_cli.errors import CheckpointError
from vtdl_cli.method.pretext_task import PretextTask
from vtdl_cli.models.zoo import is_backbone
from vtdl_cli.runtime import Reporter, Warn, atomic_write, file_sha256, ignore_warning
from vtdl_cli.setting_keys import rename_keys
from vtdl_cli.text import counted

CHECKPOINT_SCHEMA = 1
Checkpoint = dict[str, Any]
Stage = Literal["pretrain", "finetune"]

BACKBONE = "backbone"
"""The backbone's name in a finetuned network, or in weights from elsewhere."""

CHECKPOINTS = "checkpoints"
"""The folder of checkpoints in a run folder."""

RUN_WEIGHTS = ("best.pt", "last.pt")
"""The checkpoint that is used of a run folder, in order of preference; only finetuning writes best.pt."""


def save_checkpoint(path: Path, content: Checkpoint) -> None:
    """Write `content` with schema and versions; an existing checkpoint at `path` is replaced atomically."""
    with atomic_write(path) as temporary:
        torch.save(with_schema(content), temporary)


def with_schema(content: Checkpoint) -> Checkpoint:
    """Return `content` with schema and versions; those of the program that trained the weights are kept."""
    versions = {"vtdl": __version__, "torch": str(torch.__version__)}
    return {"schema": CHECKPOINT_SCHEMA, "versions": versions, **content}


def load_checkpoint(path: Path, warn: Warn = ignore_warning) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Args:
        path: the file.
        warn: called if the file has no checksums.

    Raises:
        CheckpointError: the file is not a checkpoint of vtdl, is damaged, has another schema, or invalid content.
    """
    content = read_tensors(path, warn=warn)
    if not isinstance(content, dict) or "schema" not in content or "model" not in content:
        if isinstance(content, dict) and is_backbone(content):
            raise CheckpointError(
                f"weights '{path}' are a backbone alone, as vtdl convert writes it for other code, without settings "
                "and classifier. Use the run that it is from, or a file of both: vtdl convert runs/finetuned --out "
                "finetuned.safetensors"
            )
        raise CheckpointError(f"weights '{path}' were not written by vtdl. {suggest_convert(path)}")
    if not isinstance(content["schema"], int) or content["schema"] != CHECKPOINT_SCHEMA:
        raise CheckpointError(
            f"weights '{path}' have schema {content['schema']!r}, this version reads {CHECKPOINT_SCHEMA}"
        )
    check_checkpoint(content, path)
    content["config"] = rename_keys(content["config"])
    return content


def load_with_sha256(path: Path, warn: Warn = ignore_warning) -> tuple[Checkpoint, str]:
    """Read a checkpoint and, in a thread, compute the SHA-256 of the file, which identifies the weights.

    Both read the whole file; loading, with the checksums of its records, takes about as long as the hash.

    Args, raises: see `load_checkpoint`.
    """
    with ThreadPoolExecutor(1) as thread:
        sha256 = thread.submit(file_sha256, path)
        return load_checkpoint(path, warn), sha256.result()


def find_weights(name: str) -> Path:
    """Return the checkpoint of a run folder or of a hub's folder, or the file itself.

    Raises:
        CheckpointError: there is none, or the hub's folder is not as it was written.
    """
    path = Path(name)
    if path.is_file():
        return path
    for candidate in RUN_WEIGHTS:
        if (path / CHECKPOINTS / candidate).is_file():
            return path / CHECKPOINTS / candidate
    if (path / MODEL_FILE).is_file():
        return _find_in_hub_folder(path)
    if name.startswith(TORCHVISION):
        raise CheckpointError(f"weights '{name}' are torchvision's. First: vtdl convert {name} --out weights.pt")
    what = f"holds no {CHECKPOINTS}/last.pt and no {MODEL_FILE}" if path.is_dir() else "do not exist"
    raise CheckpointError(f"weights '{name}' {what}. Give a run folder or a checkpoint file")


def find_preset(weights: str) -> str:
    """Return the path of the preset beside weights, which a run folder has; empty if there is none."""
    preset = Path(weights) / "config.yaml"
    return str(preset) if preset.is_file() else ""


def _find_in_hub_folder(folder: Path) -> Path:
    """Return the file of the weights, which has to be the one that the folder was written with."""
    path = folder / MODEL_FILE
    expected, sha256 = recorded_sha256(folder), file_sha256(path)
    if sha256 != expected:
        raise CheckpointError(
            f"weights '{path}' are damaged, cut short or others: their SHA-256 is {sha256[:12]}..., not "
            f"{expected[:12]}... as in {CONFIG_FILE}. Download the folder again"
        )
    return path


def load_pretrained_backbone(
    weights: str, backbone: nn.Module, reporter: Reporter, *, frame_rate: float | None = None
) -> str:
    """Load the weights of a run folder or a checkpoint into `backbone`, and report it; returns the file's SHA-256.

    Args:
        weights: the run folder or checkpoint.
        backbone: what to load them into.
        reporter: for a line, and a warning if they were trained at another frame rate.
        frame_rate: `data.frame_rate` of the training to come.

    Raises:
        CheckpointError: there are none, or they do not fit.
    """
    source = find_weights(weights)
    checkpoint, sha256 = load_with_sha256(source, reporter.warn)
    preset = find_preset(weights)
    remedy = f"Use theirs, unchanged: --preset {shlex.quote(preset)}" if preset else ""
    count = copy_backbone(backbone, checkpoint, remedy)
    reporter.line(f"backbone from '{source}': all {count} tensors match")
    warn_of_frame_rate(checkpoint, source, frame_rate, reporter.warn)
    return sha256


def warn_of_frame_rate(checkpoint: Checkpoint, path: Path, frame_rate: float | None, warn: Warn) -> None:
    """Warn if a run trained its weights at another `data.frame_rate`; that of weights of other code is unknown."""
    before = checkpoint["config"].get("data", {}).get("frame_rate")
    if before == frame_rate or "weights" not in checkpoint.get("origin", {}):
        return
    trained, now = (f"{rate:g} frames/s" if rate else "each file's own rate" for rate in (before, frame_rate))
    warn(
        f"weights '{path}' were trained at {trained}, and data.frame_rate is now {now}: motion looks faster or slower "
        f"to them. To train and measure alike: --set data.frame_rate={'null' if before is None else f'{before:g}'}"
    )


def copy_backbone(backbone: nn.Module, checkpoint: Checkpoint, remedy: str = "") -> int:
    """Copy all tensors of the checkpoint's backbone into `backbone`; `remedy` as of `load_every_tensor`.

    Returns:
        The number of tensors copied.

    Raises:
        CheckpointError: a tensor is missing, unexpected or has another shape; the message has the counts.
    """
    theirs = tensors_under(checkpoint, backbone_prefix(checkpoint))
    load_every_tensor(backbone, theirs, checkpoint, remedy)
    return len(theirs)


def describe_model(model: nn.Module) -> dict[str, Any]:
    """Return what a checkpoint records about its model, so that the backbone can be used without the model's class."""
    if isinstance(model, PretextTask):
        return {"backbone": model.backbone_name, "trains_embedding": model.trains_embedding}
    return {"backbone": BACKBONE, "trains_embedding": False}


def backbone_prefix(checkpoint: Checkpoint) -> str:
    """Return the prefix of the backbone's tensors; checkpoints of earlier versions and other code do not record it."""
    if "backbone" in checkpoint:
        return f"{checkpoint['backbone']}."
    known = dict.fromkeys(f"{method.task.backbone_name}." for method in METHODS.values())
    names = checkpoint["model"].keys()
    return next((each for each in known if any(name.startswith(each) for name in names)), f"{BACKBONE}.")


def trains_embedding(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint has a trained embedding head; for earlier versions, by the name of the method."""
    name = checkpoint["config"]["method"].get("name", "vtdl")
    by_name = checkpoint["stage"] == "pretrain" and name in METHODS and METHODS[name].task.trains_embedding
    return bool(checkpoint.get("trains_embedding", by_name))


def tensors_under(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """Return the checkpoint's tensors whose names begin with `prefix`, by their names without it."""
    tensors = checkpoint["model"].items()
    return {name.removeprefix(prefix): tensor for name, tensor in tensors if name.startswith(prefix)}


def encoder_prefix(checkpoint: Checkpoint) -> str:
    """Return the prefix of the tensors of the encoder that was trained, its head's included."""
    return backbone_prefix(checkpoint).removesuffix(f"{BACKBONE}.")


def load_every_tensor(network: nn.Module, theirs: dict[str, Tensor], checkpoint: Checkpoint, remedy: str = "") -> None:
    """Copy `theirs`, tensors of the checkpoint, into `network`.

    Args:
        network: whose tensors are replaced.
        theirs: name -> tensor.
        checkpoint: what the message says of them comes from it.
        remedy: what to type or to leave out, where that is known.

    Raises:
        CheckpointError: a tensor is missing, unexpected or has another shape; the message has the counts.
    """
    ours = network.state_dict()
    missing, unexpected = ours.keys() - theirs.keys(), theirs.keys() - ours.keys()
    misshaped = [name for name in ours.keys() & theirs.keys() if ours[name].shape != theirs[name].shape]
    if missing or unexpected or misshaped:
        model, modality = checkpoint["config"]["model"], checkpoint["config"]["data"].get("modality", "rgb")
        kind = f"{model.get('name')} (depth {model.get('depth')}, width {model.get('width')}, {modality})"
        raise CheckpointError(
            f"weights of {kind} do not fit the network: "
            f"{counted(len(ours) - len(missing) - len(misshaped), 'tensor matches', 'tensors match')}, "
            f"{len(missing)} missing, {len(unexpected)} unexpected, {len(misshaped)} of another shape. "
            + (remedy or "Choose the preset that these weights were trained with")
        )
    network.load_state_dict(theirs)
