"""Third-party weights become checkpoints, through the real command."""

import argparse
import json
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from torch import Tensor, nn

from tests.foreign_weights import (
    I3D,
    NUM_TENSORS,
    authors_checkpoint,
    authors_finetuned,
    authors_state,
    features,
    thin_i3d,
)
from tests.models.test_heads import authors_classifier
from tests.toy import CLASSES, Toy, load, refuse, succeed
from vtdl_cli.engine.networks.build import build_backbone
from vtdl_cli.engine.networks.trained import load_backbone, load_classifier, load_embedder
from vtdl_cli.models.heads import pool_features
from vtdl_cli.settings import load_config

# ---- backbones


@pytest.mark.parametrize(
    ("option", "seed", "more"), [((), 1, {}), (("--key-encoder",), 2, {}), ((), 1, {"amp": {"loss_scale": 65536.0}})]
)
def test_import__authors_checkpoint(tmp_path: Path, option: tuple[str, ...], seed: int, more: dict[str, Any]) -> None:
    """Oracle: the network whose weights were saved; the trained encoder is taken unless told."""
    source = authors_checkpoint(tmp_path / "ckpt_epoch_48.pth", **more)
    answer = succeed("convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt"), "--json", *option)
    report = json.loads(answer.stdout)
    assert [report[name] for name in ("matched", "missing", "unexpected", "misshaped")] == [NUM_TENSORS, [], [], []]
    assert report["heads_left_out"] == ["cls_head.2.weight"]
    assert sorted(report["embedding_head"]) == ["id_head.2.bias", "id_head.2.weight"]
    assert (report["stage"], report["classifier"], report["num_classes"]) == ("pretrain", [], None)
    assert answer.stderr == ""
    backbone, loaded = load_backbone(str(tmp_path / "ours.pt"), ())
    assert torch.equal(features(backbone), features(thin_i3d(seed)))
    assert loaded.config.model.width == 4


def test_import__embedding_head_is_kept(tmp_path: Path) -> None:
    """Oracle: the authors' head written out: global average, linear, L2 norm (method/README)."""
    head = {"weight": torch.randn(128, 64), "bias": torch.randn(128)}
    state = authors_state(1) | {f"module.id_head.2.{name}": tensor for name, tensor in head.items()}
    source = authors_checkpoint(tmp_path / "ckpt.pth", model=state)
    succeed("convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt"))
    ours, _ = load_embedder(str(tmp_path / "ours.pt"), ())
    clips = torch.randn(2, 3, 16, 32, 32)
    with torch.inference_mode():
        linear = thin_i3d(1)(clips).mean((2, 3, 4)) @ head["weight"].T + head["bias"]
        torch.testing.assert_close(ours(clips), linear / linear.norm(dim=1, keepdim=True))


def test_import__embedding_head_that_does_not_fit_stays_behind(tmp_path: Path) -> None:
    """Of 64 features, not 128; features are as good without it."""
    source = authors_checkpoint(tmp_path / "ckpt.pth")
    dim = ("--set", "model.embedding_dim=64")
    report = json.loads(succeed("convert", str(source), *I3D, *dim, "--out", str(tmp_path / "o.pt"), "--json").stdout)
    assert report["embedding_head"] == []
    assert "id_head.2.weight" in report["heads_left_out"]
    assert not load(tmp_path / "o.pt")["trains_embedding"]


def test_import__torchvision_file(tmp_path: Path) -> None:
    """Oracle: torchvision's own network, its classifier included, on the same clips; r2plus1d_18: by name, next file."""
    from torchvision.models import video

    torch.manual_seed(0)
    theirs = video.r3d_18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    succeed("convert", str(tmp_path / "weights.pth"), "--preset", "ucf101/r3d", "--out", str(tmp_path / "ours.pt"))
    ours, source = load_classifier(str(tmp_path / "ours.pt"), ())
    assert source.num_classes == 400
    clips = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(clips), theirs(clips), rtol=1e-4, atol=1e-5)
        theirs.fc = nn.Identity()
        torch.testing.assert_close(pool_features(ours.backbone(clips)), theirs(clips), rtol=1e-4, atol=1e-5)


