"""Evaluation through the real command, held to scikit-learn and to a network run by hand."""

import csv
import json
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_fscore_support

from tests.toy import (
    CLASSES,
    NUM_TRAIN,
    NUM_VAL,
    Toy,
    clips_by_hand,
    colour_video,
    files_in,
    load,
    peak_memory,
    refuse,
    start,
    stop_when,
    succeed,
    write_video,
)
from vtdl_cli.engine.networks.trained import load_classifier
from vtdl_cli.engine.request import protocol_name


@pytest.fixture(scope="module")
def evaluated(toy: Toy, finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated") / "out"
    succeed(*toy.evaluate(finetuned, out, "--clips", "2"))
    return out


def metrics_of(out: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return metrics


def test_evaluate__writes_its_files(evaluated: Path) -> None:
    assert files_in(evaluated) == {"metrics.json", "scores.h5", "per_class.csv", "confusion.png"}
    assert (evaluated / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate__metrics_are_complete(toy: Toy, finetuned: Path, evaluated: Path) -> None:
    metrics = metrics_of(evaluated)
    expected = {
        "protocol": "video@2",
        "num_videos": NUM_VAL,
        "skipped": [],
        "weights": str(finetuned / "checkpoints/best.pt"),
        "list": str(toy.val_list),
    }
    assert {name: metrics[name] for name in expected} == expected
    assert {"top1", "mean_class", "seconds", "weights_sha256", "list_sha256"} <= set(metrics)
    assert "top5" not in {*metrics, *metrics["intervals"]}  # of three classes
    assert metrics["intervals_by"] == "video"
    assert (metrics["precision"], metrics["torch_version"]) == ("float32", torch.__version__)
    assert (metrics["aggregate"], metrics["root"], metrics["decoder"]) == ("softmax", str(toy.root), "auto")
    for name, (low, high) in metrics["intervals"].items():
        assert 0 <= low <= metrics[name] <= high <= 100
        assert low < high


def test_evaluate__accuracies_against_scikit_learn(evaluated: Path) -> None:
    with h5py.File(evaluated / "scores.h5") as file:
        scores, labels, paths = file["scores"][:], file["labels"][:], file["paths"].asstr()[:]
        assert file.attrs["protocol"] == "video@2"
    metrics = metrics_of(evaluated)
    assert metrics["top1"] == pytest.approx(100 * accuracy_score(labels, scores.argmax(1)))
    assert metrics["mean_class"] == pytest.approx(100 * balanced_accuracy_score(labels, scores.argmax(1)))
    assert scores.sum(1) == pytest.approx(np.ones(NUM_VAL), abs=1e-5)
    assert [path.split("/")[0] for path in paths] == [CLASSES[label] for label in labels]


def test_evaluate__per_class_table_sums_up(evaluated: Path) -> None:
    with (evaluated / "per_class.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == list(CLASSES)
    assert [int(row["videos"]) for row in table] == [2, 2, 2]
    correct = sum(int(row["correct"]) for row in table)
    metrics = metrics_of(evaluated)
    assert 100 * correct / NUM_VAL == pytest.approx(metrics["top1"])
    assert [row["recall"] for row in table] == [row["top1"] for row in table]
    assert np.mean([float(row["f1"]) for row in table]) == pytest.approx(metrics["macro_f1"], abs=0.01)
    with h5py.File(evaluated / "scores.h5") as file:
        predicted, labels = file["scores"][:].argmax(1), file["labels"][:]
    precision, _, _, _ = precision_recall_fscore_support(labels, predicted, labels=range(3), zero_division=0)
    ours = [float(row["precision"] or 0) for row in table]  # empty where the class was never predicted
    assert ours == pytest.approx(100 * precision, abs=0.01)


def test_evaluate__score_is_the_mean_softmax_of_the_clips(toy: Toy, finetuned: Path, evaluated: Path) -> None:
    """Oracle: by hand, decoded by PyAV; decord's colours differ by a grey level or so."""
    network, _ = load_classifier(str(finetuned), ())
    with torch.inference_mode():
        expected = network(clips_by_hand(toy.root / "blue/blue_4.mp4")).softmax(1).mean(0)
    with h5py.File(evaluated / "scores.h5") as file:
        assert file["paths"].asstr()[0] == "blue/blue_4.mp4"
        assert file["scores"][0] == pytest.approx(expected.numpy(), abs=0.01)


@pytest.mark.parametrize("aggregate", ["softmax", "logits"])
def test_evaluate__all_is_recomputed_from_its_clips_by_scikit_learn(
    toy: Toy, finetuned: Path, tmp_path: Path, aggregate: str
) -> None:
    """Oracles: scikit-learn's metrics, scipy's softmax."""
    out = tmp_path / "out"
    succeed(*toy.evaluate(finetuned, out, "--clips", "3", "--crops", "3", "--aggregate", aggregate))
    with h5py.File(out / "scores.h5") as file:
        clips, scores, labels = file["clip_logits"][:], file["scores"][:], file["labels"][:]
        assert json.loads(file.attrs["classes"]) == list(CLASSES)
        assert (file.attrs["aggregate"], file.attrs["protocol"]) == (aggregate, "video@3x3")
    assert clips.shape == (NUM_VAL, 9, len(CLASSES))
    expected = (softmax(clips, axis=2) if aggregate == "softmax" else clips).mean(1)
    assert scores == pytest.approx(expected, abs=1e-5)
    metrics = metrics_of(out)
    assert metrics["top1"] == pytest.approx(100 * accuracy_score(labels, expected.argmax(1)))
    assert metrics["mean_class"] == pytest.approx(100 * balanced_accuracy_score(labels, expected.argmax(1)))


def test_evaluate__several_lists_give_mean_and_deviation(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: numpy over the folders of each, which hold what a single evaluation does."""
    line = toy.evaluate(finetuned, tmp_path / "out", "--list", str(toy.train_list), "--clips", "1", "--json")
    summary = json.loads(succeed(*line).stdout)
    parts = [metrics_of(tmp_path / "out" / name) for name in ("1_val", "2_train")]
    assert [part["num_videos"] for part in parts] == [NUM_VAL, NUM_TRAIN]
    assert summary["tests"] == {"1_val": parts[0], "2_train": parts[1]}
    assert "top5" not in summary  # of three classes
    for name in ("top1", "mean_class"):
        values = [part[name] for part in parts]
        assert summary[name] == {"mean": pytest.approx(np.mean(values)), "std": pytest.approx(np.std(values, ddof=1))}
    assert summary == metrics_of(tmp_path / "out")
    alone = json.loads(succeed(*toy.evaluate(finetuned, tmp_path / "alone", "--clips", "1", "--json")).stdout)
    assert {**alone, "seconds": 0} == {**parts[0], "seconds": 0}


def test_evaluate__several_weights_go_with_their_lists(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    twice = toy.evaluate(finetuned, tmp_path / "out", "--weights", str(finetuned / "checkpoints/last.pt"))
    plan = json.loads(succeed(*twice, "--dry-run", "--json").stdout)["tests"]
    assert [Path(test["weights"]).name for test in plan.values()] == ["best.pt", "last.pt"]
    more = ("--list", str(toy.train_list), "--list", str(toy.train_list))
    refuse(*twice, *more, code=2, says=(f"--weights '{finetuned}' and 1 more do not go with 3 lists. Give one of",))
    assert list(tmp_path.iterdir()) == []


def test_evaluate__overwriting_leaves_no_older_results(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Of three lists, then two, then one, only what the last wrote is there."""
    out, quick = tmp_path / "out", ("--clips", "1", "--overwrite", "--quiet")
    (out / "3_val").mkdir(parents=True)
    (out / "3_val/notes.txt").touch()
    more = ("--list", str(toy.train_list), "--list", str(toy.val_list))
    succeed(*toy.evaluate(finetuned, out, *quick, *more))
    succeed(*toy.evaluate(finetuned, out, *quick, *more[:2]))
    whole = {"metrics.json", "scores.h5", "per_class.csv", "confusion.png"}
    both = {f"{folder}/{name}" for folder in ("1_val", "2_train") for name in whole}
    assert files_in(out) == {"metrics.json", "3_val/notes.txt"} | both
    succeed(*toy.evaluate(finetuned, out, *quick))
    assert files_in(out) == whole | {"3_val/notes.txt"}


def test_evaluate__clips_and_starts_exclude_each_other(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    line = toy.evaluate(finetuned, tmp_path / "out", "--clips", "2", "--set", "evaluate.starts=[0,10]")
    refuse(*line, code=2, says=("--clips and --set evaluate.starts exclude each other",))


def test_evaluate__one_wrong_list_of_several_stops_all_before_any(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    line = toy.evaluate(finetuned, tmp_path / "out", "--list", str(tmp_path / "none.txt"))
    refuse(*line, code=1, says=(f"list '{tmp_path / 'none.txt'}'",))
    assert list(tmp_path.iterdir()) == []


def test_evaluate__scores_that_are_not_finite_are_refused(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    content = load(finetuned / "checkpoints/best.pt")
    content["model"]["head.linear.bias"][0] = float("nan")
    torch.save(content, tmp_path / "nan.pt")
    says = (f"weights '{tmp_path / 'nan.pt'}' give scores that are not finite",)
    refuse(*toy.evaluate(tmp_path / "nan.pt", tmp_path / "out", "--quiet"), code=1, says=says)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("clips", "crops", "name"),
    [("1", "1", "clip@1"), ("10", "1", "video@10"), ("2", "3", "video@2x3"), ("1", "3", "video@1x3")],
)
def test_evaluate__names_its_protocol(
    toy: Toy, finetuned: Path, tmp_path: Path, clips: str, crops: str, name: str
) -> None:
    result = succeed(*toy.evaluate(finetuned, tmp_path / "out", "--clips", clips, "--crops", crops, "--json"))
    assert json.loads(result.stdout)["protocol"] == protocol_name(int(clips), int(crops)) == name
    assert json.loads(result.stdout) == metrics_of(tmp_path / "out")


def test_evaluate__clips_default_to_the_presets(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    result = succeed(*toy.evaluate(finetuned, tmp_path / "out", "--dry-run", "--json"))
    assert json.loads(result.stdout)["protocol"] == "video@2"
    assert list(tmp_path.iterdir()) == []


def test_evaluate__one_clip_is_what_finetuning_validated_with(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    best = json.loads(succeed(*toy.evaluate(finetuned, tmp_path / "out", "--clips", "1", "--json")).stdout)
    assert best["top1"] == load(finetuned / "checkpoints/best.pt")["best"]["val_top1"]


def test_evaluate__damaged_video_is_skipped_and_named(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.txt").write_text(toy.val_list.read_text() + f"{tmp_path / 'broken.mp4'} 1 24\n")
    (tmp_path / "classes.txt").write_text(toy.val_list.with_name("classes.txt").read_text())
    last = finetuned / "checkpoints/last.pt"  # which is warned of nothing else
    result = succeed(*toy.evaluate(last, tmp_path / "out", "--quiet", test_list=tmp_path / "list.txt"))
    (skipped,) = json.loads((tmp_path / "out/metrics.json").read_text())["skipped"]
    assert skipped["path"] == str(tmp_path / "broken.mp4")
    assert skipped["reason"]
    assert metrics_of(tmp_path / "out")["num_videos"] == NUM_VAL
    assert result.stderr == f"warning: skipped video '{skipped['path']}': {skipped['reason']}\n"


@pytest.mark.parametrize("number", [1, 2])
def test_evaluate__short_videos_are_reported(toy: Toy, finetuned: Path, tmp_path: Path, number: int) -> None:
    """Oracle, by hand: 4 frames at stride 2 span 7, of which these have 6; and what predict says of them."""
    short = [tmp_path / f"short_{index}.mp4" for index in range(number)]
    for path in short:
        write_video(path, colour_video(2, seed=5)[:6])
    rows = [*(f"{path} 2 6\n" for path in short), toy.val_list.read_text()]
    (tmp_path / "list.txt").write_text("".join(rows))
    (tmp_path / "classes.txt").write_text(toy.val_list.with_name("classes.txt").read_text())
    last = finetuned / "checkpoints/last.pt"  # which is warned of nothing else
    result = succeed(*toy.evaluate(last, tmp_path / "out", "--quiet", test_list=tmp_path / "list.txt"))
    which = f"video '{short[0]}' is" if number == 1 else f"2 of {NUM_VAL + 2} videos, the first '{short[0]}', are"
    says = f"warning: {which} shorter than a clip of 7 frames, and played in a loop\n"
    assert result.stderr == says
    listed = (str(tmp_path / "list.txt"), "--root", str(toy.root), "--device", "cpu", "--workers", "0")
    assert says in succeed("predict", "--weights", str(last), *listed).stderr


def test_evaluate__pretrained_weights_are_refused(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the next command itself, with the toy's list and videos for those of the example."""
    says = (
        f"were pretrained and have no classifier. First: vtdl finetune --preset {pretrained}/config.yaml --weights {pretrained} ",
    )
    result = refuse(*toy.evaluate(pretrained, tmp_path / "out"), code=1, says=says)
    assert list(tmp_path.iterdir()) == []
    words = shlex.split(result.stderr.split("First: vtdl ")[1])
    ours = {"lists/train_split_1.txt": str(toy.train_list), "videos": str(toy.root), "runs/finetuned": str(tmp_path)}
    succeed(*(ours.get(word, word) for word in words), "--dry-run", "--device", "cpu", "--workers", "0")


def test_evaluate__setting_that_does_not_fit_the_weights(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    says = ("weights of r3d (depth 10, width 4, rgb) do not fit the network", "of another shape. Leave out --set")
    for setting in ("model.width=8", "data.modality=flow"):
        line = toy.evaluate(finetuned, tmp_path / "out", "--set", setting)
        refuse(*line, code=1, says=(*says, f"Leave out --set {setting.split('=')[0]}"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("clips", ["0", "-3", "two"])
def test_evaluate__clips_that_are_none(toy: Toy, finetuned: Path, tmp_path: Path, clips: str) -> None:
    refuse(*toy.evaluate(finetuned, tmp_path / "out", "--clips", clips), code=2, says=("Invalid value for '--clips'",))
    assert list(tmp_path.iterdir()) == []


def test_evaluate__existing_output_is_refused(toy: Toy, finetuned: Path, evaluated: Path, tmp_path: Path) -> None:
    before = (evaluated / "metrics.json").read_bytes()
    refuse(*toy.evaluate(finetuned, evaluated), code=2, says=("metrics.json' exists. Use --overwrite",))
    assert (evaluated / "metrics.json").read_bytes() == before
    (tmp_path / "file").touch()
    refuse(*toy.evaluate(finetuned, tmp_path / "file"), code=2, says=("is a file. Choose another --out",))


def test_evaluate__overwrite_replaces(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").touch()
    (out / "metrics.json").write_text("old")
    succeed(*toy.evaluate(finetuned, out, "--overwrite"))
    assert metrics_of(out)["protocol"] == "video@2"
    assert (out / "notes.txt").exists()


def test_evaluate__list_of_other_classes(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(toy.val_list.read_text())
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n")
    line = toy.evaluate(finetuned, tmp_path / "out", test_list=tmp_path / "list.txt")
    refuse(*line, code=2, says=("in another order: class 0 is 'red' here and 'blue' there. Prepare both",))
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "list.txt").write_text("red/red_4.mp4 3 0\n")
    line += ["--list-columns", "path class frames"]
    refuse(*line, code=1, says=(f"list '{tmp_path / 'list.txt'}:1' has class '3', outside the classifier's 3 classes",))


def test_evaluate__stopped_by_ctrl_c_leaves_nothing(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """As a terminal sends it: to the command and to the workers that decode for it."""
    names = [f"{toy.root}/{line}" for line in toy.val_list.read_text().splitlines()]
    (tmp_path / "list.txt").write_text("\n".join(names * 100))
    shutil.copy(toy.val_list.with_name("classes.txt"), tmp_path)
    line = toy.evaluate(finetuned, tmp_path / "out", "--workers", "2", test_list=tmp_path / "list.txt")
    process = start(*line)

    def under_way() -> bool:  # the first of its lines says that 50 videos are done
        return process.stderr.readline().startswith("video@2 ")

    code, stderr = stop_when(process, under_way, signal.SIGINT, group=True)
    assert code == 1, stderr
    assert stderr.splitlines()[-1] == "error: interrupted without saving", stderr
    assert "Traceback" not in stderr, stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_evaluate__memory_does_not_grow_with_the_list(finetuned: Path, tmp_path: Path) -> None:
    """Windows alone, 3 kB each, would be 26 MiB more for 9,000 more videos; a folder of one frame opens fast."""
    folder = tmp_path / "videos/a"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 32), (200, 10, 10)).save(folder / "img_00001.jpg")
    line = ["evaluate", "--weights", str(finetuned), "--root", str(folder.parent), "--clips", "1", "--workers", "0"]
    line += ["--set", "data.short_side=32", "--set", "finetune.clip_len_frames=1", "--set", "evaluate.batch_clips=64"]
    peaks = []
    for number in (1_000, 10_000):
        (tmp_path / "list.txt").write_text("a 0 1\n" * number)
        out = tmp_path / str(number)
        peaks.append(peak_memory(*line, "--list", str(tmp_path / "list.txt"), "--out", str(out)))
        assert metrics_of(out)["num_videos"] == number
    print(f"peak memory of 1,000 and of 10,000 videos: {peaks} MiB")
    assert peaks[1] - peaks[0] < 20
