"""Generated lossless videos: red encodes the video and green the frame, so that samples can be identified."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.toy import read_list
from vtdl_cli.data.clips import loading
from vtdl_cli.data.clips.datasets import Batch, Unreadable, VideoClips, VideoSample
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.data.clips.loading import build_loader
from vtdl_cli.data.clips.sampling import IndexSampler, random_clip, uniform_clips
from vtdl_cli.data.clips.triplets import TripletSampler
from vtdl_cli.data.clips.views import FixedViews, RandomViews, Viewer
from vtdl_cli.data.lists.video_list import VideoList

LENGTHS = (9, 20, 30, 12, 25)
BAD = 3  # the position of the garbage file in the list, which the lengths do not count
LABELS = (1, 0, 2, 0, 1, 2)
TRIPLETS, RANDOM_VIEWS = TripletSampler(4, 2), RandomViews(12, 10.0, (0.5, 0.5, 0.25, 0.5))


def make_frames(video: int, num_frames: int) -> np.ndarray:
    """(T, 16, 20, 3) of noise over the video's own red and the frame's own green."""
    frames = np.random.default_rng(video).integers(8, size=(num_frames, 16, 20, 3), dtype=np.uint8)
    frames[..., 0] += np.uint8(40 * video)
    frames[..., 1] += 8 * np.arange(num_frames, dtype=np.uint8)[:, None, None]
    return frames


def write_video(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoList:
    """Five videos and, in the middle, a file that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for video, num_frames in enumerate(LENGTHS):
        write_video(folder / f"v{video}.mkv", make_frames(video, num_frames))
    names = [f"v{video}.mkv" for video in range(len(LENGTHS))]
    (folder / "garbage.mkv").write_bytes(b"not a video at all")
    names.insert(BAD, "garbage.mkv")
    lines = [f"{name} {label}" for name, label in zip(names, LABELS, strict=True)]
    (folder / "list.txt").write_text("\n".join(lines))
    return read_list(folder / "list.txt", columns="path class")


def make_dataset(
    videos: VideoList,
    seed: int = 0,
    *,
    sampler: IndexSampler = TRIPLETS,
    viewer: Viewer = RANDOM_VIEWS,
    short_side: int = 16,
) -> VideoClips:
    return VideoClips(videos, sampler=sampler, viewer=viewer, short_side=short_side, decoder="pyav", seed=seed)


def same(a: VideoSample | Unreadable, b: VideoSample | Unreadable) -> bool:
    if isinstance(a, Unreadable) or isinstance(b, Unreadable):
        return a == b
    return (
        (a.index, a.label, a.num_frames) == (b.index, b.label, b.num_frames)
        and np.array_equal(a.other_frames, b.other_frames)
        and np.array_equal(a.strides, b.strides)
        and np.array_equal(a.windows, b.windows)
        and a.draws.keys() == b.draws.keys()
        and all(np.array_equal(a.draws[name], b.draws[name]) for name in a.draws)
    )


def unbatch(batches: list[Batch]) -> list[VideoSample | Unreadable]:
    """The samples of batches, in the order of their videos."""
    samples: list[VideoSample | Unreadable] = []
    for batch in batches:
        samples += batch.unreadable
        for row in range(len(batch)):
            index, label, num_frames = (int(v[row]) for v in (batch.index, batch.label, batch.num_frames))
            draws = {name: values[row].numpy() for name, values in batch.draws.items()}
            other_frames, strides = batch.other_frames[row].numpy(), batch.strides[row].numpy()
            windows = batch.windows[row].numpy()
            samples.append(VideoSample(index, label, num_frames, other_frames, strides, windows, draws))
    return sorted(samples, key=lambda sample: sample.index)


def test_video_clips__a_sample_holds_the_frames_of_its_video(videos: VideoList) -> None:
    """Oracle: the frames as they were written; two clips of 3 frames, 4 apart, at the start and end; centre of 16."""
    dataset = make_dataset(videos, sampler=uniform_clips(3, 4, 2), viewer=FixedViews(12))
    assert len(dataset) == 6
    for index, video, num_frames in ((0, 0, 9), (1, 1, 20), (4, 3, 12), (5, 4, 25)):
        sample = dataset[0, index]
        assert isinstance(sample, VideoSample)
        assert (sample.index, sample.label, sample.num_frames) == (index, LABELS[index], num_frames)
        starts = [0, max(num_frames - 12, 0)]
        expected = make_frames(video, num_frames)[[[(s + 4 * t) % num_frames for t in range(3)] for s in starts]]
        assert np.array_equal(sample.windows, expected[:, :, 2:14, 4:16])
        assert sample.draws == {}


