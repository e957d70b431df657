import errno
import hashlib
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.damage import damages
from tests.toy import PRESET, Toy, differences, load, refuse, succeed
from vtdl_cli.engine.networks.build import build_backbone
from vtdl_cli.engine.networks.checkpoint import (
    CHECKPOINT_SCHEMA,
    copy_backbone,
    find_weights,
    load_checkpoint,
    load_with_sha256,
    save_checkpoint,
)
from vtdl_cli.engine.networks.methods import build_method
from vtdl_cli.engine.train.resuming import check_same_run
from vtdl_cli.errors import CheckpointError, VtdlError
from vtdl_cli.settings import load_config


@pytest.fixture
def preset(tmp_path: Path) -> str:
    (tmp_path / "tiny.yaml").write_text(PRESET)
    return str(tmp_path / "tiny.yaml")


def of_pretraining(preset: str, *assignments: str) -> dict[str, Any]:
    """A pretraining checkpoint of a randomly initialised method, with what copying its backbone reads."""
    torch.manual_seed(1)
    config = load_config(preset, assignments)
    model = build_method(config, 9).state_dict()
    origin: dict[str, Any] = {"classes": None, "num_classes": 0, "list_sha256": "a", "seed": 0, "origin": {}}
    return {"stage": "pretrain", "config": config.to_dict(), "model": model, **origin}


# ---- writing