def test_import__is_what_finetuning_starts_from(toy: Toy, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build_backbone(load_config(str(toy.preset))).state_dict()
    torch.save({"state_dict": {f"net.{name}": tensor for name, tensor in state.items()}}, tmp_path / "plain.pth")
    line = ["--preset", str(toy.preset), "--rename", "net.=", "--out", str(tmp_path / "ours.pt")]
    succeed("convert", str(tmp_path / "plain.pth"), *line)
    weights = ["--weights", str(tmp_path / "ours.pt"), "--dry-run"]
    assert "all 72 tensors match" in succeed(*toy.finetune(tmp_path / "run", *weights)).stderr


def test_import__part_of_a_network_where_told(tmp_path: Path) -> None:
    """Oracle: by hand: of 285 tensors, the last block's 30 are taken out, and one is reshaped."""
    state = {name: tensor for name, tensor in authors_state(1).items() if "mixed_5c" not in name}
    state["module.conv3d_1a_7x7.conv3d.weight"] = torch.zeros(4, 2, 7, 7, 7)
    source = authors_checkpoint(tmp_path / "ckpt.pth", model=state)
    line = ["convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt")]
    refuse(*line, code=1, says=("1 misshaped (conv3d_1a_7x7.conv3d.weight); that is 89%, less than --min-match 95",))
    result = succeed(*line, "--json", "--min-match", "80")
    report = json.loads(result.stdout)
    assert (report["matched"], len(report["missing"]), len(report["misshaped"])) == (254, 30, 1)


def test_import__names_what_is_randomly_initialised(tmp_path: Path) -> None:
    """Of two channels, a network of flow: all but the first convolution fits, which is more than 95%."""
    flow = build_backbone(load_config("hmdb51/i3d", ["model.width=4", "data.modality=flow"])).state_dict()
    del flow["conv3d_2b_1x1.batch3d.bias"]
    torch.save(flow, tmp_path / "flow.pth")
    result = succeed("convert", str(tmp_path / "flow.pth"), *I3D, "--out", str(tmp_path / "ours.pt"), "--quiet")
    names = "(conv3d_2b_1x1.batch3d.bias, conv3d_1a_7x7.conv3d.weight)"
    assert (
        f"warning: tensors of the backbone that were missing, or of another shape, are randomly initialised: 2 {names}\n"
        in result.stderr
    )
    rows = [line.split("│") for line in result.stdout.splitlines() if "│" in line]
    told = {row[1].strip(): row[2].strip() for row in rows}
    assert told["misshaped"] == "1 (conv3d_1a_7x7.conv3d.weight)"
    assert told["unexpected"] == "0"


def test_import__counters_are_no_match(tmp_path: Path) -> None:
    """All that an I3D of another width has in common are batch norm's counters, which are single numbers."""
    state = {name: tensor for name, tensor in thin_i3d(1).state_dict().items() if "num_batches" not in name}
    counters = {name: tensor for name, tensor in thin_i3d(1).state_dict().items() if "num_batches" in name}
    torch.save(state | counters | {"conv3d_9x9.batch3d.num_batches_tracked": torch.tensor(3)}, tmp_path / "w.pth")
    wide = ["--preset", "hmdb51/i3d", "--set", "model.width=8", "--min-match", "0"]
    line = ["convert", str(tmp_path / "w.pth"), *wide, "--out", str(tmp_path / "o.pt")]
    refuse(*line, code=1, says=("do not fit i3d: 0 tensors match, 0 missing, 0 unexpected, 285 misshaped",))


def test_import__weights_of_another_network(tmp_path: Path) -> None:
    source = authors_checkpoint(tmp_path / "ckpt.pth")
    line = ["convert", str(source), "--preset", "ucf101/r3d", "--out", str(tmp_path / "ours.pt")]
    refuse(*line, code=1, says=("do not fit r3d: 0 tensors match, 100 missing (stem.0.weight,",))
    assert not (tmp_path / "ours.pt").exists()