def test_video_clips__resizes_before_it_cuts(videos: VideoList) -> None:
    """Oracle: the frames' mean red: a resize to half the size keeps it, and the crop is then the full height."""
    sample = make_dataset(videos, sampler=uniform_clips(3, 4, 1), viewer=FixedViews(8), short_side=8)[0, 2]
    assert isinstance(sample, VideoSample)
    assert sample.windows.shape == (1, 3, 8, 8, 3)
    assert sample.windows[..., 0].mean() == pytest.approx(80 + 3.5, abs=0.5)


def test_video_clips__unreadable_videos_come_with_their_reason(videos: VideoList) -> None:
    sample = make_dataset(videos)[0, BAD]
    assert isinstance(sample, Unreadable)
    assert (sample.index, Path(sample.path).name) == (BAD, "garbage.mkv")
    assert "not a video" in sample.reason
    assert sample.path not in sample.reason


def test_video_clips__a_sample_depends_on_seed_epoch_and_index_alone(videos: VideoList) -> None:
    """Oracle: README; earlier samples do not matter, each of the three does."""
    dataset, other = make_dataset(videos, seed=3), make_dataset(videos, seed=3)
    first = dataset[1, 2]
    for key in ((0, 5), (1, 0), (2, 2)):
        other[key]
    assert same(other[1, 2], first)
    assert not same(dataset[2, 2], first)
    assert not same(make_dataset(videos, seed=4)[1, 2], first)
    beside = dataset[1, 1]
    assert isinstance(first, VideoSample)
    assert isinstance(beside, VideoSample)
    assert not np.intersect1d(first.draws["rotation"], beside.draws["rotation"]).size


@pytest.mark.parametrize("workers", [1, 2])
def test_build_loader__samples_do_not_depend_on_workers_order_or_resuming(videos: VideoList, workers: int) -> None:
    """Oracle: the dataset asked directly, sample by sample; the loader shuffles, and starts within the first epoch."""
    dataset = make_dataset(videos, seed=5)
    order = EpochBatches(6, 4, epochs=2, seed=5, shuffle=True)
    order.start_step = 1
    batches = list(build_loader(dataset, order, workers=workers, on_gpu=False))
    assert [len(batch) + len(batch.unreadable) for batch in batches] == [2, 4, 2]
    keys = [sorted(keys) for keys in order]
    for batch, expected in zip([batches[:1], batches[1:]], [keys[0], sorted(keys[1] + keys[2])], strict=True):
        samples = unbatch(batch)
        assert len(samples) == len(expected)
        assert all(same(sample, dataset[key]) for sample, key in zip(samples, expected, strict=True))


@pytest.mark.parametrize(
    ("start_method", "sampler"),
    [
        pytest.param("forkserver", random_clip(4, 2), marks=pytest.mark.slow),
        pytest.param("spawn", uniform_clips(4, 2, 3), marks=pytest.mark.slow),
    ],
)
def test_build_loader__samples_do_not_depend_on_how_workers_start(
    monkeypatch: pytest.MonkeyPatch, videos: VideoList, start_method: str, sampler: IndexSampler
) -> None:
    """Oracle: the dataset asked directly. Windows and macOS spawn; a fork server is Python's own default from 3.14 on."""
    monkeypatch.setattr(loading, "START_METHOD", start_method)
    dataset = make_dataset(videos, seed=5, sampler=sampler)
    samples = unbatch(list(build_loader(dataset, EpochBatches(6, 4), workers=1, on_gpu=False)))
    assert len(samples) == 6
    assert all(same(sample, dataset[0, index]) for index, sample in enumerate(samples))


def test_build_loader__without_workers_a_batch_carries_unreadable_videos_apart(videos: VideoList) -> None:
    """Oracle: the list; 3 views of windows that hold a crop of 12 turned by up to 10 degrees (16 pixels)."""
    dataset = make_dataset(videos)
    [batch] = build_loader(dataset, EpochBatches(6, 6), workers=0, on_gpu=False)
    assert batch.index.tolist() == [0, 1, 2, 4, 5]
    assert batch.label.tolist() == [LABELS[index] for index in (0, 1, 2, 4, 5)]
    assert batch.num_frames.tolist() == list(LENGTHS)
    assert batch.windows.shape == (5, 3, 4, 16, 16, 3)
    assert {name: tuple(values.shape) for name, values in batch.draws.items()} == {
        "rotation": (5, 3),
        "shift": (5, 3, 2),
        "factor": (5, 3, 4),
        "order": (5, 3, 4),
    }
    assert [bad.index for bad in batch.unreadable] == [BAD]
    assert all(same(sample, dataset[0, index]) for index, sample in enumerate(unbatch([batch])))


