"""Third-party weights into a checkpoint of ours: matched by name and shape, filled in, written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from vtdl_cli.config import Config
from vtdl_cli.data.lists.class_names import read_classes
from vtdl_cli.engine.networks.build import build_embedding_head, build_network
from vtdl_cli.engine.networks.checkpoint import BACKBONE, Stage, with_schema
from vtdl_cli.engine.weights.converted import Converted
from vtdl_cli.engine.weights.matching import Match, NameTensors, find_fitting_network, match_tensors
from vtdl_cli.engine.weights.third_party import (
    ThirdParty,
    check_finite_tensors,
    find_classifier,
    find_embedding,
    name_as_ours,
    pick_weights,
    split_heads,
)
from vtdl_cli.errors import CheckpointError, ListError, UsageError
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.runtime import file_sha256, seed_torch
from vtdl_cli.text import counted


@dataclass(frozen=True, kw_only=True)
class Import:
    """Options for reading third-party weights; a run of ours records all of them itself.

    Attributes:
        config: which network they are of; it travels inside the checkpoint.
        assignments: those that went into `config`.
        rename: `OLD=NEW`, prefixes of names to replace, in order.
        min_match: percent of the backbone's tensors, ours and theirs, that have to match; none: 95.
        classes: a classes.txt with the names of their classifier's classes; none: the source's, or their numbers.
    """

    config: Config | None = None
    assignments: Sequence[str] = ()
    rename: Sequence[str] = ()
    min_match: float | None = None
    classes: Path | None = None

    @property
    def least_match(self) -> float:
        """`min_match`, or its default."""
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


def import_weights(source: ThirdParty, wanted: Import, *, key_encoder: bool) -> Converted:
    """Read the network of the authors' checkpoints, of torchvision's, or of a plain state dict as a checkpoint.

    Its stage is finetune where the file has all tensors of ours, a classifier included, else pretrain; then the
    embedding head is kept where the file has one that fits.

    Args:
        source: the weights.
        wanted: how to read them.
        key_encoder: take the authors' momentum encoder instead of the one that was trained.

    Returns:
        The checkpoint, and a report of counts and of the names that found no match.

    Raises:
        CheckpointError: the file holds no weights, has NaN or infinite values, or fits too little.
        UsageError: nothing says which network they are of, or an option does not go with them.
        ListError: the file of classes cannot be read, or has another number of them.
    """
    config, path = wanted.config, source.path
    if config is None:
        raise UsageError(f"weights '{path}' do not say which network they are of. Add --preset, see: vtdl presets list")
    tensors = pick_weights(source, key_encoder=key_encoder)

    def name_tensors(backbone: str) -> dict[str, Tensor]:
        return name_as_ours(tensors, wanted.rename, path, backbone)

    filled = fill_network(name_tensors, path, config, wanted.least_match)
    stage: Stage = "finetune" if filled.classifier else "pretrain"
    checkpoint = {
        "stage": stage,
        "config": config.to_dict(),
        "classes": _class_names(source, wanted.classes, filled.num_classes),
        "num_classes": filled.num_classes,
        "list_sha256": "",
        "seed": 0,
        "origin": dict(source.origin),
        "backbone": BACKBONE,
        "trains_embedding": bool(filled.embedding),
        "model": filled.tensors,
    }
    report = {
        "backbone": config.model.name,
        "matched": len(filled.match.matched),
        "missing": filled.match.missing,
        "unexpected": filled.match.unexpected,
        "misshaped": filled.match.misshaped,
        "classifier": filled.classifier,
        "embedding_head": filled.embedding,
        "num_classes": filled.num_classes or None,
        "heads_left_out": filled.left_out,
        "origin": checkpoint["origin"],
    }
    return Converted(with_schema(checkpoint), path, file_sha256(path), report=report)


@dataclass(frozen=True)
class Filled:
    """A network of ours with third-party weights.

    Attributes:
        network: with the weights; it has the classifier or the embedding head if theirs fits.
        match: of its backbone with theirs.
        classifier: their names of what went into the classifier; empty: none fitted.
        embedding: their names of what went into the embedding head; empty: none fitted, or there is a classifier.
        left_out: heads of theirs that did not.
        num_classes: of the classifier; 0 without one.
    """

    network: Encoder
    match: Match
    classifier: list[str]
    embedding: list[str]
    left_out: list[str]
    num_classes: int

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that are to be kept: a head that nothing fitted is randomly initialised."""
        has_head = self.classifier or self.embedding
        state = self.network.state_dict()
        return {name: state[name] for name in state if has_head or name.startswith(f"{BACKBONE}.")}


