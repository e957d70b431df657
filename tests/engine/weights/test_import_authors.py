"""Checkpoints of the authors' C3D, R3D and R(2+1)D, by the names of their code, through the real command.

Oracle throughout: their code, written out with torch's functions (tests/author_networks.py).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.author_networks import (
    NUM_TENSORS,
    State,
    c3d_map,
    c3d_state,
    r2p1d_map,
    r2p1d_state,
    r3d_logits,
    r3d_map,
    r3d_state,
)
from tests.foreign_weights import authors_checkpoint, authors_state, save_authors_trainer
from tests.toy import refuse, succeed
from vtdl_cli.engine.networks.trained import load_backbone, load_classifier, load_embedder

DEEP, SHALLOW = (2, 2, 2, 2), (1, 1, 1, 1)


class Author(NamedTuple):
    """A network of theirs that is 4 channels wide, and what it computes."""

    state: Callable[[], State]
    map: Callable[[State, Tensor], Tensor]
    classifier: dict[str, tuple[int, ...]]
    logits: Callable[[Tensor, dict[str, Tensor]], Tensor]
    settings: tuple[str, ...]


def linear_logits(feature_map: Tensor, classifier: dict[str, Tensor]) -> Tensor:
    return feature_map.mean((2, 3, 4)) @ classifier["linear.weight"].T + classifier["linear.bias"]


LINEAR = {"linear.weight": (5, 32), "linear.bias": (5,)}
AUTHORS = {
    "c3d": Author(lambda: c3d_state(4), c3d_map, LINEAR, linear_logits, ()),
    "r3d-author": Author(
        lambda: r3d_state(4, DEEP),
        r3d_map,
        {"cp.weight": (5, 32, 1, 1, 1)},
        lambda feature_map, classifier: r3d_logits(feature_map, classifier["cp.weight"]),
        ("model.depth=18",),
    ),
    "r2p1d-author": Author(lambda: r2p1d_state(4, DEEP), r2p1d_map, LINEAR, linear_logits, ("model.depth=18",)),
}


def convert(source: Path, out: Path, name: str, *settings: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """The report of the command."""
    assignments = [f"model.name={name}", "model.width=4", *settings]
    words = [word for text in assignments for word in ("--set", text)]
    line = ("convert", str(source), "--preset", "hmdb51/i3d-author", *words, "--out", str(out), "--json", *options)
    report: dict[str, Any] = json.loads(succeed(*line).stdout)
    return report


@pytest.mark.parametrize("name", AUTHORS)
def test_import__authors_finetuned_networks_give_their_logits(name: str, tmp_path: Path) -> None:
    """All tensors of 224-pixel networks match, their classifier included."""
    author = AUTHORS[name]
    torch.manual_seed(0)
    state = author.state()
    classifier = {key: torch.randn(shape) for key, shape in author.classifier.items()}
    named = {f"base_model.{key}": tensor for key, tensor in (state | classifier).items()}
    source = save_authors_trainer(tmp_path / "fine_tune_rgb_model_best.pth.tar", named)
    report = convert(source, tmp_path / "ours.pt", name, *author.settings)
    assert [report[kind] for kind in ("matched", "missing", "unexpected", "misshaped")] == [
        NUM_TENSORS[name],
        [],
        [],
        [],
    ]
    assert (report["stage"], report["num_classes"], report["heads_left_out"]) == ("finetune", 5, [])
    ours, _ = load_classifier(str(tmp_path / "ours.pt"), ())
    clips = torch.randn(1, 3, 16, 224, 224)
    with torch.inference_mode():
        expected = author.logits(author.map(state, clips), classifier)
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "depth", "make_state", "compute_map"),
    [
        ("r3d-author", 18, lambda: r3d_state(4, DEEP), r3d_map),
        ("r2p1d-author", 10, lambda: r2p1d_state(4, SHALLOW), r2p1d_map),
    ],
)
def test_import__authors_pretrained_networks(
    name: str,
    depth: int,
    make_state: Callable[[], State],
    compute_map: Callable[[State, Tensor], Tensor],
    tmp_path: Path,
) -> None:
    """Their pretraining, whose R(2+1)D is of depth 10; the key encoder on demand, and the embedding head as it is."""
    torch.manual_seed(0)
    states = [make_state(), make_state()]
    saved = [authors_state(0, state, feature_dim=32) for state in states]
    head = {"weight": torch.randn(128, 32), "bias": torch.randn(128)}
    saved[0] |= {f"module.id_head.2.{part}": tensor for part, tensor in head.items()}
    source = authors_checkpoint(tmp_path / "ckpt_epoch_48.pth", model=saved[0], model_ema=saved[1])
    report = convert(source, tmp_path / "query.pt", name, f"model.depth={depth}")
    assert (report["missing"], report["unexpected"], report["misshaped"]) == ([], [], [])
    assert report["heads_left_out"] == ["cls_head.2.weight"]
    convert(source, tmp_path / "key.pt", name, f"model.depth={depth}", options=("--key-encoder",))
    query, _ = load_embedder(str(tmp_path / "query.pt"), ())
    key, _ = load_backbone(str(tmp_path / "key.pt"), ())
    clips = torch.randn(2, 3, 16, 48, 48)
    with torch.inference_mode():
        embedding = compute_map(states[0], clips).mean((2, 3, 4)) @ head["weight"].T + head["bias"]
        expected = embedding / embedding.norm(dim=1, keepdim=True)
        torch.testing.assert_close(query(clips), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(key(clips), compute_map(states[1], clips), rtol=1e-4, atol=1e-5)


def test_import__heads_of_the_authors_other_pretext_tasks_are_no_backbone(tmp_path: Path) -> None:
    """Of their 16-way classification of transforms; the names are those of their `src/model/model.py`."""
    torch.manual_seed(0)
    state = {f"base_model.{key}": tensor for key, tensor in c3d_state(4).items()}
    heads = ("G_stream.0.weight", "G_stream.4.bias", "feature_embedding.weight", "P_stream.0.bias", "conv.weight")
    source = save_authors_trainer(tmp_path / "model_best.pth.tar", state | {head: torch.zeros(3) for head in heads})
    report = convert(source, tmp_path / "ours.pt", "c3d")
    assert (report["matched"], report["unexpected"], report["heads_left_out"]) == (NUM_TENSORS["c3d"], [], [*heads])


def test_import__names_the_network_that_weights_are_of(tmp_path: Path) -> None:
    """Oracle: by hand: the 15 tensors of its shortcuts are named as torchvision's, and `bn1` is in their C3D as well."""
    source = authors_checkpoint(tmp_path / "ckpt.pth", model=authors_state(0, r3d_state(4, DEEP), feature_dim=32))
    thin = ("--set", "model.width=4", "--out", str(tmp_path / "o.pt"))
    says = ("do not fit r3d: 15 tensors match,", "Add --set model.name=r3d-author --set model.depth=18, which they fit")
    refuse("convert", str(source), "--preset", "hmdb51/r3d", *thin, code=1, says=says)
    says = ("do not fit c3d: 4 tensors match,", "Add --set model.name=r3d-author --set model.depth=18, which they fit")
    refuse("convert", str(source), "--preset", "hmdb51/c3d", *thin, code=1, says=says)
