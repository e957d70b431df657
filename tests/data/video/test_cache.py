"""Decoded videos kept in memory. Oracle: what `open_video` reads anew, to the last bit."""

import pickle
import shutil
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy import NUM_TRAIN, Toy, differences, load, read_list, refuse, rows, succeed, without_times, write_video
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.data.video import file_readers
from vtdl_cli.data.video.cache import KeptVideo, VideoCache
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.file_readers import decode_frames
from vtdl_cli.data.video.timeline import Interval, timeline_of
from vtdl_cli.engine.networks.clips import build_pretraining_clips
from vtdl_cli.engine.networks.machine import build_machine
from vtdl_cli.errors import UnreadableVideo
from vtdl_cli.settings import load_config

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


def fill(cache: VideoCache, *videos: Path, interval: Interval | None = None, threads: int = 2) -> int:
    """How many steps it took."""
    return sum(1 for _ in cache.fill([(video, interval) for video in videos], threads))


@pytest.mark.parametrize(
    ("interval", "frame_rate"), [(None, None), (Interval(0.5, 4.2), None), (None, 10.0), (Interval(0.5, 4.2), 10.0)]
)
def test_video_cache__same_bits_and_times(video: Path, interval: Interval | None, frame_rate: float | None) -> None:
    cache = make_cache(1e9, frame_rate)
    fill(cache, video, interval=interval)
    with open_video(video, "auto", interval, frame_rate, short_side=SHORT_SIDE) as anew:
        wanted = np.random.default_rng(1).integers(anew.num_frames, size=16)
        for _ in range(2):
            with cache.open(video, interval) as kept:
                assert isinstance(kept, KeptVideo)
                assert kept.num_frames == anew.num_frames
                assert kept.scan == anew.scan
                assert np.array_equal(kept.read(wanted), anew.read(wanted))
                ours, theirs = (timeline_of(video, reader) for reader in (kept, anew))
                assert np.array_equal(ours.times(wanted), theirs.times(wanted))
        with cache.open(video, interval) as kept, pytest.raises(IndexError, match=f"of a video of {anew.num_frames}"):
            kept.read([anew.num_frames])


@pytest.mark.parametrize(
    ("limit_bytes", "number"),
    [(0, 0), (VIDEO_BYTES - 1, 0), (VIDEO_BYTES, 1), (3 * VIDEO_BYTES - 1, 2), (3 * VIDEO_BYTES, 3), (1e9, 3)],
)
@pytest.mark.parametrize("threads", [1, 4])
def test_fill__keeps_the_first_videos_that_there_is_room_for(
    video: Path, limit_bytes: float, number: int, threads: int
) -> None:
    """Oracle: by hand; a video that is not there takes no room, one that comes twice none again."""
    videos = [video, *(video.with_name(name) for name in ("absent.mp4", "2.mp4", "3.mp4"))]
    for copy in videos[2:]:
        shutil.copy(video, copy)
    cache = make_cache(limit_bytes)
    steps = fill(cache, *videos, video, threads=threads)
    assert steps == min(number + (number > 0), 4)  # with the absent one
    assert (len(cache), cache.used_bytes) == (number, number * VIDEO_BYTES)
    for each in videos:
        each.unlink(missing_ok=True)
    readable = [videos[place] for place in (0, 2, 3)][:number]
    for each in readable:
        with cache.open(each, None) as reader:
            assert reader.num_frames == NUM_FRAMES