def fill_network(name_tensors: NameTensors, path: Path, config: Config, min_match: float) -> Filled:
    """Put weights into a network of `config`; what does not fit is left out.

    Args:
        name_tensors: names them as in a backbone of ours.
        path: the file.
        config: the network.
        min_match: percent of the backbone's tensors, ours and theirs, that have to match.

    Raises:
        CheckpointError: less than `min_match` percent of the backbone's tensors fit, or some are NaN or infinite.
    """
    theirs = name_tensors(config.model.name)
    backbone, heads = split_heads(theirs)
    classifier, embedding = find_classifier(heads), find_embedding(heads)
    rows = max((len(heads[name]) for name in classifier.values() if heads[name].ndim), default=0)
    seed_torch(0)  # of what is missing, where less than all is accepted
    network = build_network(config, max(rows, 1))
    match = match_tensors(network.backbone, backbone)
    if match.share < min_match or not match.matched:
        other = find_fitting_network(name_tensors, config)
        advice = (
            f"Add {other}, which they fit"
            if other
            else "Choose the --preset they belong to, or rename them, as in --rename encoder.=backbone."
        )
        raise CheckpointError(
            f"weights '{path}' do not fit {config.model.name}: {match.in_words()}; that is {match.share:.0f}%, "
            f"less than --min-match {min_match:g}. {advice}"
        )
    check_finite_tensors({name: theirs[name] for name in match.matched}, path)
    network.backbone.load_state_dict({name: backbone[name] for name in match.matched}, strict=False)
    is_whole = match.share == 100  # a head on another backbone than its own would guess
    used = _fill_head(network.head, classifier, heads, path) if is_whole else []
    embedded = []
    if is_whole and not used:
        network.head = build_embedding_head(config, network.backbone)
        embedded = _fill_head(network.head, embedding, heads, path)
    left_out = [name for name in heads if name not in (*used, *embedded)]
    return Filled(network, match, used, embedded, left_out, rows if used else 0)


def _fill_head(head: nn.Module, names: Mapping[str, str], heads: Mapping[str, Tensor], path: Path) -> list[str]:
    """Put all of their tensors into a head of ours, or none; returns their names of those that it took.

    Args:
        head: of ours.
        names: in our head -> theirs.
        heads: their tensors.
        path: the file.
    """
    theirs = {ours: heads[name] for ours, name in names.items()}
    if not theirs or match_tensors(head, theirs).share < 100:
        return []
    check_finite_tensors({name: heads[name] for name in names.values()}, path)
    head.load_state_dict(theirs)
    return list(names.values())


def _class_names(source: ThirdParty, file: Path | None, num_classes: int) -> list[str] | None:
    """The names in `file`, which have to be those of the classifier; without a file, the source's own."""
    if file is None:
        return source.classes if num_classes else None
    if not num_classes:
        raise UsageError(f"--classes '{file}' needs a classifier, and '{source.path}' has none that fits. Leave it out")
    classes = read_classes(file)
    if len(classes) != num_classes:
        raise ListError(
            f"class file '{file}' names {counted(len(classes), 'class')}, but the classifier of "
            f"'{source.path}' has "
            f"{num_classes}. Name the classes.txt that it was trained with"
        )
    return classes
