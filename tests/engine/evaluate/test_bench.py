"""`vtdl bench` through the real command; that it times what evaluation does, and all of it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.toy import NUM_VAL, Toy, files_in, refuse, succeed
from vtdl_cli.engine.evaluate.bench import (
    decode_clips,
    forward_random_clips,
    make_random_clips,
    score_videos,
)
from vtdl_cli.engine.evaluate.evaluate import Measurement, load_tested_network, prepare_measurement
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.request import Execution, ListSource, Protocol
from vtdl_cli.runtime import SilentReporter, ignore_warning


def bench(toy: Toy, weights: Path, *more: str) -> list[str]:
    line = ["bench", "evaluate", "--weights", str(weights), "--list", str(toy.val_list), "--root", str(toy.root)]
    return [*line, "--device", "cpu", "--workers", "0", *more]


@pytest.fixture
def measurement(toy: Toy, finetuned: Path) -> Measurement:
    """Three clips a video, so that the preset's 8 clips at a time make batches of two videos."""
    execution = Execution(device="cpu", workers=0)
    tested = load_tested_network(str(finetuned), Protocol(3), (), ignore_warning)
    return prepare_measurement(tested, ListSource(toy.val_list, toy.root), execution, Protocol(3), SilentReporter())


def test_bench__numbers_belong_together(
    toy: Toy, finetuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files_in(finetuned)
    result = json.loads(succeed(*bench(toy, finetuned, "--clips", "3", "--repeats", "2", "--json")).stdout)
    seconds = result["seconds"]
    assert set(seconds) == set(result["clips_per_second"]) == {"decoding", "network", "evaluation"}
    assert min(seconds.values()) > 0
    assert {name: result[name] for name in ("protocol", "num_videos", "num_clips", "device", "workers", "repeats")} == {
        "protocol": "video@3", "num_videos": NUM_VAL, "num_clips": 3 * NUM_VAL, "device": "cpu", "workers": 0, "repeats": 2,
    }  # fmt: skip
    for name, value in seconds.items():
        assert result["clips_per_second"][name] * value == pytest.approx(3 * NUM_VAL)
    parts = seconds["decoding"], seconds["network"]
    assert result["evaluation_to_sum"] == pytest.approx(seconds["evaluation"] / sum(parts))
    assert result["evaluation_to_longer"] == pytest.approx(seconds["evaluation"] / max(parts))
    assert list(tmp_path.iterdir()) == []
    assert files_in(finetuned) == before


def test_bench__skips_what_cannot_be_read(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Named once, however often the list is read, and counted in no pass."""
    (tmp_path / "list.txt").write_text(toy.val_list.read_text() + "gone.mp4 1 24\n")
    (tmp_path / "classes.txt").write_text(toy.val_list.with_name("classes.txt").read_text())
    line = bench(toy, finetuned, "--list", str(tmp_path / "list.txt"), "--quiet", "--json")
    result = succeed(*line)
    assert json.loads(result.stdout)["num_clips"] == 2 * NUM_VAL  # the preset's two clips a video
    assert result.stderr.count("warning: skipped video") == 1


def test_bench__refuses(toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path) -> None:
    refuse(*bench(toy, pretrained), code=1, says=("were pretrained and have no classifier",))
    refuse(*bench(toy, finetuned, "--repeats", "0"), code=2, says=("Invalid value for '--repeats'",))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.txt").write_text(f"{tmp_path}/empty.mp4 0 24\n")
    line = bench(toy, finetuned, "--list", str(tmp_path / "list.txt"), "--list-columns", "path class frames")
    refuse(*line, code=1, says=("cannot be read: the file is empty",))


def test_bench__network_sees_as_many_clips_as_in_evaluation(measurement: Measurement) -> None:
    """Oracle: what a hook on the network counts, batch by batch and in the same memory layout."""
    seen: list[tuple[torch.Size, tuple[int, ...]]] = []
    measurement.network.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0].shape, inputs[0].stride())))
    bad_videos = BadVideos(NUM_VAL, 0.0)
    score_videos(measurement, bad_videos, SilentReporter())
    in_evaluation = seen.copy()
    seen.clear()
    sizes = decode_clips(measurement, bad_videos, SilentReporter())
    assert sizes == [6, 6, 6]
    forward_random_clips(measurement, sizes, {size: make_random_clips(measurement, size) for size in sizes})
    assert seen == in_evaluation


def test_bench__evaluation_is_evaluations(toy: Toy, finetuned: Path, measurement: Measurement, tmp_path: Path) -> None:
    """Oracle: the scores that `vtdl evaluate` writes."""
    succeed(*toy.evaluate(finetuned, tmp_path / "out", "--clips", "3"))
    found = score_videos(measurement, BadVideos(NUM_VAL, 0.0), SilentReporter())
    with h5py.File(tmp_path / "out/scores.h5") as file:
        assert np.array_equal(file["scores"][:], found.values)
