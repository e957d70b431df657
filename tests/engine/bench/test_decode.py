"""`vtdl bench decode` through the real command, and its plain loops against our readers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.toy import NUM_FRAMES, NUM_TRAIN, Toy, files_in, refuse, succeed
from vtdl_cli.data.video.decoding import installed_decoders, open_video
from vtdl_cli.data.video.plain import PLAIN_READERS
from vtdl_cli.engine.bench.decode import ClipsToRead

KIND = "mp4 mpeg4"


def bench(toy: Toy, *more: str) -> list[str]:
    line = ["bench", "decode", "--list", str(toy.train_list), "--root", str(toy.root), "--repeats", "1"]
    return [*line, "--frames", "4", "--stride", "2", "--videos", "2", "--quiet", *more]


def test_bench_decode__numbers_belong_together(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result: dict[str, Any] = json.loads(succeed(*bench(toy, "--clips", "3", "--json", "--figure", "bars.png")).stdout)
    assert (result["clips"], result["scanned"], result["of_videos"]) == (
        "3 of 4 frames at stride 2",
        NUM_TRAIN,
        NUM_TRAIN,
    )
    [(kind, facts)] = result["kinds"].items()
    assert (kind, facts["videos"], facts["refused"]) == (KIND, 2, {})
    readers = [name for name in installed_decoders() if name != "pyav"]  # which is what auto is
    plain = [f"plain {name}" for name in PLAIN_READERS if name in installed_decoders()]
    assert list(result["times"]) == [f"{KIND}: {name}" for name in [*readers, *plain]]
    milliseconds = {name.split(": ")[1]: row["cpu_ms_per_clip"] for name, row in result["times"].items()}
    fastest = min(milliseconds[name] for name in readers if name != "auto")
    assert facts["auto_to_fastest_other"] == pytest.approx(milliseconds["auto"] / fastest)  # auto may be faster still
    assert facts["auto_to_plain"] == pytest.approx(milliseconds["auto"] / min(milliseconds[name] for name in plain))
    assert files_in(tmp_path) == {"bars.png"}


def test_bench_decode__says_what_it_leaves_out(toy: Toy, tmp_path: Path) -> None:
    """A damaged file, and a folder of images, which has one reader whatever the decoder."""
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)))
    (tmp_path / "frames").mkdir()
    for number in range(5):
        Image.new("RGB", (40, 36)).save(tmp_path / f"frames/{number:03d}.png")
    (tmp_path / "list.txt").write_text(f"{toy.root}/red/red_0.mp4\nnoise.mp4\nframes\n")
    line = bench(toy, "--list", str(tmp_path / "list.txt"), "--root", str(tmp_path), "--list-columns", "path")
    result = succeed(*line)
    assert "warning: skipped video" in result.stderr
    assert "folder png: auto" in result.stdout
    assert "folder png: pyav" not in result.stdout
    (tmp_path / "list.txt").write_text("noise.mp4\n")
    refuse(*line, code=1, says=("has no video that can be read",))


@pytest.mark.parametrize("name", PLAIN_READERS)
def test_plain_readers__return_the_frames_of_ours(name: str, toy: Toy) -> None:
    if name not in installed_decoders():
        pytest.skip(f"{name} is not installed")
    path, wanted = toy.root / "red/red_0.mp4", [0, 3, NUM_FRAMES - 1]
    with open_video(path, name) as reader:
        assert np.array_equal(PLAIN_READERS[name](path, wanted), reader.read(wanted))


def test_clips_to_read__draws_distinct_frames() -> None:
    """A clip of 4 frames at stride 2 fits into 8 frames once, however often it is drawn."""
    assert ClipsToRead(5, 4, 2).draw(8, np.random.default_rng(0)) == [0, 2, 4, 6]
    assert len(ClipsToRead(1, 4, 2).draw(100, np.random.default_rng(0))) == 4