def test_save__can_be_loaded_with_schema_and_versions(preset: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", {**of_pretraining(preset), "model": {"w": torch.arange(3.0)}, "step": 4})
    content = load_checkpoint(tmp_path / "a.pt")
    assert content["schema"] == CHECKPOINT_SCHEMA
    assert content["step"] == 4
    assert content["versions"]["torch"] == torch.__version__
    assert torch.equal(content["model"]["w"], torch.arange(3.0))


def test_save__full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"model": {}, "step": 1})
    before = path.read_bytes()

    def fill_the_disk(_content: object, target: Path) -> None:
        target.write_bytes(before[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(VtdlError, match=r"file '.*last.pt' could not be written \(No space left on device\)"):
        save_checkpoint(path, {"model": {}, "step": 2})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_save__torch_itself_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / ".last.pt.part").symlink_to("/dev/full")
    with pytest.raises(VtdlError, match=r"last.pt' could not be written"):
        save_checkpoint(tmp_path / "last.pt", {"model": {"w": torch.zeros(100_000)}})
    assert list(tmp_path.iterdir()) == []


# ---- metric


class Harmful:
    """A pickle that makes a file where it is loaded by carelessness."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_load__checkpoint_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"schema": CHECKPOINT_SCHEMA, "model": Harmful(tmp_path / "ran")}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a.pt' cannot be read: it holds '\S+', which loading would run"):
        load_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


def test_load__plain_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    content = pickle.dumps(Harmful(tmp_path / "ran"))
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a.pt' cannot be read"):
        load_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()
    pickle.loads(content)  # it would have run
    assert (tmp_path / "ran").exists()


def test_load__truncated_at_every_tenth(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", {"model": {"w": torch.rand(5000)}})
    whole = (tmp_path / "a.pt").read_bytes()
    for tenth in range(10):
        (tmp_path / "b.pt").write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(
            CheckpointError, match=r"b.pt' cannot be read: it is (damaged, cut short|empty\. Use another copy)"
        ):
            load_checkpoint(tmp_path / "b.pt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"state_dict": {}},
            r"were not written by vtdl. First: vtdl convert \S+a.pt --preset hmdb51/i3d --out a-converted.pt, with the preset of their network$",
        ),
        ([1, 2], "were not written by vtdl"),
        (torch.zeros(3), "were not written by vtdl"),
        ({"schema": 99, "model": {}}, "have schema 99, this version reads 1"),
    ],
)
def test_load__foreign_file(tmp_path: Path, content: object, says: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(tmp_path / "a.pt")


def test_load__absent_file_and_text(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"do not exist. Give a run folder"):
        load_checkpoint(tmp_path / "a.pt")
    (tmp_path / "a.pt").write_text("hello")
    with pytest.raises(
        CheckpointError, match=r"a.pt' cannot be read: it is not a checkpoint. Name a run folder, or a .pt"
    ):
        load_checkpoint(tmp_path / "a.pt")


def load_or_refuse(path: Path) -> Any:
    """The content, or the one line that refuses it."""
    try:
        return load_checkpoint(path)
    except CheckpointError as error:
        return str(error)


def test_load__no_damage_goes_unnoticed(preset: str, tmp_path: Path) -> None:
    """Oracle: the content that was saved; bits flipped all over the file, and blocks zeroed, swapped and cut off."""
    save_checkpoint(tmp_path / "a.pt", of_pretraining(preset))
    saved, whole = load(tmp_path / "a.pt"), (tmp_path / "a.pt").read_bytes()
    refused = 0
    for damaged in damages(whole):
        (tmp_path / "b.pt").write_bytes(damaged)
        found = load_or_refuse(tmp_path / "b.pt")
        refused += isinstance(found, str)
        assert isinstance(found, str) or differences(saved, found) == []
    assert refused > 30


def test_load__damage_names_the_record(preset: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", of_pretraining(preset))
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        largest = max(archive.infolist(), key=lambda record: record.file_size)
        content = archive.read(largest)
    whole = (tmp_path / "a.pt").read_bytes()
    at = whole.index(content)
    (tmp_path / "a.pt").write_bytes(whole[:at] + bytes(4096) + whole[at + 4096 :])
    record = largest.filename.partition("/")[2]
    with pytest.raises(CheckpointError, match=f"a.pt' are damaged: record '{record}' does not match its checksum. Use"):
        load_checkpoint(tmp_path / "a.pt")


def test_load__hash_beside_is_that_of_the_file(preset: str, tmp_path: Path) -> None:
    """Oracle: hashlib on the bytes, and `load_checkpoint`."""
    save_checkpoint(tmp_path / "a.pt", of_pretraining(preset))
    content, sha256 = load_with_sha256(tmp_path / "a.pt")
    assert sha256 == hashlib.sha256((tmp_path / "a.pt").read_bytes()).hexdigest()
    assert differences(content, load_checkpoint(tmp_path / "a.pt")) == []


NO_UTF8 = "has a lone surrogate, which UTF-8 cannot hold"
NESTED: dict[str, Any] = {}
for _ in range(100):
    NESTED = {"a": NESTED}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("config", None, "'config' should be a valid dictionary"),
        ("config", {"model": 3}, "'config' should have a section 'data'"),
        ("config", NESTED, "'config' it is nested deeper than 20 levels"),
        ("origin", [1], "'origin' should be a valid dictionary"),
        ("model", [1], "'model' should be a valid dictionary"),
        ("model", {"w": 3}, "'model.w' should be an instance of Tensor"),
        ("model", {3: torch.zeros(2)}, "'model.3.[key]' should be a valid string"),
        ("model", {"w": torch.zeros(2, dtype=torch.complex64)}, "'model.w' should be a plain tensor of numbers"),
        ("classes", ["a", 3], "'classes.1' should be a valid string"),
        ("classes", ["a", "\udcff"], f"'classes.1' {NO_UTF8}"),
        ("origin", {"weights": ["\ud800"]}, f"'origin' it {NO_UTF8}"),
        ("origin", {"\ud800": 1}, f"'origin' it {NO_UTF8}"),
        ("model", {"\udcff": torch.zeros(2)}, f"'model.\ufffd\ufffd\ufffd.[key]' {NO_UTF8}"),
        ("bad_videos", {1: ("a.mp4", "\udfff")}, f"'bad_videos.1.1' {NO_UTF8}"),
        ("num_classes", -1, "'num_classes' should be greater than or equal to 0"),
        ("num_classes", "3", "'num_classes' should be a valid integer"),
        ("stage", "test", "'stage' should be 'pretrain' or 'finetune'"),
        ("seed", ..., "'seed' is missing"),
    ],
)
def test_load__invalid_content_is_named(preset: str, tmp_path: Path, name: str, value: Any, says: str) -> None:
    content = of_pretraining(preset) | ({} if value is ... else {name: value})
    if value is ...:
        del content[name]
    save_checkpoint(tmp_path / "a.pt", content)
    assert load_or_refuse(tmp_path / "a.pt").startswith(
        f"weights '{tmp_path}/a.pt' are not as vtdl writes them: {says}"
    )


def test_load__classes_that_do_not_fit_the_classifier(preset: str, tmp_path: Path) -> None:
    content = of_pretraining(preset) | {"stage": "finetune", "model": {"head.weight": torch.zeros(3, 2)}}
    for odd, says in (
        ({"num_classes": 10**12}, "num_classes 1000000000000 should be that of the classifier"),
        ({"num_classes": 3, "classes": ["a", "b"]}, "num_classes 3 should be that of the 2 classes"),
    ):
        save_checkpoint(tmp_path / "a.pt", content | odd)
        assert says in load_or_refuse(tmp_path / "a.pt")


def test_evaluate__class_names_that_cannot_be_written(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Of a list without names of its own, those in the weights would be written to its tables."""
    content = load(finetuned / "checkpoints/best.pt")
    content["classes"][1] = "\udcff"
    torch.save(content, tmp_path / "a.pt")
    shutil.copy(toy.val_list, tmp_path / "val.txt")
    says = f"weights '{tmp_path}/a.pt' are not as vtdl writes them: 'classes.1' {NO_UTF8}. Use another checkpoint"
    refuse(*toy.evaluate(tmp_path / "a.pt", tmp_path / "out", test_list=tmp_path / "val.txt"), code=1, says=(says,))
    assert not (tmp_path / "out").exists()


def change_training(content: dict[str, Any], kind: str) -> None:
    """Make the training state invalid."""
    state = content["optimizer"]["state"]
    if kind == "no optimizer":
        del content["optimizer"]
    elif kind == "moment of another shape":
        state[0]["exp_avg"] = torch.zeros(3)
    elif kind == "moment missing":
        del state[1]["exp_avg"]
    elif kind == "parameter too many":
        state[999] = dict(state[0])
    elif kind == "negative step":
        content["step"] = -1
    elif kind == "random state":
        content["random"]["cpu"] = torch.zeros(3, dtype=torch.uint8)
    elif kind == "sums":
        content["sums"] = {"loss": torch.zeros(4)}


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("no optimizer", "'optimizer' is missing"),
        ("moment of another shape", "optimizer.state.0 does not fit this network"),
        ("moment missing", "optimizer.state.1 does not fit this network"),
        ("parameter too many", "optimizer.state.999 does not fit this network"),
        ("negative step", "'step' should be greater than or equal to 0"),
        ("random state", "'random.cpu' should be the state of a random generator"),
        ("sums", "'sums.loss' should be one number"),
    ],
)
def test_resume__from_an_invalid_checkpoint_is_refused(
    toy: Toy, pretrained: Path, tmp_path: Path, kind: str, says: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(pretrained, run)
    content = load(run / "checkpoints/last.pt")
    change_training(content, kind)
    torch.save(content, run / "checkpoints/last.pt")
    before = (run / "metrics.jsonl").read_text()
    line = toy.pretrain(run, "--resume", "--set", "pretrain.epochs=3", "--set", "pretrain.knn_every=2")
    refuse(*line, "--quiet", code=1, says=(says,))
    assert (run / "metrics.jsonl").read_text() == before


def test_find_weights__best_is_preferred_to_last(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    with pytest.raises(CheckpointError, match="do not exist"):
        find_weights(str(folder))
    folder.mkdir()
    with pytest.raises(CheckpointError, match=r"holds no checkpoints/last.pt"):
        find_weights(str(tmp_path))
    (folder / "last.pt").touch()
    assert find_weights(str(tmp_path)) == folder / "last.pt"
    (folder / "best.pt").touch()
    assert find_weights(str(tmp_path)) == folder / "best.pt"
    assert find_weights(str(folder / "last.pt")) == folder / "last.pt"


# ---- transplanting


def test_copy_backbone__every_tensor_is_the_query_encoders(preset: str) -> None:
    checkpoint = of_pretraining(preset)
    backbone = build_backbone(load_config(preset))
    count = copy_backbone(backbone, checkpoint)
    ours = backbone.state_dict()
    assert count == len(ours) > 40
    for name, tensor in ours.items():
        assert torch.equal(tensor, checkpoint["model"][f"encoders.query.backbone.{name}"]), name


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["model.width=8"], "0 missing, 0 unexpected"),
        (["model.depth=18"], "0 of another shape"),
        (["model.name=c3d", "model.depth=null"], "weights of r3d \\(depth 10, width 4, rgb\\) do not fit"),
        (["model.name=r2p1d"], "do not fit the network"),
    ],
)
def test_copy_backbone__other_network_is_refused_with_counts(preset: str, assignments: list[str], says: str) -> None:
    checkpoint, backbone = of_pretraining(preset), build_backbone(load_config(preset, assignments))
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(CheckpointError, match=says) as error:
        copy_backbone(backbone, checkpoint)
    ours, theirs = (
        set(before),
        {name[24:] for name in checkpoint["model"] if name.startswith("encoders.query.backbone.")},
    )
    shared = ours & theirs
    misshaped = sum(
        before[name].shape != checkpoint["model"][f"encoders.query.backbone.{name}"].shape for name in shared
    )
    counts = f"{len(shared) - misshaped} tensors match, {len(ours - theirs)} missing, {len(theirs - ours)} unexpected"
    assert f"{counts}, {misshaped} of another shape" in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def test_copy_backbone__one_tensor_missing_is_enough(preset: str) -> None:
    checkpoint, backbone = of_pretraining(preset), build_backbone(load_config(preset))
    del checkpoint["model"]["encoders.query.backbone." + next(iter(backbone.state_dict()))]
    with pytest.raises(CheckpointError, match="1 missing, 0 unexpected, 0 of another shape"):
        copy_backbone(backbone, checkpoint)


