"""Weights from elsewhere into a checkpoint of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vtdl_cli.config import Config
from vtdl_cli.data.lists.video_list import read_classes
from vtdl_cli.engine.networks.build import build_network
from vtdl_cli.engine.networks.checkpoint import Stage, save_checkpoint
from vtdl_cli.engine.weights.comparison import Comparison, compare
from vtdl_cli.engine.weights.foreign import check_finite, find_classifier, name_as_ours, pick_weights, split_heads
from vtdl_cli.errors import CheckpointError, ListError, UsageError
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.runtime import seed_torch


@dataclass(frozen=True, kw_only=True)
class Import:
    """What is said about weights from elsewhere; a run of ours knows all of it itself.

    Attributes:
        config: which network they are of; it travels inside the checkpoint.
        assignments: those that went into `config`.
        rename: `OLD=NEW`, beginnings of names to replace, in order.
        min_match: percent of the backbone's tensors, ours and theirs, that have to match; none: 95.
        classes: a classes.txt with the names of their classifier's classes; none: their numbers.
    """

    config: Config | None = None
    assignments: Sequence[str] = ()
    rename: Sequence[str] = ()
    min_match: float | None = None
    classes: Path | None = None

    @property
    def least_match(self) -> float:
        """`min_match`, or what it is by default."""
        return 95.0 if self.min_match is None else self.min_match

    @property
    def options(self) -> list[str]:
        """Those that were given, as they are typed."""
        typed = {
            "--preset": self.config is not None,
            "--set": self.assignments,
            "--rename": self.rename,
            "--min-match": self.min_match is not None,
            "--classes": self.classes,
        }
        return [name for name, given in typed.items() if given]


@dataclass(frozen=True)
class Imported:
    """A network of ours with weights from elsewhere.

    Attributes:
        network: filled; a head that nothing fitted is fresh.
        compared: its backbone with theirs.
        classifier: their names of what went into the head.
        left_out: heads of theirs that did not.
        num_classes: of the classifier; 0 without one.
    """

    network: Encoder
    compared: Comparison
    classifier: list[str]
    left_out: list[str]
    num_classes: int


def import_weights(
    content: Mapping[str, Any], path: Path, out: Path, wanted: Import, *, key_encoder: bool
) -> dict[str, Any]:
    """Write the network of the authors' checkpoints, of torchvision's, or of a plain state dict as a checkpoint.

    It is one of finetuning where the file has all of ours, a classifier included, else one of pretraining.

    Args:
        content: of the file.
        path: the file.
        out: the checkpoint to write.
        wanted: how to read it.
        key_encoder: take the authors' momentum encoder instead of the one that was trained.

    Returns:
        Counts, and the names that found no match.

    Raises:
        CheckpointError: the file holds no weights, not numbers alone, or they fit too little.
        UsageError: nothing says which network they are of, or an option does not go with them.
        ListError: the file of classes is wrong, or has another number of them.
    """
    config = wanted.config
    if config is None:
        raise UsageError(f"weights '{path}' do not say which network they are of. Add --preset, see: vtdl presets list")
    theirs = name_as_ours(pick_weights(content, path, key_encoder=key_encoder), wanted.rename, path)
    imported = fill_network(theirs, path, config, wanted.least_match)
    stage: Stage = "finetune" if imported.classifier else "pretrain"
    classes = _read_class_names(wanted.classes, path, imported.num_classes)
    state = imported.network.state_dict()
    ours = {
        "stage": stage,
        "config": config.to_dict(),
        "classes": classes,
        "num_classes": imported.num_classes,
        "list_sha256": "",
        "seed": 0,
        "origin": {"converted_from": str(path)},
        "model": {name: state[name] for name in state if imported.classifier or name.startswith("backbone.")},
    }
    save_checkpoint(out, ours)
    return {
        "out": str(out),
        "stage": stage,
        "backbone": config.model.name,
        "matched": len(imported.compared.matched),
        "missing": imported.compared.missing,
        "unexpected": imported.compared.unexpected,
        "misshaped": imported.compared.misshaped,
        "classifier": imported.classifier,
        "num_classes": imported.num_classes or None,
        "heads_left_out": imported.left_out,
    }


def fill_network(theirs: Mapping[str, Tensor], path: Path, config: Config, min_match: float) -> Imported:
    """Put weights by our names into a network of `config`, what does not fit left out.

    Raises:
        CheckpointError: less than `min_match` percent of the backbone's tensors fit, or some are not numbers alone.
    """
    backbone, heads = split_heads(theirs)
    names = find_classifier(heads)
    classifier = {ours: heads[name] for ours, name in names.items()}
    rows = max((len(tensor) for tensor in classifier.values() if tensor.ndim), default=0)
    seed_torch(0)  # of what is not there, where less than all will do
    network = build_network(config, max(rows, 1))
    compared = compare(network.backbone, backbone)
    if compared.share < min_match or not compared.matched:
        raise CheckpointError(
            f"weights '{path}' do not fit {config.model.name}: {compared.in_words()}; that is {compared.share:.0f}%, "
            f"less than --min-match {min_match:g}. Choose the --preset they belong to, or --rename OLD=NEW"
        )
    is_whole = compared.share == 100  # a classifier on another backbone than its own would guess
    used = list(names.values()) if is_whole and compare(network.head, classifier).share == 100 else []
    check_finite({name: theirs[name] for name in (*compared.matched, *used)}, path)
    network.backbone.load_state_dict({name: backbone[name] for name in compared.matched}, strict=False)
    if used:
        network.head.load_state_dict(classifier)
    return Imported(network, compared, used, [name for name in heads if name not in used], rows if used else 0)


def _read_class_names(source: Path | None, path: Path, num_classes: int) -> list[str] | None:
    """The names in `source`, which have to be those of the classifier."""
    if source is None:
        return None
    if not num_classes:
        raise UsageError(f"--classes '{source}' needs a classifier, and '{path}' has none that fits. Leave it out")
    classes = read_classes(source)
    if len(classes) != num_classes:
        raise ListError(
            f"class file '{source}' names {len(classes)} classes, but the classifier of '{path}' tells {num_classes} "
            "apart. Name the classes.txt that it was trained with"
        )
    return classes
