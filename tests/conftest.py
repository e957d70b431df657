"""Fixtures for every test: where the real clips are, and small generated ones."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests share the cores with one another

import pytest

from tests.toy import Toy, make_toy, succeed


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real clips named by $VTDL_TEST_DATA; tests that need it skip where it is absent."""
    folder = os.environ.get("VTDL_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real clips: set VTDL_TEST_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def one_torch_thread() -> Iterator[None]:
    """Toy networks are too thin for two threads, and what is compared bit by bit has to be computed in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


PICTURES = ("vtdl_cli.engine.train.run_folder.draw_curves", "vtdl_cli.engine.evaluate.results.draw_confusion")
"""What every training and every evaluation draws, in more time than the rest takes with a toy network."""


@pytest.fixture(scope="session", autouse=True)
def blank_pictures() -> Iterator[None]:
    """Blank ones in their place; the real ones are tested in tests/analysis, and drawn wherever `real_pictures` is."""
    from PIL import Image

    def draw_blank(*arguments: Any) -> None:
        Image.new("L", (8, 8)).save(arguments[-1], format="png")

    with pytest.MonkeyPatch.context() as patch:
        for name in PICTURES:
            patch.setattr(name, draw_blank)
        yield


@pytest.fixture
def real_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw curves and confusions."""
    from vtdl_cli.analysis import confusion, curves

    for name, draw in zip(PICTURES, (curves.draw_curves, confusion.draw_confusion), strict=True):
        monkeypatch.setattr(name, draw)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None) -> Toy:  # noqa: ARG001
    """Generated videos of three colours with their lists, and a tiny preset."""
    return make_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def pretrained(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of two epochs of pretraining; not to be changed."""
    out = tmp_path_factory.mktemp("pretrained") / "run"
    succeed(*toy.pretrain(out, "--set", "pretrain.knn_every=2", "--set", "pretrain.keep_every=2"))
    return out


@pytest.fixture(scope="session")
def finetuned(toy: Toy, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of eight epochs of finetuning from the pretrained weights; not to be changed."""
    out = tmp_path_factory.mktemp("finetuned") / "run"
    succeed(*toy.finetune(out, "--weights", str(pretrained), "--set", "finetune.epochs=8"))
    return out
