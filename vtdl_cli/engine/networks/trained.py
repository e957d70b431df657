"""Load trained networks, for evaluation and extraction."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.data.lists.label_sets import LabelSet, label_set
from vtdl_cli.engine.networks.build import build_backbone, build_embedder, build_network
from vtdl_cli.engine.networks.checkpoint import (
    Checkpoint,
    Stage,
    copy_backbone,
    encoder_prefix,
    find_preset,
    find_weights,
    load_every_tensor,
    load_with_sha256,
    tensors_under,
    trains_embedding,
    warn_of_frame_rate,
)
from vtdl_cli.engine.networks.methods import METHODS
from vtdl_cli.engine.networks.selection import Selection, read_selection
from vtdl_cli.errors import CheckpointError
from vtdl_cli.models.encoder import Backbone, Encoder
from vtdl_cli.runtime import Warn, ignore_warning, unused_path
from vtdl_cli.settings import build_config


@dataclass(frozen=True)
class Source:
    """The provenance of a network.

    Attributes:
        path: the checkpoint file; `none` for random weights.
        sha256: of the file; empty for random weights.
        config: the checkpoint's configuration, with the user's assignments.
        classes: names of the classes, if the training list had them.
        num_classes: of the training list.
        selection: how the epoch was selected in its run; None: it was not.
        stage: in which the weights were trained last; that of random weights says nothing.
        list_sha256: of the training list; empty for random weights and those of others.
    """

    path: str
    sha256: str
    config: Config
    classes: list[str] | None
    num_classes: int
    selection: Selection | None = None
    stage: Stage = "pretrain"
    list_sha256: str = ""

    @property
    def precision(self) -> str:
        """The setting of the precision that the weights were trained in last."""
        section = self.config.finetune if self.stage == "finetune" else self.config.pretrain
        return section.precision

    @property
    def class_names(self) -> list[str]:
        """The names of the classes; their numbers if the training list had no names."""
        return self.classes or [str(number) for number in range(self.num_classes)]

    @property
    def label_set(self) -> LabelSet:
        """The classes of a classifier's outputs."""
        return label_set(f"weights '{self.path}'", self.classes, np.arange(self.num_classes))


def load_classifier(weights: str, assignments: Iterable[str], warn: Warn = ignore_warning) -> tuple[Encoder, Source]:
    """Load a finetuned network with its head.

    Args:
        weights: a run folder or a checkpoint.
        assignments: `section.key=value` on top of the configuration inside it.
        warn: called where damage in the file would go unnoticed, and for renamed keys.

    Raises:
        CheckpointError: there are no such weights, or they have no classifier.
    """
    checkpoint, source = _open(weights, assignments, warn)
    if checkpoint["stage"] != "finetune":
        raise refuse_pretrained(source.path, weights)
    return _classifier(checkpoint, source), source


def refuse_pretrained(path: str, weights: str) -> CheckpointError:
    """Build the error for a checkpoint without a classifier, which the user named `weights`."""
    preset = find_preset(weights) or "small/r3d"
    return CheckpointError(
        f"weights '{path}' were pretrained and have no classifier. First: vtdl finetune "
        f"{shlex.join(['--preset', preset, '--weights', weights])} --train-list lists/train_split_1.txt --root videos "
        f"--out {unused_path('runs/finetuned')}"
    )


def load_backbone(weights: str, assignments: Iterable[str], warn: Warn = ignore_warning) -> tuple[Backbone, Source]:
    """Load the backbone of a pretrained or finetuned network; arguments as of `load_classifier`.

    Raises:
        CheckpointError: there are no such weights, or they do not fit.
    """
    checkpoint, source = _open(weights, assignments, warn)
    return _backbone(checkpoint, source), source


def load_network(
    weights: str, assignments: Iterable[str], warn: Warn = ignore_warning
) -> tuple[Encoder | Backbone, Source]:
    """Load a finetuned network with its head, or a pretrained backbone; arguments as of `load_classifier`.

    Raises:
        CheckpointError: there are no such weights, or they do not fit.
    """
    checkpoint, source = _open(weights, assignments, warn)
    return _network(checkpoint, source), source


def build_trained_network(checkpoint: Checkpoint, path: Path, sha256: str) -> tuple[Encoder | Backbone, Source]:
    """Build the network of a checkpoint that has been read; `path` and `sha256` are of its file."""
    source = _describe(checkpoint, path, sha256, (), ignore_warning)
    return _network(checkpoint, source), source


def load_embedder(weights: str, assignments: Iterable[str], warn: Warn = ignore_warning) -> tuple[Encoder, Source]:
    """Load the encoder of a pretraining run, with its embedding head; arguments as of `load_classifier`.

    Raises:
        CheckpointError: there are no such weights, they do not fit, or they have no such head.
    """
    checkpoint, source = _open(weights, assignments, warn)
    tensors = tensors_under(checkpoint, encoder_prefix(checkpoint))
    if not trains_embedding(checkpoint) or not any(name.startswith("head.") for name in tensors):
        methods = " or ".join(name for name, method in METHODS.items() if method.task.trains_embedding)
        raise CheckpointError(
            f"weights '{source.path}' have no embedding head: only pretraining with {methods} trains one. "
            "Use --layer last"
        )
    encoder = build_embedder(source.config)
    load_every_tensor(encoder, tensors, checkpoint, _settings_to_leave_out(checkpoint, source.config))
    return encoder.eval(), source


def random_backbone(config: Config) -> tuple[Backbone, Source]:
    """Build a randomly initialised backbone, the baseline of all features."""
    return build_backbone(config).eval(), Source("none", "", config, None, 0)


def _network(checkpoint: Checkpoint, source: Source) -> Encoder | Backbone:
    return (_classifier if checkpoint["stage"] == "finetune" else _backbone)(checkpoint, source)


def _classifier(checkpoint: Checkpoint, source: Source) -> Encoder:
    network = build_network(source.config, source.num_classes)
    load_every_tensor(network, checkpoint["model"], checkpoint, _settings_to_leave_out(checkpoint, source.config))
    return network.eval()


def _backbone(checkpoint: Checkpoint, source: Source) -> Backbone:
    backbone = build_backbone(source.config)
    copy_backbone(backbone, checkpoint, _settings_to_leave_out(checkpoint, source.config))
    return backbone.eval()


def _settings_to_leave_out(checkpoint: Checkpoint, config: Config) -> str:
    """Return the assignments of a user that make another network than the checkpoint's, as what to leave out."""
    own = build_config(checkpoint["config"])
    keys = [f"model.{key}" for key, value in own.model if getattr(config.model, key) != value]
    keys += ["data.modality"] if own.data.modality != config.data.modality else []
    return f"Leave out {', '.join(f'--set {key}' for key in keys)}" if keys else ""


def _open(weights: str, assignments: Iterable[str], warn: Warn) -> tuple[Checkpoint, Source]:
    path = find_weights(weights)
    checkpoint, sha256 = load_with_sha256(path, warn)
    return checkpoint, _describe(checkpoint, path, sha256, assignments, warn)


def _describe(checkpoint: Checkpoint, path: Path, sha256: str, assignments: Iterable[str], warn: Warn) -> Source:
    config = build_config(checkpoint["config"], assignments, source=str(path), warn=warn)
    warn_of_frame_rate(checkpoint, path, config.data.frame_rate, warn)
    return Source(
        str(path),
        sha256,
        config,
        checkpoint["classes"],
        checkpoint["num_classes"],
        read_selection(checkpoint, path),
        checkpoint["stage"],
        checkpoint["list_sha256"],
    )
