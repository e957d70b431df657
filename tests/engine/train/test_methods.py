"""Every pretext task in the same engine, and the README's own, from outside the repository."""

import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
import torch

from tests.toy import Toy, differences, load, refuse, rows, start, step_of, stop_when, succeed
from vtdl_cli.analysis.curves import group_metrics

README = Path(__file__).parents[3] / "vtdl_cli" / "method" / "README.md"
EVERY_STEP = ("--set", "pretrain.checkpoint_minutes=1e-6")
MOCO = ("method.intra_video_negative=false", "method.tca.alpha=0")


@pytest.mark.parametrize(
    ("options", "metric"),
    [
        (MOCO, "queue_probability"),
        (("method.name=instance_discrimination", "method.loss=nce"), "queue_age"),
        (("method.name=clip_order",), "order_top1"),
        (("method.name=pseudo_labels", "method.clusters=3"), "cluster_top1"),
        (("method.name=stcr", "method.options.network_mixup_weight=1"), "map_size"),
        (
            (
                "method.name=transform_prediction",
                "method.options={transforms: spatial, consistency_weight: 5, mixup_alpha: 0.3}",
            ),
            "transform_top1",
        ),
        (("method.name=mutual_learning",), "transform_top1"),
        (("method.name=speed",), "speed_top1"),
        (("method.name=triplet_margin",), "triplet_top1"),
    ],
)
def test_method__pretrains_resumes_and_finetunes(
    toy: Toy, tmp_path: Path, options: tuple[str, ...], metric: str
) -> None:
    """Oracle: the run of two epochs, which one of one epoch, resumed for a second, has to equal."""
    words = [word for text in (*options, "pretrain.knn_every=2") for word in ("--set", text)]
    succeed(*toy.pretrain(tmp_path / "whole", *words))
    succeed(*toy.pretrain(tmp_path / "run", *words, "--set", "pretrain.epochs=1"))
    succeed(*toy.pretrain(tmp_path / "run", *words, "--resume"))
    whole, resumed = (load(tmp_path / name / "checkpoints/last.pt")["model"] for name in ("whole", "run"))
    assert differences(whole, resumed) == []
    assert {metric, "knn_top1"} <= rows(tmp_path / "whole")[-1].keys()
    finetuning = ["--weights", str(tmp_path / "whole"), "--set", "finetune.epochs=1"]
    assert "all 72 tensors match" in succeed(*toy.finetune(tmp_path / "finetuned", *finetuning)).stderr


def readme_example(folder: Path) -> list[str]:
    """Write the README's own method into its file, and return the options of its command."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## Add your own method") :]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (name,) = re.findall(r"in a file `(\w+\.py)`", section)
    (options,) = re.findall(r"`vtdl pretrain --preset ucf101/r3d (.*?) \.\.\.`", section)
    (folder / name).write_text(code, encoding="utf-8")
    return shlex.split(options)


def test_readme__adds_a_method_from_outside(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains, shows and draws its metric, resumes to the same weights, and is finetuned and extracted from where its
    class is not to be had."""
    options = [*readme_example(tmp_path), "--set", "pretrain.epochs=2", "--set", "pretrain.knn_every=1"]
    with monkeypatch.context() as inside:
        inside.chdir(tmp_path)
        inside.setattr(sys, "path", [*sys.path])
        line = succeed(*toy.pretrain(tmp_path / "whole", *options)).stderr
        assert "direction_top1" in line
        succeed(*toy.pretrain(tmp_path / "run", *options, "--set", "pretrain.epochs=1"))
        succeed(*toy.pretrain(tmp_path / "run", *options, "--resume"))
        refuse(
            *toy.pretrain(tmp_path / "run", *options, "--set", "method.options.share=0.3", "--resume"),
            code=1,
            says=("method.options.share was '0.4', now it is '0.3'",),
        )
        refuse(
            *toy.pretrain(tmp_path / "no", *options, "--set", "method.options.share=3"),
            code=2,
            says=("method.options of 'backwards:Backwards' are not valid: share '3' is not between 0 and 1",),
        )
        refuse(
            *toy.pretrain(tmp_path / "no", *options, "--set", "method.options.shre=0.4"),
            code=2,
            says=("'shre' is not one of its options. Choose from share",),
        )
    assert not (tmp_path / "no").exists()
    whole, resumed = (load(tmp_path / name / "checkpoints/last.pt")["model"] for name in ("whole", "run"))
    assert differences(whole, resumed) == []
    assert [title for title, _, names in group_metrics(rows(tmp_path / "run")) if "direction_top1" in names] == [
        "accuracy"
    ]
    monkeypatch.delitem(sys.modules, "backwards")
    finetuning = ["--weights", str(tmp_path / "run"), "--set", "finetune.epochs=1"]
    assert "all 72 tensors match" in succeed(*toy.finetune(tmp_path / "finetuned", *finetuning)).stderr
    succeed(*toy.extract(tmp_path / "run", tmp_path / "f.h5"))
    refuse(
        *toy.extract(tmp_path / "run", tmp_path / "e.h5", "--layer", "embedding"), code=1, says=("no embedding head",)
    )
    succeed("report", str(tmp_path / "run"))
    assert "backwards" not in sys.modules


@pytest.mark.slow
def test_pseudo_labels__go_on_from_pretrained_weights(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Colours make clusters that can be learnt, and a run killed in an epoch keeps the labels it had."""
    options = ("method.name=pseudo_labels", "method.clusters=3", "method.relabel_every=4", "pretrain.epochs=8")
    words = [word for text in (*options, "pretrain.optimizer.lr=1e-2") for word in ("--set", text)]
    result = succeed(*toy.pretrain(tmp_path / "run", "--weights", str(pretrained), *words))
    assert "all 72 tensors match" in result.stderr
    table = rows(tmp_path / "run")
    assert table[3]["cluster_top1"] > table[0]["cluster_top1"]
    labels = load(tmp_path / "run/checkpoints/last.pt")["model"]["labels"]
    assert labels.shape == (12,)
    assert set(labels.tolist()) == {0, 1, 2}
    killed = [*toy.pretrain(tmp_path / "killed", "--weights", str(pretrained), *words), *EVERY_STEP]
    stop_when(start(*killed), lambda: step_of(tmp_path / "killed/checkpoints/last.pt") > 13, signal.SIGKILL)
    succeed(*killed, "--resume")
    resumed = load(tmp_path / "killed/checkpoints/last.pt")["model"]
    assert differences(resumed, load(tmp_path / "run/checkpoints/last.pt")["model"]) == []


def test_pretrain__from_weights_begins_both_encoders(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: with a rate of next to nothing, both encoders end as the run they began from."""
    still = ("pretrain.optimizer.lr=1e-12", "pretrain.epochs=1", "pretrain.optimizer.weight_decay=0")
    words = [word for text in still for word in ("--set", text)]
    succeed(*toy.pretrain(tmp_path / "run", "--weights", str(pretrained), *words))
    before, after = (load(run / "checkpoints/last.pt")["model"] for run in (pretrained, tmp_path / "run"))
    for side in ("query", "key"):
        theirs = before["encoders.query.backbone.stem.0.weight"]
        torch.testing.assert_close(after[f"encoders.{side}.backbone.stem.0.weight"], theirs, rtol=0, atol=1e-6)


def test_pseudo_labels__more_clusters_than_videos(toy: Toy, tmp_path: Path) -> None:
    line = toy.pretrain(tmp_path / "run", "--set", "method.name=pseudo_labels")
    refuse(*line, code=1, says=("has 12 videos, fewer than method.clusters 64. --set method.clusters=3",))