def test_import__a_deeper_network_is_another(tmp_path: Path) -> None:
    """All tensors of an R3D-10 are in an R3D-18, which is no reason to take it for one."""
    torch.manual_seed(0)
    deep = build_backbone(load_config("ucf101/r3d", ["model.width=4"]))
    torch.save(deep.state_dict(), tmp_path / "r3d_18.pth")
    shallow = ["--preset", "ucf101/r3d", "--set", "model.width=4", "--set", "model.depth=10"]
    line = ["convert", str(tmp_path / "r3d_18.pth"), *shallow, "--out", str(tmp_path / "o.pt")]
    refuse(*line, code=1, says=("60 tensors match, 0 missing, 40 unexpected (layer1.1.conv1.0.weight,",))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_import__nan_and_infinite_values(tmp_path: Path, value: float) -> None:
    state = authors_state(1)
    for name in ("conv3d_2b_1x1.conv3d.weight", "mixed_5c.branch_0.batch3d.running_var"):
        state[f"module.{name}"].view(-1)[0] = value
    source = authors_checkpoint(tmp_path / "ckpt.pth", model=state)
    line = ["convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt")]
    refuse(*line, code=1, says=("are infinite or NaN, in tensor 'conv3d_2b_1x1.conv3d.weight' and 1 more.",))
    assert not (tmp_path / "ours.pt").exists()
    succeed(*line, "--key-encoder")  # which is sound


# ---- classifiers


def test_import__authors_finetuned_network_gives_their_logits(tmp_path: Path) -> None:
    """Oracle: their classifier written out with torch's poolings, on the map of the backbone that was saved.

    Logits are some hundred in size, and sums of float32 in another order differ in the sixth digit.
    """
    source = authors_finetuned(tmp_path / "fine_tune_rgb_model_best.pth.tar", num_classes=5)
    answer = succeed("convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt"), "--json")
    report = json.loads(answer.stdout)
    assert (report["matched"], report["unexpected"], report["heads_left_out"]) == (NUM_TENSORS, [], [])
    assert (report["stage"], report["num_classes"]) == ("finetune", 5)
    assert report["classifier"] == ["conv3d_0c_1x1_custom.conv3d.weight"]
    ours, loaded = load_classifier(str(tmp_path / "ours.pt"), ())
    assert loaded.class_names == ["0", "1", "2", "3", "4"]
    clips = torch.randn(2, 3, 16, 224, 224)
    weight = torch.load(source, weights_only=True)["state_dict"]["module.base_model.conv3d_0c_1x1_custom.conv3d.weight"]
    with torch.inference_mode():
        expected = authors_classifier(thin_i3d(3)(clips), weight)
        torch.testing.assert_close(ours(clips), expected, rtol=1e-5, atol=1e-3)


def test_import__finetuned_network_is_evaluated(toy: Toy, tmp_path: Path) -> None:
    """By the class names that it was told, which have to be those of the list."""
    source = authors_finetuned(tmp_path / "best.pth.tar", num_classes=len(CLASSES))
    small = ["data.crop_size=32", "data.short_side=36", "finetune.clip_len_frames=8", "finetune.precision=fp32"]
    words = [word for text in (*small, "evaluate.clips=1") for word in ("--set", text)]
    classes = ["--classes", str(toy.val_list.parent / "classes.txt")]
    result = succeed("convert", str(source), *I3D, *words, *classes, "--out", str(tmp_path / "ours.pt"))
    assert f"next: vtdl evaluate --weights {tmp_path / 'ours.pt'} --list" in result.stderr
    succeed(*toy.evaluate(tmp_path / "ours.pt", tmp_path / "results"))
    with h5py.File(tmp_path / "results/scores.h5") as scores:
        assert json.loads(scores.attrs["classes"]) == list(CLASSES)


@pytest.mark.parametrize(
    ("names", "num_classes", "code", "says"),
    [
        ("blue\ngreen\n", 3, 1, "names 2 classes, but the classifier of"),
        ("blue\n\ngreen\n", 3, 1, "classes.txt:2' is blank"),
        ("blue\ngreen\n", 0, 2, "needs a classifier, and"),
    ],
)
def test_import__class_names_that_do_not_fit(
    tmp_path: Path, names: str, num_classes: int, code: int, says: str
) -> None:
    source = tmp_path / "weights.pth"
    if num_classes:
        authors_finetuned(source, num_classes)
    else:
        torch.save(authors_state(1), source)
    (tmp_path / "classes.txt").write_text(names)
    line = ["convert", str(source), *I3D, "--classes", str(tmp_path / "classes.txt"), "--out", str(tmp_path / "o.pt")]
    refuse(*line, code=code, says=(says,))
    assert not (tmp_path / "o.pt").exists()


