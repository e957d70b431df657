"""torchvision's weights by name, through the real command; a file of random weights takes the place of the published."""

import copy
import hashlib
import json
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model_weights, video

from tests.toy import Toy, load, refuse, succeed
from vtdl_cli.data.clips.augmentation import MEAN, to_clips
from vtdl_cli.engine.networks.trained import load_classifier
from vtdl_cli.engine.weights.torchvision_weights import find_release

THEIR_MEAN, THEIR_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
"""torchvision/transforms/_presets.py, VideoClassification."""


@dataclass(frozen=True)
class Published:
    """What stands for a release: torchvision's network, and the file of its weights, named by its SHA-256."""

    network: Any
    file: Path

    @property
    def name(self) -> str:
        return self.file.name


def publish(folder: Path, name: str) -> Published:
    torch.manual_seed(0)
    network = getattr(video, name)(weights=None).eval()
    network.stem[1].running_mean.normal_()
    file = folder / "new.pth"
    torch.save(network.state_dict(), file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Published(network, file.rename(folder / f"{name}-{sha256[:8]}.pth"))


@pytest.fixture(scope="module")
def r3d_18(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("r3d_18"), "r3d_18")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch keeps downloads; still to be made."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


def serve(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setattr(get_model_weights(name).DEFAULT.value, "url", url)


@pytest.fixture
def nowhere() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


def normalise(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Channels second."""
    return (pixels - torch.tensor(mean).view(3, 1, 1, 1)) / torch.tensor(std).view(3, 1, 1, 1)


class PadsWithOurMean(nn.Module):
    """A convolution of theirs whose padding is no longer 0, their mean, but our mean seen through their normalisation."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        time, height, width = convolution.padding
        self.sides = (width, width, height, height, time, time)
        self.convolution = copy.deepcopy(convolution)
        self.convolution.padding = (0, 0, 0)

    def forward(self, clips: Tensor) -> Tensor:
        grey = normalise(torch.tensor(MEAN).view(1, 3, 1, 1, 1), THEIR_MEAN, THEIR_STD)
        convolved: Tensor = self.convolution(F.pad(clips - grey, self.sides) + grey)
        return convolved


@pytest.mark.parametrize("name", ["r3d_18", pytest.param("r2plus1d_18", marks=pytest.mark.slow)])
def test_convert__gives_torchvisions_logits(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, name: str
) -> None:
    """Oracle: torchvision's own forward on its own normalisation, its stem padded with our mean's grey.

    Of the stem as it is, outputs that do not see the padding are the same: kernel 7, stride 2, of 24 rows and columns
    two at the beginning and one at the end see it; kernel 3, of 8 frames the first and the last.
    """
    release = request.getfixturevalue(name) if name == "r3d_18" else publish(tmp_path, name)
    serve(monkeypatch, name, release.file.as_uri())
    answer = succeed("convert", f"torchvision:{name}", "--out", str(tmp_path / "ours.pt"), "--json")
    ours, source = load_classifier(str(tmp_path / "ours.pt"), ())
    windows = torch.randint(0, 256, (2, 8, 48, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clips = to_clips(windows, 48, {})
    their_clips = normalise(windows.permute(0, 4, 1, 2, 3) / 255, THEIR_MEAN, THEIR_STD)
    stem: Any = ours.backbone.stem
    theirs = copy.deepcopy(release.network)
    with torch.inference_mode():
        found, expected = stem(clips), theirs.stem(their_clips)
        theirs.stem[0] = PadsWithOurMean(theirs.stem[0])
        torch.testing.assert_close(ours(clips), theirs(their_clips), rtol=0, atol=1e-5)  # of 0.02 or so
    inside = (..., slice(1, -1), slice(2, -1), slice(2, -1))
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=1e-4)
    assert (found[..., 0, :] - expected[..., 0, :]).abs().max() > 0.01
    report = json.loads(answer.stdout)
    assert (report["stage"], report["num_classes"], report["missing"], report["unexpected"]) == (
        "finetune",
        400,
        [],
        [],
    )
    assert (source.class_names[0], source.class_names[-1]) == ("abseiling", "zumba")  # Kinetics' by the alphabet
    assert (cache / release.name).read_bytes() == release.file.read_bytes()
    assert f"MB from {release.file.as_uri()} to '{cache / release.name}'" in answer.stderr


def test_convert__file_put_there_by_hand(
    toy: Toy, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, nowhere: str, r3d_18: Published
) -> None:
    """No network: the error says where the file belongs, and put there it is taken; the next command is planned."""
    url = f"{nowhere}/{r3d_18.name}"
    serve(monkeypatch, "r3d_18", url)
    out = tmp_path / "ours.pt"
    line = ["convert", "torchvision:r3d_18", "--out", str(out)]
    says = f"cannot be downloaded from {url} (Connection refused). Where another machine can: put the file at '{cache / r3d_18.name}',"
    refuse(*line, "--quiet", code=1, says=(says,))
    assert not out.exists()
    (cache / r3d_18.name).symlink_to(r3d_18.file)
    result = succeed(*line)
    assert "downloading" not in result.stderr
    origin = load(out)["origin"]
    assert origin["converted_from"] == "torchvision:R3D_18_Weights.KINETICS400_V1"
    assert origin["url"] == url
    assert origin["sha256"] == hashlib.sha256(r3d_18.file.read_bytes()).hexdigest()
    assert "folded into stem: mean [0.43216, 0.394666, 0.37645]" in origin["normalisation"]
    (words,) = [shlex.split(text)[2:] for text in result.stderr.splitlines() if text.startswith("next: vtdl finetune")]
    assert words[:3] == ["finetune", "--preset", "kinetics400/r3d"]
    assert "finetune.clip_len_frames=16" in words
    lists = ["--train-list", str(toy.train_list), "--val-list", str(toy.val_list), "--root", str(toy.root)]
    planned = [
        *words[: words.index("--train-list")],
        *lists,
        "--out",
        str(tmp_path / "run"),
        "--workers",
        "0",
        "--dry-run",
    ]
    assert "all 120 tensors match" in succeed(*planned).stderr


def test_convert__file_is_cut_short(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, nowhere: str, r3d_18: Published
) -> None:
    serve(monkeypatch, "r3d_18", f"{nowhere}/{r3d_18.name}")
    cache.mkdir(parents=True)
    (cache / r3d_18.name).write_bytes(r3d_18.file.read_bytes()[:1000])
    line = ["convert", "torchvision:r3d_18", "--out", str(tmp_path / "ours.pt")]
    says = f"not with {r3d_18.name[7:15]}. Delete the file, and start again"
    refuse(*line, code=1, says=(f"weights '{cache / r3d_18.name}' are damaged, cut short or others", says))
    assert not (tmp_path / "ours.pt").exists()


def test_convert__download_is_another_file(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r3d_18-b3b3357e.pth").write_bytes(b"a page that asks for a password")
    serve(monkeypatch, "r3d_18", (tmp_path / "r3d_18-b3b3357e.pth").as_uri())
    line = ["convert", "torchvision:r3d_18", "--out", str(tmp_path / "ours.pt"), "--quiet"]
    refuse(*line, code=1, says=('(invalid hash value (expected "b3b3357e", got "',))
    assert list(cache.iterdir()) == []
    assert not (tmp_path / "ours.pt").exists()


@pytest.mark.parametrize("name", ["", "mc3_18", "resnet18", "s3d", "R3D_18_Weights"])
def test_convert__names_are_listed(name: str) -> None:
    choices = " or ".join(
        f"torchvision:{each}"
        for each in ("r3d_18 (R3D_18_Weights.KINETICS400_V1)", "r2plus1d_18 (R2Plus1D_18_Weights.KINETICS400_V1)")
    )
    says = f"weights 'torchvision:{name}' name no network that vtdl and torchvision both have. Choose {choices}"
    refuse("convert", f"torchvision:{name}", code=2, says=(says,))


def test_find_release__by_member_of_the_enum() -> None:
    known = [find_release(f"torchvision:R2Plus1D_18_Weights.{member}") for member in ("KINETICS400_V1", "DEFAULT")]
    assert known == [find_release("torchvision:r2plus1d_18")] * 2


def test_convert__options_that_do_not_go_with_it(tmp_path: Path, cache: Path) -> None:
    """Refused before anything is downloaded."""
    line = ["convert", "torchvision:r3d_18", "--out", str(tmp_path / "r3d.onnx"), "--license", "bsd-3-clause"]
    refuse(*line, code=2, says=("--license has no effect on --out",))
    assert not cache.exists()


@pytest.mark.parametrize("command", ["finetune", "evaluate"])
def test_weights__torchvision_names_are_converted_first(toy: Toy, tmp_path: Path, command: str) -> None:
    says = ("are torchvision's. First: vtdl convert torchvision:r3d_18 --out weights.pt",)
    weights = ["--weights", "torchvision:r3d_18"]
    lines = {
        "finetune": toy.finetune(tmp_path / "run", *weights),
        "evaluate": toy.evaluate(Path("torchvision:r3d_18"), tmp_path / "results"),
    }
    refuse(*lines[command], code=1, says=says)
    assert list(tmp_path.iterdir()) == []


def test_convert__torchvision_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    line = ["convert", "torchvision:r3d_18", "--out", str(tmp_path / "ours.pt")]
    refuse(*line, code=1, says=("weights 'torchvision:r3d_18' need torchvision, which cannot be imported (",))