def test_fill__leaves_out_a_video_that_is_damaged_elsewhere(data_dir: Path, tmp_path: Path) -> None:
    """Its first frames can be decoded, its last cannot: it is read as without."""
    whole = data_dir / "weizmann/bend/daria_bend.avi"
    content, damaged = bytearray(whole.read_bytes()), tmp_path / "damaged.avi"
    content[len(content) * 4 // 5 : len(content) * 9 // 10] = bytes(len(content) * 9 // 10 - len(content) * 4 // 5)
    damaged.write_bytes(content)
    cache = make_cache(1e9)
    fill(cache, damaged)
    assert (len(cache), cache.used_bytes) == (0, 0)
    with cache.open(damaged, None) as ours, open_video(damaged, short_side=SHORT_SIDE) as theirs:
        assert np.array_equal(ours.read([3, 7]), theirs.read([3, 7]))
        with pytest.raises(UnreadableVideo):
            ours.read([ours.num_frames - 8])


def test_read__goes_on_where_it_ended_in_a_video_without_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: by hand: blocks one after another decode each frame once; an earlier frame, all before it once more."""
    path, decoded = tmp_path / "video.ts", list[int]()
    noise = np.random.default_rng(0).integers(256, size=(NUM_FRAMES, 4, 6, 3), dtype=np.uint8)
    write_video(path, noise.repeat(8, 1).repeat(8, 2))

    def counted(path: Path) -> Iterator[Any]:
        for frame in decode_frames(path):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(file_readers, "decode_frames", counted)
    with open_video(path) as reader:
        assert reader.scan.seek_table is None
        frames = np.concatenate([reader.read(range(first, first + 50)) for first in (0, 50, 100)])
        assert len(decoded) == NUM_FRAMES
        assert np.array_equal(reader.read([120, 30]), frames[[120, 30]])
        assert len(decoded) == NUM_FRAMES + 121
        assert np.array_equal(reader.read([121]), frames[[121]])
        assert len(decoded) == NUM_FRAMES + 122


def test_read__after_damage_reads_earlier_frames_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: what a new reader finds: frames before the damage are good, whatever was asked for before."""
    path = tmp_path / "video.ts"
    noise = np.random.default_rng(0).integers(256, size=(NUM_FRAMES, 4, 6, 3), dtype=np.uint8)
    write_video(path, noise.repeat(8, 1).repeat(8, 2))

    def damaged(path: Path) -> Iterator[Any]:
        yield from islice(decode_frames(path), 90)
        raise UnreadableVideo(str(path), "it is damaged at frame 90")

    with open_video(path) as reader:
        expected = reader.read([3, 10])
    monkeypatch.setattr(file_readers, "decode_frames", damaged)
    with open_video(path) as reader:
        reader.read([3, 7])
        for _ in range(2):
            with pytest.raises(UnreadableVideo, match="damaged at frame 90"):
                reader.read([100])
        assert np.array_equal(reader.read([3, 10]), expected)
        assert np.array_equal(reader.read([10]), expected[1:])


def test_fill__ended_early_leaves_no_thread_and_no_open_file(video: Path) -> None:
    videos = [Path(shutil.copy(video, video.with_name(f"{number}.mp4"))) for number in range(6)]
    before = threading.active_count()
    filling = make_cache(1e9).fill([(path, None) for path in videos], 2)
    next(filling)
    filling.close()
    assert threading.active_count() == before
    assert not [link for link in Path("/proc/self/fd").iterdir() if str(link.resolve()).startswith(str(video.parent))]


def test_fill_cache__is_shared_by_workers(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the samples read anew; the workers read none of the files, which are gone."""
    root = shutil.copytree(toy.root, tmp_path / "videos")
    config = load_config(str(toy.preset), ["pretrain.cache_gb=0.1"])
    dataset = build_pretraining_clips(config, read_list(toy.train_list, root=root), seed=0)
    machine, order = build_machine("cpu", "fp32", 2), EpochBatches(NUM_TRAIN, 3)

    def windows() -> list[torch.Tensor]:
        return [batch.windows.clone() for batch in machine.load(dataset, order)]

    expected = windows()
    assert len(list(dataset.fill_cache(2))) == NUM_TRAIN
    shutil.rmtree(root)
    assert all(map(torch.equal, windows(), expected))
    assert len(pickle.loads(pickle.dumps(dataset)).cache) == 0  # what a worker gets that is started anew


def test_training__the_same_with_and_without(toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: runs without; and a run may go on with another size."""
    more = ("--set", "pretrain.knn_every=2", "--set", "pretrain.keep_every=2", "--set", "pretrain.cache_gb=0.1")
    result = succeed(*toy.pretrain(tmp_path / "pretrained", *more))
    assert f"in memory: {NUM_TRAIN} of {NUM_TRAIN} videos, 0.0016 GB decoded" in result.stderr
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