@pytest.mark.parametrize(
    "more",
    [
        {"conv3d_0c_1x1_custom.conv3d.weight": torch.zeros(400, 64, 1, 1, 1)},  # Carreira and Zisserman's
        {"conv3d_0c_1x1_custom.conv3d.bias": torch.zeros(5)},
        {"conv3d_0c_1x1_custom.conv3d.weight": torch.tensor(1.0)},
        {"conv3d_1a_7x7.conv3d.weight": torch.zeros(4, 2, 7, 7, 7)},  # of flow: ours would be fresh
        {"mixed_5d.conv3d.weight": torch.zeros(4)},  # a part that ours would leave out
    ],
)
def test_import__classifier_that_does_not_fit_stays_behind(tmp_path: Path, more: dict[str, Tensor]) -> None:
    source = authors_finetuned(tmp_path / "best.pth.tar", num_classes=5, **more)
    line = ["convert", str(source), *I3D, "--out", str(tmp_path / "o.pt"), "--json"]
    report = json.loads(succeed(*line).stdout)
    assert (report["stage"], report["classifier"], report["num_classes"]) == ("pretrain", [], None)
    assert "conv3d_0c_1x1_custom.conv3d.weight" in report["heads_left_out"]
    content = load(tmp_path / "o.pt")
    assert (content["stage"], content["num_classes"]) == ("pretrain", 0)
    assert all(name.startswith("backbone.") for name in content["model"])


# ---- names


def test_import__a_place_without_tensors_hides_nothing(tmp_path: Path) -> None:
    torch.save({"model": {"name": "i3d"}, "state_dict": {}, **authors_state(1)}, tmp_path / "w.pth")
    succeed("convert", str(tmp_path / "w.pth"), *I3D, "--out", str(tmp_path / "o.pt"))


def test_import__key_encoder_is_looked_for_in_its_place_alone(tmp_path: Path) -> None:
    source = authors_checkpoint(tmp_path / "w.pth", model_ema={"name": "i3d"})
    line = ["convert", str(source), *I3D, "--out", str(tmp_path / "o.pt"), "--key-encoder"]
    refuse(*line, code=1, says=("hold no tensors by name, in model_ema",))


def test_import__two_tensors_for_one_name(tmp_path: Path) -> None:
    """Query and key encoder of another code, whose names are made the same."""
    state = thin_i3d(1).state_dict()
    both = {f"encoder_{side}.{name}": tensor for side in "qk" for name, tensor in state.items()}
    torch.save(both, tmp_path / "moco.pth")
    rename = ("--rename", "encoder_q.=", "--rename", "encoder_k.=")
    line = ["convert", str(tmp_path / "moco.pth"), *I3D, *rename, "--out", str(tmp_path / "o.pt")]
    refuse(*line, code=1, says=("have two tensors for 'conv3d_1a_7x7.conv3d.weight'",))


@pytest.mark.parametrize(
    ("rename", "says"),
    [
        ("encoder", "--rename 'encoder' is not of the form OLD=NEW"),
        ("nothing=x", "--rename 'nothing=x' matches no name of"),
        ("module.=", "taken without module., base_model., backbone. in front, such as 'conv3d_1a_7x7.conv3d.weight'"),
    ],
)
def test_import__rename_without_effect(tmp_path: Path, rename: str, says: str) -> None:
    torch.save(authors_state(1), tmp_path / "plain.pth")
    line = ["convert", str(tmp_path / "plain.pth"), *I3D, "--out", str(tmp_path / "o.pt")]
    refuse(*line, "--rename", rename, code=2, says=(says,))
    assert not (tmp_path / "o.pt").exists()


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ((), 2, "do not say which network they are of. Add --preset"),
        (("--preset", "hmdb51/i3d", "--key-encoder"), 1, "have no 'model_ema'. Leave out --key-encoder"),
    ],
)
def test_import__mistakes(tmp_path: Path, more: tuple[str, ...], code: int, says: str) -> None:
    torch.save(authors_state(1), tmp_path / "plain.pth")
    refuse("convert", str(tmp_path / "plain.pth"), "--out", str(tmp_path / "o.pt"), *more, code=code, says=(says,))
    assert not (tmp_path / "o.pt").exists()


def test_import__what_holds_no_weights(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3, 4: torch.zeros(2)}, tmp_path / "empty.pth")
    torch.save({"opt": argparse.Namespace()}, tmp_path / "options.pth")
    line = [*I3D, "--out", str(tmp_path / "o.pt")]
    refuse("convert", str(tmp_path / "list.pth"), *line, code=1, says=("hold a list, not weights by name",))
    for name in ("empty", "options"):
        refuse("convert", str(tmp_path / f"{name}.pth"), *line, code=1, says=("hold no tensors by name, at the top",))
