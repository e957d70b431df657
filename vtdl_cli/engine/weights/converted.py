"""Weights that have been read and are to be written in another form: one encoder, and nothing to resume from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vtdl_cli.engine.networks.checkpoint import BACKBONE, Checkpoint, tensors_under, trains_embedding, with_schema
from vtdl_cli.engine.networks.selection import read_selection
from vtdl_cli.engine.networks.trained import Source, build_trained_network
from vtdl_cli.models.encoder import Backbone, Encoder

KEPT = ("versions", "stage", "config", "classes", "num_classes", "list_sha256", "seed", "origin", "epoch", "best")
"""What is kept of a run's checkpoint, if it is there."""


@dataclass(frozen=True)
class Converted:
    """Weights in memory.

    Attributes:
        checkpoint: their content as a checkpoint, by the names of a finetuned network: `backbone.*` and `head.*`.
        path: the file that they came from.
        sha256: of that file.
        run: the run folder that the file is in; none: it is not in one.
        report: how they were imported; empty: a run's own.
    """

    checkpoint: Checkpoint
    path: Path
    sha256: str
    run: Path | None = None
    report: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def trained(self) -> tuple[Encoder | Backbone, Source]:
        """The network, a classifier after finetuning and a backbone after pretraining, and its source.

        Raises:
            CheckpointError: the weights do not fit their own configuration.
        """
        return build_trained_network(self.checkpoint, self.path, self.sha256)

    @property
    def backbone(self) -> Backbone:
        """The backbone of the network."""
        network, _ = self.trained
        return network.backbone if isinstance(network, Encoder) else network

    @property
    def tensors(self) -> int:
        """The number of tensors."""
        return len(self.checkpoint["model"])


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Options of the forms that a model may be written in; each belongs to some of them.

    Attributes:
        frames: ONNX: what frames it takes, `uint8` or `float32`; none: uint8.
        license: a hub's folder: identifier of the licence of the weights; none: unknown.
        results: a hub's folder: results of `vtdl evaluate`; empty: those in the run folder.
    """

    frames: str | None = None
    license: str | None = None
    results: Sequence[Path] = ()

    @property
    def options(self) -> list[str]:
        """Those that were given, as they are typed."""
        typed = {"--frames": self.frames, "--license": self.license, "--results": self.results}
        return [name for name, given in typed.items() if given]


def select_encoder(content: Checkpoint, prefix: str, path: Path) -> Checkpoint:
    """Return one encoder of a run's checkpoint as a checkpoint of its own.

    Args:
        content: of the run's checkpoint.
        prefix: of the names of the encoder's tensors.
        path: the file; its name may say that its epoch was not selected, which the new file's will not.
    """
    kept = {name: content[name] for name in KEPT if name in content}
    kept |= {"backbone": BACKBONE, "trains_embedding": trains_embedding(content)}
    selection = read_selection(content, path)
    if selection is None or "videos" in selection:
        kept["selection"] = selection
    return with_schema({**kept, "model": tensors_under(content, prefix)})
