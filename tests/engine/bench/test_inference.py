"""`vtdl bench evaluate` and `extract` through the real command; that they time what those do, and all of it."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tests.toy import NUM_VAL, Toy, files_in, refuse, succeed
from vtdl_cli.engine.bench.evaluate import pass_of, score_videos
from vtdl_cli.engine.evaluate.measurement import Measurement, load_tested_network, prepare_measurement
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.request import Execution, ListSource, Protocol
from vtdl_cli.runtime import SilentReporter, ignore_warning


def bench(toy: Toy, weights: Path, *more: str, command: str = "evaluate") -> list[str]:
    line = ["bench", command, "--weights", str(weights), "--list", str(toy.val_list), "--root", str(toy.root)]
    return [*line, "--device", "cpu", "--workers", "0", *more]


@pytest.fixture
def measurement(toy: Toy, finetuned: Path) -> Measurement:
    """Three clips a video, so that the preset's 8 clips at a time make batches of two videos."""
    execution = Execution(device="cpu", workers=0)
    tested = load_tested_network(str(finetuned), Protocol(3), (), ignore_warning)
    return prepare_measurement(tested, ListSource(toy.val_list, toy.root), execution, Protocol(3), SilentReporter())


def belongs_together(result: dict[str, Any], num_clips: int) -> None:
    """What is derived from the times, computed again."""
    times = result["times"]
    assert set(times) == {"decoding", "network", "together"}
    for row in times.values():
        assert set(row) == {"seconds", "cpu_seconds", "clips_per_second"}
        assert min(row.values()) > 0
        assert row["clips_per_second"] * row["seconds"] == pytest.approx(num_clips)
    for unit, name in (("seconds", "together_to_sum"), ("cpu_seconds", "together_to_sum_cpu")):
        apart = times["decoding"][unit] + times["network"][unit]
        assert result[name] == pytest.approx(times["together"][unit] / apart)
    longer = max(times["decoding"]["seconds"], times["network"]["seconds"])
    assert result["together_to_longer"] == pytest.approx(times["together"]["seconds"] / longer)


def test_bench_evaluate__numbers_belong_together(
    toy: Toy, finetuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files_in(finetuned)
    line = bench(toy, finetuned, "--clips", "3", "--repeats", "2", "--json", "--figure", "bars.png")
    result = json.loads(succeed(*line).stdout)
    belongs_together(result, 3 * NUM_VAL)
    assert {name: result[name] for name in ("protocol", "num_videos", "num_clips", "machine", "repeats")} == {
        "protocol": "video@3", "num_videos": NUM_VAL, "num_clips": 3 * NUM_VAL, "machine": "cpu, float32, 0 workers",
        "repeats": 2,
    }  # fmt: skip
    assert files_in(tmp_path) == {"bars.png"}
    assert files_in(finetuned) == before
    refuse(*line, code=2, says=("'bars.png' exists. Use --overwrite, or another --figure",))


def test_bench_extract__numbers_belong_together(
    toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With workers, whose CPU time counts; the table has the same rows."""
    monkeypatch.chdir(tmp_path)
    before = files_in(pretrained)
    line = bench(toy, pretrained, "--repeats", "1", "--workers", "1", command="extract")
    result = json.loads(succeed(*line, "--json").stdout)
    belongs_together(result, 2 * NUM_VAL)
    assert (result["protocol"], result["layer"]) == ("video@2", "last")
    table = succeed(*line, "--quiet").stdout
    assert all(word in table for word in ("together_to_sum", "CPU seconds", "clips/s", "decoding", "network"))
    assert list(tmp_path.iterdir()) == []
    assert files_in(pretrained) == before


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
    timed = pass_of(measurement)
    sizes = timed.decode(bad_videos, SilentReporter())
    assert sizes == [6, 6, 6]
    timed.forward(sizes, {size: timed.random_clips(size) for size in sizes})
    assert seen == in_evaluation


def test_bench__evaluation_is_evaluations(toy: Toy, finetuned: Path, measurement: Measurement, tmp_path: Path) -> None:
    """Oracle: the scores that `vtdl evaluate` writes."""
    succeed(*toy.evaluate(finetuned, tmp_path / "out", "--clips", "3"))
    found = score_videos(measurement, BadVideos(NUM_VAL, 0.0), SilentReporter())
    with h5py.File(tmp_path / "out/scores.h5") as file:
        assert np.array_equal(file["scores"][:], found.values)
