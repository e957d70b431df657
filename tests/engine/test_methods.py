"""Neighbours of VTDL in the same engine, and the method that the README adds."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toy import Toy, differences, load, rows, succeed
from vtdl_cli.config import Config
from vtdl_cli.engine import build
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.models.heads import LinearClassifier

README = Path(__file__).parents[2] / "README.md"
MOCO = ("method.own_negative=false", "method.tca.alpha=0")


@pytest.mark.parametrize(
    ("options", "reading"),
    [
        (MOCO, "queue_probability"),
        (("method.name=instance_discrimination", "method.loss=nce"), "queue_age"),
        (("method.name=clip_order",), "order_top1"),
    ],
)
def test_method__pretrains_resumes_and_finetunes(
    toy: Toy, tmp_path: Path, options: tuple[str, ...], reading: str
) -> None:
    """Oracle: the run of two epochs, which one of one epoch, resumed for a second, has to equal."""
    words = [word for text in (*options, "pretrain.knn_every=2") for word in ("--set", text)]
    succeed(*toy.pretrain(tmp_path / "whole", *words))
    succeed(*toy.pretrain(tmp_path / "run", *words, "--set", "pretrain.epochs=1"))
    succeed(*toy.pretrain(tmp_path / "run", *words, "--resume"))
    whole, resumed = (load(tmp_path / name / "checkpoints/last.pt")["model"] for name in ("whole", "run"))
    assert differences(whole, resumed) == []
    assert {reading, "knn_top1"} <= rows(tmp_path / "whole")[-1].keys()
    finetuning = ["--weights", str(tmp_path / "whole"), "--set", "finetune.epochs=1"]
    assert "all 72 tensors match" in succeed(*toy.finetune(tmp_path / "finetuned", *finetuning)).stderr


def test_readme__adds_a_method(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's own code, under the name of a method that there is; it trains, and reads its accuracy."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)

    def build_backwards(config: Config, _num_videos: int) -> Any:
        trunk = build.build_trunk(config)
        return namespace["Backwards"](Encoder(trunk, LinearClassifier(trunk.feature_dim, 2, dropout=0.0)))

    monkeypatch.setitem(build.METHODS, "clip_order", build_backwards)
    learn = ("--set", "method.name=clip_order", "--set", "pretrain.epochs=3")
    succeed(*toy.pretrain(tmp_path / "run", *learn))
    table = rows(tmp_path / "run")
    assert len(table) == 3
    assert all(0 <= row["order_top1"] <= 100 for row in table)
    assert "encoder.backbone.stem.0.weight" in load(tmp_path / "run/checkpoints/last.pt")["model"]
    torch.manual_seed(0)