def test_build_loader__a_batch_of_nothing_but_unreadable_videos_is_empty(videos: VideoList) -> None:
    batches = list(build_loader(make_dataset(videos), EpochBatches(6, 1), workers=0, on_gpu=False))
    assert [len(batch) for batch in batches] == [1, 1, 1, 0, 1, 1]
    assert [bad.index for bad in batches[BAD].unreadable] == [BAD]


def test_build_loader__leaves_torchs_random_state_alone(videos: VideoList) -> None:
    """Oracle: the state itself: a loader that drew from it would make a resumed run's dropout and TCA differ."""
    before = torch.get_rng_state()
    list(build_loader(make_dataset(videos), EpochBatches(6, 3, shuffle=True), workers=1, on_gpu=False))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("num_videos", "batch_size"), [(11, 4), (12, 4), (3, 1), (5, 5)])
def test_epoch_batches__every_epoch_is_a_permutation_in_batches(
    num_videos: int, batch_size: int, drop_last: bool
) -> None:
    """Oracle: by definition; batches counted by hand as floor or ceiling."""
    order = EpochBatches(num_videos, batch_size, epochs=3, seed=1, shuffle=True, drop_last=drop_last)
    steps = math.floor(num_videos / batch_size) if drop_last else math.ceil(num_videos / batch_size)
    batches = list(order)
    assert (order.steps_per_epoch, len(order), len(batches)) == (steps, 3 * steps, 3 * steps)
    orders = []
    for epoch in range(3):
        keys = batches[epoch * steps : (epoch + 1) * steps]
        assert all(len(batch) == batch_size for batch in keys[: num_videos // batch_size])
        assert {key[0] for batch in keys for key in batch} == {epoch}
        orders.append([index for batch in keys for _, index in batch])
        assert set(Counter(orders[-1]).values()) == {1}
        assert set(orders[-1]) <= set(range(num_videos))
        assert len(orders[-1]) == (steps * batch_size if drop_last else num_videos)
    if num_videos > 5:
        assert orders[0] != orders[1] != orders[2] != orders[0]
        assert orders[0] != sorted(orders[0])
        other = EpochBatches(num_videos, batch_size, epochs=3, seed=2, shuffle=True, drop_last=drop_last)
        assert list(other) != batches


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_epoch_batches__resumed_anywhere_it_gives_the_rest_of_the_stream(shuffle: bool, drop_last: bool) -> None:
    """Oracle: the tail of the stream that was never stopped, from every step of three epochs, and from the end."""

    def make() -> EpochBatches:
        return EpochBatches(11, 4, epochs=3, seed=9, shuffle=shuffle, drop_last=drop_last)

    full = list(make())
    for step in range(len(full) + 1):
        resumed = make()
        resumed.start_step = step
        assert len(resumed) == len(full) - step
        assert list(resumed) == full[step:]


@pytest.mark.parametrize(("drop_last", "batches"), [(False, [2, 1]), (True, [2])])
def test_epoch_batches__resumed_at_a_step_of_several(drop_last: bool, batches: list[int]) -> None:
    """Oracle: by hand: eleven videos are batches of 4, 4 and 3, two to a step; steps change no batch of the stream."""
    options: dict[str, Any] = {"epochs": 3, "seed": 9, "shuffle": True, "drop_last": drop_last}
    full = list(EpochBatches(11, 4, **options))
    order = EpochBatches(11, 4, accumulate_steps=2, **options)
    assert [order.batches_in(step) for step in range(order.steps_per_epoch)] == batches
    for step in range(3 * len(batches) + 1):
        order.start_step = step
        skipped = sum((batches * 3)[:step])
        assert (len(order), list(order)) == (len(full) - skipped, full[skipped:])


def test_epoch_batches__in_the_lists_order_by_hand() -> None:
    """Oracle: by hand."""
    order = EpochBatches(3, 2, epochs=2)
    assert list(order) == [[(0, 0), (0, 1)], [(0, 2)], [(1, 0), (1, 1)], [(1, 2)]]


@pytest.mark.parametrize("first", range(8))
def test_epoch_batches__of_some_videos_in_shares_of_ranks(first: int) -> None:
    """Oracle: by hand: videos `first` to 6, three at a time, each in one of two parts, in order; from 7 on none."""
    parts = [list(EpochBatches(7, 3, indices=np.arange(first, 7), rank=rank, world_size=2)) for rank in range(2)]
    assert len(parts[0]) == len(parts[1]) == -(-(7 - first) // 3)
    videos = [index for batches in zip(*parts, strict=True) for batch in batches for _, index in batch]
    assert videos == list(range(first, 7))
