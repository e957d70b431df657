"""Decoded videos kept in memory. Oracle: what `open_video` reads anew, to the last bit."""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from tests.toy import Toy, differences, load, refuse, rows, succeed, without_times, write_video
from vtdl_cli.data.video import cache as caches
from vtdl_cli.data.video.cache import VideoCache
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.timeline import Interval, timeline_of
from vtdl_cli.errors import UnreadableVideo

NUM_FRAMES, SHORT_SIDE = 150, 20
VIDEO_BYTES = NUM_FRAMES * 20 * 30 * 3  # resized from 32x48


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Longer than two blocks."""
    noise = np.random.default_rng(0).integers(256, size=(NUM_FRAMES, 4, 6, 3), dtype=np.uint8)
    write_video(tmp_path / "video.mp4", noise.repeat(8, 1).repeat(8, 2))
    return tmp_path / "video.mp4"


def make_cache(limit_bytes: float, frame_rate: float | None = None) -> VideoCache:
    return VideoCache(limit_bytes, "auto", frame_rate, SHORT_SIDE)


def reads_without_file(cache: VideoCache, path: Path) -> bool:
    """Whether a video is read once more after its file is gone, which is put back."""
    with cache.open(path, None) as reader:
        reader.read([0])
    path.rename(path.with_suffix(".away"))
    try:
        with cache.open(path, None) as reader:
            reader.read([0])
    except UnreadableVideo:
        return False
    finally:
        path.with_suffix(".away").rename(path)
    return True


@pytest.mark.parametrize(
    ("interval", "frame_rate"), [(None, None), (Interval(0.5, 4.2), None), (None, 10.0), (Interval(0.5, 4.2), 10.0)]
)
def test_video_cache__same_bits_and_times(video: Path, interval: Interval | None, frame_rate: float | None) -> None:
    cache = make_cache(1e9, frame_rate)
    with open_video(video, "auto", interval, frame_rate, short_side=SHORT_SIDE) as anew:
        wanted = np.random.default_rng(1).integers(anew.num_frames, size=16)
        for _ in range(2):
            with cache.open(video, interval) as kept:
                assert kept.num_frames == anew.num_frames
                assert kept.scan == anew.scan
                assert np.array_equal(kept.read(wanted), anew.read(wanted))
                ours, theirs = (timeline_of(video, reader) for reader in (kept, anew))
                assert np.array_equal(ours.times(wanted), theirs.times(wanted))
        with cache.open(video, interval) as kept, pytest.raises(IndexError, match=f"of a video of {anew.num_frames}"):
            kept.read([anew.num_frames])


def test_video_cache__keeps_as_many_as_there_is_room_for(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = video.with_name("other.mp4")
    other.write_bytes(video.read_bytes())
    cache = make_cache(2 * VIDEO_BYTES - 1)
    assert [reads_without_file(cache, path) for path in (video, other)] == [True, False]
    assert reads_without_file(make_cache(VIDEO_BYTES), video)
    assert not reads_without_file(make_cache(VIDEO_BYTES - 1), video)
    assert not reads_without_file(make_cache(0), video)
    monkeypatch.setattr(caches, "get_worker_info", lambda: SimpleNamespace(num_workers=2))
    assert not reads_without_file(make_cache(2 * VIDEO_BYTES - 1), video)
    assert reads_without_file(make_cache(2 * VIDEO_BYTES), video)


def test_video_cache__a_video_damaged_elsewhere_is_read_as_without(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first frames can be decoded, its last cannot; that is found out once."""
    whole = data_dir / "weizmann/bend/daria_bend.avi"
    content, damaged = bytearray(whole.read_bytes()), tmp_path / "damaged.avi"
    content[len(content) * 4 // 5 : len(content) * 9 // 10] = bytes(len(content) * 9 // 10 - len(content) * 4 // 5)
    damaged.write_bytes(content)
    keep = Mock(wraps=caches._keep)
    monkeypatch.setattr(caches, "_keep", keep)
    cache = make_cache(1e9)
    for _ in range(2):
        with cache.open(damaged, None) as ours, open_video(damaged, short_side=SHORT_SIDE) as theirs:
            assert np.array_equal(ours.read([3, 7]), theirs.read([3, 7]))
            with pytest.raises(UnreadableVideo):
                ours.read([ours.num_frames - 8])
    keep.assert_called_once()


def test_training__the_same_with_and_without(toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: runs without; and a run may go on with another size."""
    more = ("--set", "pretrain.knn_every=2", "--set", "pretrain.keep_every=2", "--set", "pretrain.cache_gb=0.1")
    succeed(*toy.pretrain(tmp_path / "pretrained", *more))
    tune = ("--weights", str(pretrained), "--set", "finetune.epochs=8", "--workers", "2")
    succeed(*toy.finetune(tmp_path / "finetuned", *tune, "--set", "finetune.cache_gb=0.1"))
    for ours, theirs in ((tmp_path / "pretrained", pretrained), (tmp_path / "finetuned", finetuned)):
        states = [load(run / "checkpoints" / "last.pt")["model"] for run in (ours, theirs)]
        assert differences(*states) == []
        assert without_times(rows(ours)) == without_times(rows(theirs))
    succeed(*toy.finetune(tmp_path / "finetuned", *tune, "--resume"))


def test_training__cache_size_is_not_negative(toy: Toy, tmp_path: Path) -> None:
    typed = toy.pretrain(tmp_path / "run", "--set", "pretrain.cache_gb=-1")
    refuse(*typed, code=2, says=("pretrain.cache_gb", "greater than or equal to 0"))
