"""Clips through a network: which numbers come out, of which video, in which order."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy import NUM_VAL, Toy, clips_by_hand, read_list
from vtdl_cli.data.clips.datasets import VideoClips
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.clips import build_test_clips
from vtdl_cli.engine.networks.inference import (
    check_each_once,
    collect,
    forward_clips,
    forward_videos,
    load_videos,
    stop_on_signal,
)
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.errors import ListError, VtdlError
from vtdl_cli.runtime import SilentReporter
from vtdl_cli.settings import load_config

CPU = Machine(torch.device("cpu"), None, 0)
VIEWS = 2


def colours(clips: torch.Tensor) -> torch.Tensor:
    """A network without weights: the mean of each frame and channel, (N, 3, T, R, R) -> (N, 3 T)."""
    return clips.mean((3, 4)).flatten(1)


@pytest.fixture(scope="module")
def videos(toy: Toy) -> VideoList:
    return read_list(toy.val_list, root=toy.root)


@pytest.fixture(scope="module")
def dataset(toy: Toy, videos: VideoList) -> VideoClips:
    config = load_config(str(toy.preset))
    return build_test_clips(config, videos, config.finetune, clips=VIEWS)


@pytest.mark.parametrize("batch_clips", [1, 3, 4, 100])
def test_forward_videos__each_clip_is_its_videos(videos: VideoList, dataset: VideoClips, batch_clips: int) -> None:
    """Oracle: each video alone, cut out by hand; however many pass through the network together."""
    outputs = list(forward_videos(colours, dataset, CPU, views=VIEWS, batch_clips=batch_clips))
    together = max(1, batch_clips // VIEWS)
    assert [len(batch) for batch, _ in outputs] == [together] * (NUM_VAL // together) + [NUM_VAL % together] * (
        NUM_VAL % together > 0
    )
    found = collect(iter(outputs), BadVideos(NUM_VAL, 0.05), SilentReporter(), "")
    assert found.index.tolist() == list(range(NUM_VAL))
    assert found.label.tolist() == videos.labels.tolist()
    expected = np.stack([colours(clips_by_hand(videos.path(index))).numpy() for index in range(NUM_VAL)])
    assert found.values.shape == (NUM_VAL, VIEWS, 3 * 4)
    np.testing.assert_allclose(found.values, expected, atol=0.05)
    assert np.abs(expected[:, 0] - expected[:, 1]).max() > 0.1  # the two clips of a video do differ


def test_forward_videos__processes_the_chosen_ones(dataset: VideoClips) -> None:
    outputs = forward_videos(colours, dataset, CPU, views=VIEWS, batch_clips=4, indices=np.array([1, 3, 5]))
    assert [batch.index.tolist() for batch, _ in outputs] == [[1, 3], [5]]


def test_forward_videos__reports_lost_videos(dataset: VideoClips, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last batch never comes."""
    whole = load_videos(dataset, CPU, views=VIEWS, batch_clips=4)
    monkeypatch.setattr("vtdl_cli.engine.networks.inference.load_videos", lambda *_, **__: islice(whole, 2))
    with pytest.raises(VtdlError, match="of 6 videos 2 were lost and 0 came twice"):
        list(forward_videos(colours, dataset, CPU, views=VIEWS, batch_clips=4))


def test_forward_videos__returns_no_frames(dataset: VideoClips) -> None:
    for batch, _ in forward_videos(colours, dataset, CPU, views=VIEWS, batch_clips=4):
        assert batch.windows.numel() == 0


def test_forward_clips__a_batch_at_a_time_without_gradients() -> None:
    """Oracle: by hand: seven clips, three at a time; float32 comes out of bf16."""
    sizes, kinds = list[int](), list[bool]()

    def network(clips: torch.Tensor) -> torch.Tensor:
        sizes.append(len(clips))
        kinds.append(torch.is_grad_enabled())
        return torch.nn.functional.linear(clips.flatten(1), torch.ones(2, 3))

    clips = torch.arange(1000.0, 1021.0).view(7, 3, 1, 1, 1)
    machine = Machine(torch.device("cpu"), torch.bfloat16, 0)
    exact, rounded = (forward_clips(network, clips, each, 3) for each in (CPU, machine))
    assert (sizes, any(kinds)) == ([3, 3, 1] * 2, False)
    assert exact.dtype == rounded.dtype == np.float32
    assert exact.tolist() == [[sum(row), sum(row)] for row in clips.flatten(1).tolist()]
    assert exact.tolist() != rounded.tolist()
    np.testing.assert_allclose(rounded, exact, rtol=2**-7)


def test_collect__counts_and_names_what_cannot_be_read(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    lines = toy.val_list.read_text().splitlines()
    (tmp_path / "list.txt").write_text("\n".join([lines[0], f"{tmp_path / 'broken.mp4'} 2 24", lines[1]]) + "\n")
    config = load_config(str(toy.preset))
    mixed = read_list(tmp_path / "list.txt", root=toy.root, columns="path class frames")
    clips = build_test_clips(config, mixed, config.finetune, clips=VIEWS)
    bad = BadVideos(3, 0.05)
    found = collect(forward_videos(colours, clips, CPU, views=VIEWS, batch_clips=2), bad, SilentReporter(), "")
    assert found.index.tolist() == [0, 2]
    assert list(bad.found) == [1]
    with pytest.raises(ListError, match="no video of the list could be read"):
        collect(iter(()), BadVideos(3, 1.0), SilentReporter(), "")


def test_stop_on_signal__stops_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def batches() -> Iterator[Any]:
        try:
            yield from range(5)
        finally:
            closed.append(True)

    answers = iter(["", "", "SIGTERM"])
    monkeypatch.setattr("vtdl_cli.engine.networks.inference.StopRequest.received", lambda _: next(answers))
    seen = list[Any]()
    with pytest.raises(KeyboardInterrupt):
        seen.extend(stop_on_signal(batches()))  # type: ignore[arg-type]
    assert closed == [True]


@pytest.mark.parametrize(
    ("processed", "says"),
    [([2, 3, 4], "of 4 videos 1 were lost and 0 came twice"), ([2, 3, 3, 5], "1 were lost and 1 came twice")],
)
def test_check_each_once__names_what_is_lost_and_what_came_twice(processed: list[int], says: str) -> None:
    """Oracle: by hand, for videos 2 to 5 of a list whose first two were processed before."""
    check_each_once([5, 2, 4, 3], range(2, 6))
    with pytest.raises(VtdlError, match=says):
        check_each_once(processed, range(2, 6))
