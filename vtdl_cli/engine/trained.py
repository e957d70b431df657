"""Networks that are trained already: what evaluation and extraction start from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vtdl_cli.config import Config, build_config
from vtdl_cli.engine.build import WITH_EMBEDDING, build_embedder, build_network, build_trunk
from vtdl_cli.engine.checkpoint import (
    Checkpoint,
    backbone_prefix,
    find_weights,
    load_checkpoint,
    load_every_tensor,
    tensors_under,
    transplant_backbone,
)
from vtdl_cli.errors import CheckpointError
from vtdl_cli.models.encoder import Backbone, Encoder


@dataclass(frozen=True)
class Source:
    """Where a network came from.

    Attributes:
        path: the checkpoint's file; `none` for fresh weights.
        sha256: of its bytes; empty for fresh weights.
        config: the configuration inside it, with the user's own assignments.
        classes: names of the classes, where the training list had them.
        num_classes: of the training list.
    """

    path: str
    sha256: str
    config: Config
    classes: list[str] | None
    num_classes: int


def load_classifier(weights: str, assignments: Iterable[str]) -> tuple[Encoder, Source]:
    """A finetuned network with its head.

    Raises:
        CheckpointError: nothing is there, or these weights never had a classifier.
    """
    path = find_weights(weights)
    checkpoint = load_checkpoint(path)
    if checkpoint["stage"] != "finetune":
        raise CheckpointError(
            f"weights '{path}' were pretrained and have no classifier. First: vtdl finetune --weights {weights} ..."
        )
    source = _describe(path, checkpoint, assignments)
    network = build_network(source.config, source.num_classes)
    load_every_tensor(network, checkpoint["model"], checkpoint)
    return network.eval(), source


def load_trunk(weights: str, assignments: Iterable[str]) -> tuple[Backbone, Source]:
    """The backbone of a run of either stage.

    Raises:
        CheckpointError: nothing is there, or it does not fit.
    """
    path = find_weights(weights)
    checkpoint = load_checkpoint(path)
    source = _describe(path, checkpoint, assignments)
    trunk = build_trunk(source.config)
    transplant_backbone(trunk, checkpoint)
    return trunk.eval(), source


def load_embedder(weights: str, assignments: Iterable[str]) -> tuple[Encoder, Source]:
    """The encoder of a pretraining run, with its embedding head: VTDL's is the query encoder.

    Raises:
        CheckpointError: nothing is there, it does not fit, or it holds no such head.
    """
    path = find_weights(weights)
    checkpoint = load_checkpoint(path)
    source = _describe(path, checkpoint, assignments)
    tensors = tensors_under(checkpoint, backbone_prefix(checkpoint).removesuffix("backbone."))
    pretrained = checkpoint["stage"] == "pretrain" and source.config.method.name in WITH_EMBEDDING
    if not pretrained or not any(name.startswith("head.") for name in tensors):
        raise CheckpointError(
            f"weights '{path}' have no embedding head: only pretraining by {' or '.join(WITH_EMBEDDING)} leaves one. "
            "Use --layer last"
        )
    encoder = build_embedder(source.config)
    load_every_tensor(encoder, tensors, checkpoint)
    return encoder.eval(), source


def fresh_trunk(config: Config) -> tuple[Backbone, Source]:
    """A backbone that has learnt nothing: the baseline of every feature."""
    return build_trunk(config).eval(), Source("none", "", config, None, 0)


def _describe(path: Path, checkpoint: Checkpoint, assignments: Iterable[str]) -> Source:
    config = build_config(checkpoint["config"], assignments, source=str(path))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return Source(str(path), digest.hexdigest(), config, checkpoint["classes"], checkpoint["num_classes"])
