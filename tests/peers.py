"""How long one triplet takes here and with other libraries, side by side: `python -m tests.peers VIDEO ...`.

Every round runs each contender once on the same frames of the same videos, one after the other, in one thread. What is
printed are CPU seconds, which other programs on the machine disturb least, and the ratio to ours, which is the median
over the rounds. Without videos, some are generated.

A contender that reads returns the frames of a triplet at 256 pixels, the short side of the presets of 224 pixels; ours
also cuts the windows of three clips out of them. A contender that augments takes the frames of one clip of that size to
a normalised clip of 224 pixels by a rotation, a crop and jitter of the same strength.
"""

import argparse
import functools
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vtdl_cli.data.clips.augmentation import MEAN, STD, to_clips
from vtdl_cli.data.clips.datasets import VideoSample
from vtdl_cli.data.lists.video_list import list_of_videos
from vtdl_cli.data.video.motion import render_video, write_video
from vtdl_cli.data.video.plain import read_with_decord, read_with_pyav
from vtdl_cli.engine.networks.clips import build_pretraining_clips
from vtdl_cli.settings import load_config

SIDE, CROP, DEGREES, JITTER = 256, 224, 10.0, (0.5, 0.5, 0.25, 0.5)
PRESET = "ucf101/i3d"  # 224 pixels, 16 frames at a stride of 4
OURS = "vtdl"
Contender = Callable[[], object]


def main() -> None:
    """Print the table of both races."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=str(__doc__).splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, help="video files. Default: eight generated ones")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine_name()}, one thread, Python {platform.python_version()}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        videos = [path.resolve() for path in options.videos] or generate_videos(Path(folder))
        print(f"{len(videos)} videos, medians of {options.rounds} rounds, each on other frames\n")
        report("read a triplet", [readers(videos, number) for number in range(options.rounds)], len(videos))
    report("augment a clip", [augmenters(number) for number in range(options.rounds)], 1)


def machine_name() -> str:
    """Return the processor's name and the number of its cores."""
    lines = info.read_text().splitlines() if (info := Path("/proc/cpuinfo")).exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.processor() or platform.machine())}, {os.cpu_count()} cores"


def generate_videos(folder: Path) -> list[Path]:
    """Write eight videos of moving shapes, 192 frames of 320x320."""
    paths = [folder / f"{number}.mp4" for number in range(8)]
    for number, path in enumerate(paths):
        frames = render_video(number, np.random.default_rng(number)).repeat(10, 1).repeat(10, 2)
        write_video(path, np.concatenate([frames, frames[::-1]] * 3))
    return paths


def report(title: str, rounds: Sequence[dict[str, Contender]], number: int) -> None:
    """Run the contenders of each round and print a line of each; `number` of triplets or clips in a round."""
    cpu, wall = ({name: list[float]() for name in rounds[0]} for _ in range(2))
    for turn, contenders in enumerate(rounds):
        for name in sorted(contenders, reverse=bool(turn % 2)):
            began = time.process_time(), time.perf_counter()
            contenders[name]()
            cpu[name].append((time.process_time() - began[0]) / number)
            wall[name].append((time.perf_counter() - began[1]) / number)
    print(f"{title:34} {'CPU ms':>8} {'wall ms':>8} {'to ours':>8}")
    for name, seconds in cpu.items():
        ratio = statistics.median(theirs / ours for theirs, ours in zip(seconds, cpu[OURS], strict=True))
        print(
            f"{name:34} {1e3 * statistics.median(seconds):8.1f} {1e3 * statistics.median(wall[name]):8.1f} {ratio:8.2f}"
        )
    print()


@functools.cache
def installed(package: str) -> bool:
    """Whether a package is installed; says so if not."""
    try:
        version(package)
    except PackageNotFoundError:
        print(f"{package} is not installed: left out")
        return False
    return True


def readers(videos: Sequence[Path], epoch: int) -> dict[str, Contender]:
    """Return what reads one triplet of each video: those of our workers in an epoch, and the same frames by others."""
    root = Path(os.path.commonpath(videos)) if len(videos) > 1 else videos[0].parent
    names = [path.relative_to(root).as_posix() for path in videos]
    clips = build_pretraining_clips(load_config(PRESET), list_of_videos(root, names, root=root), 0)
    wanted = []
    for index in range(len(videos)):
        sample = clips[(epoch, index)]
        if not isinstance(sample, VideoSample):
            sys.exit(f"video '{videos[index]}' cannot be read: {sample.reason}")
        wanted.append(np.unique(clips.draw_frames((epoch, index), sample.num_frames)[0]).tolist())

    def read_all(read: Callable[[Path, list[int]], np.ndarray]) -> Contender:
        return lambda: discard(resize(read(path, frames)) for path, frames in zip(videos, wanted, strict=True))

    found: dict[str, Contender] = {OURS: lambda: discard(clips[(epoch, index)] for index in range(len(videos)))}
    found["PyAV, from the start"] = read_all(read_with_pyav)
    if installed("decord"):
        found["decord, get_batch"] = read_all(read_with_decord)
    return found


def discard(results: Iterable[object]) -> None:
    """Compute results one after the other, each in the memory of the last, as a loader's worker does."""
    for _ in results:
        pass


def resize(frames: np.ndarray) -> Tensor:
    """Resize frames (T, H, W, 3) to the short side that the network's crop is taken from."""
    scale = SIDE / min(frames.shape[1:3])
    size = [int(scale * side) for side in frames.shape[1:3]]
    return F.interpolate(torch.from_numpy(frames).permute(0, 3, 1, 2), size=size, mode="bilinear", antialias=True)


def augmenters(number: int) -> dict[str, Contender]:
    """Return what augments a clip of 16 frames."""
    generator = np.random.default_rng(number)
    clips = build_pretraining_clips(load_config(PRESET), list_of_videos(Path(), [], root=Path()), 0)
    frames = generator.integers(0, 256, (16, SIDE, SIDE * 4 // 3, 3), np.uint8)
    windows, draws = clips.viewer(frames, np.arange(16)[None], generator)
    tensors = {name: torch.from_numpy(values) for name, values in draws.items()}
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)  # (T, C, H, W)
    found: dict[str, Contender] = {OURS: lambda: to_clips(torch.from_numpy(windows), CROP, tensors)}
    if installed("torchvision"):
        found["torchvision.transforms.v2"] = lambda: torchvision_transform()(clip)
    if installed("pytorchvideo"):
        found["pytorchvideo's Normalize after it"] = lambda: pytorchvideo_transform()(clip)
    return found


def torchvision_transform(*, normalises: bool = True) -> Any:
    """Return the same augmentation in torchvision's words."""
    from torchvision.transforms import InterpolationMode, v2

    steps = [
        v2.RandomRotation(DEGREES, InterpolationMode.BILINEAR),
        v2.RandomCrop(CROP),
        v2.ColorJitter(*JITTER),
        v2.ToDtype(torch.float32, scale=True),
    ]
    return v2.Compose([*steps, v2.Normalize(MEAN, STD)] if normalises else steps)


def pytorchvideo_transform() -> Any:
    """Return it with what pytorchvideo has of its own: it normalises videos (C, T, H, W), and augments by torchvision."""
    from pytorchvideo.transforms import Normalize

    augment = torchvision_transform(normalises=False)
    return lambda clip: Normalize(MEAN, STD)(augment(clip).transpose(0, 1))


if __name__ == "__main__":
    main()