def test_copy_backbone__through_the_command(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """A rate too small to move a float32: what finetuning saves is what it started from."""
    frozen = ("--set", "finetune.optimizer={name: sgd, lr: 1.0e-30, weight_decay: 0.0}")
    result = succeed(
        *toy.finetune(tmp_path / "run", "--weights", str(pretrained), "--set", "finetune.epochs=1", *frozen)
    )
    theirs, ours = (
        load(pretrained / "checkpoints/last.pt")["model"],
        load(tmp_path / "run/checkpoints/last.pt")["model"],
    )
    parameters = dict(build_backbone(load_config(str(toy.preset))).named_parameters())
    assert f"all {sum(name.startswith('backbone.') for name in ours)} tensors match" in result.stderr
    for name in parameters:
        assert torch.equal(ours[f"backbone.{name}"], theirs[f"encoders.query.backbone.{name}"]), name


def test_weights__of_another_network_leave_nothing(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    line = toy.finetune(tmp_path / "run", "--weights", str(pretrained), "--set", "model.width=8")
    says = (
        "weights of r3d (depth 10, width 4, rgb) do not fit the network",
        f"Use theirs, unchanged: --preset {pretrained / 'config.yaml'}",
    )
    refuse(*line, code=1, says=says)
    of_file = toy.finetune(
        tmp_path / "run", "--weights", str(pretrained / "checkpoints/last.pt"), "--set", "model.width=8"
    )
    refuse(*of_file, code=1, says=("Choose the preset that these weights were trained with",))
    assert list(tmp_path.iterdir()) == []


# ---- the same run?


def identity(preset: str, *assignments: str, **changes: object) -> dict[str, Any]:
    config = load_config(preset, assignments).to_dict()
    run = {"stage": "pretrain", "list_sha256": "a", "classes": ["x", "y"], "num_classes": 2, "seed": 0, "origin": {}}
    return {**run, "config": config, **changes}


@pytest.mark.parametrize("key", ["pretrain.epochs=9", "pretrain.keep_every=1", "pretrain.checkpoint_minutes=3.0"])
def test_check_same_run__harmless_changes_pass(preset: str, key: str) -> None:
    check_same_run(identity(preset), identity(preset, key, "finetune.dropout=0.1"), "run")


def test_check_same_run__names_all_that_differs(preset: str) -> None:
    now = identity(preset, "pretrain.batch_size=8", "method.queue.size=32", seed=3, list_sha256="b")
    with pytest.raises(CheckpointError) as error:
        check_same_run(identity(preset), now, "runs/x")
    lines = str(error.value).splitlines()
    what = "the training list is another: its sha256 was 'a', now it is 'b'"
    assert lines[0] == f"run 'runs/x' cannot resume: {what}"
    assert [line.split(": ")[1].split()[0] for line in lines[1:]] == [
        "seed",
        "method.queue.size",
        "pretrain.batch_size",
    ]
    assert lines[-1].endswith("or choose another --out")


def test_check_same_run__names_what_a_finetuning_started_from(preset: str) -> None:
    before, now = (
        identity(preset, stage="finetune", origin={"weights": weights, "linear_probe": False}) for weights in "ab"
    )
    with pytest.raises(CheckpointError, match="cannot resume: weights was 'a', now it is 'b'"):
        check_same_run(before, now, "run")


def test_backbone__of_a_linear_layer_does_not_fit(preset: str) -> None:
    with pytest.raises(CheckpointError, match="0 tensors match, 2 missing"):
        copy_backbone(nn.Linear(2, 2), of_pretraining(preset))
