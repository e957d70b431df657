"""Small generated videos and a tiny preset, and the ways to run the command on them."""

import json
import os
import re
import resource
import shlex
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import torch
from typer import testing
from typer.testing import CliRunner, Result

from tests.processes import ENVIRONMENT, Running
from vtdl_cli.cli import app
from vtdl_cli.data.lists.video_list import VideoList, parse_list

CLASSES = ("blue", "green", "red")
NUM_FRAMES, HEIGHT, WIDTH = 24, 36, 50  # decord misreads some widths below 96, 48 among them
TRAIN_PER_CLASS, VAL_PER_CLASS = 4, 2
NUM_TRAIN, NUM_VAL = TRAIN_PER_CLASS * len(CLASSES), VAL_PER_CLASS * len(CLASSES)

PRESET = """# A network of a few thousand weights, for tests.
data: {short_side: 36, crop_size: 32, rotation_degrees: 5,
       jitter: {brightness: 0.1, contrast: 0.1, saturation: 0.1, hue: 0.0}}
model: {name: r3d, depth: 10, width: 4, embedding_dim: 16}
method: {momentum: 0.9, tca: {alpha: 0.5, per: sample}, queue: {size: 16}}
pretrain:
  clip_len_frames: 4
  stride_frames: 2
  epochs: 2
  batch_size: 4
  precision: fp32
  optimizer: {name: adamw, lr: 1.0e-3, weight_decay: 1.0e-4}
  schedule: {name: constant}
finetune:
  clip_len_frames: 4
  stride_frames: 2
  epochs: 2
  batch_size: 5
  precision: fp32
  optimizer: {name: adamw, lr: 1.0e-2, weight_decay: 1.0e-4}
  schedule: {name: constant}
evaluate: {clips: 2, batch_clips: 8}
extract: {clip_len_frames: 4, stride_frames: 2, clips: 2, batch_clips: 8}
"""


@dataclass(frozen=True)
class Toy:
    """Where the generated things lie."""

    root: Path
    train_list: Path
    val_list: Path
    preset: Path

    def pretrain(self, out: Path, *more: str) -> list[str]:
        return ["pretrain", *self._training(out), *more]

    def finetune(self, out: Path, *more: str) -> list[str]:
        return ["finetune", *self._training(out), "--val-list", str(self.val_list), *more]

    def evaluate(self, weights: Path, out: Path, *more: str, test_list: Path | None = None) -> list[str]:
        videos = str(test_list or self.val_list)
        return ["evaluate", "--weights", str(weights), "--list", videos, *self._running(out), *more]

    def extract(self, weights: Path | str, out: Path, *more: str) -> list[str]:
        return ["extract", "--weights", str(weights), "--list", str(self.val_list), *self._running(out), *more]

    def _training(self, out: Path) -> list[str]:
        return ["--preset", str(self.preset), "--train-list", str(self.train_list), *self._running(out)]

    def _running(self, out: Path) -> list[str]:
        return ["--root", str(self.root), "--out", str(out), "--device", "cpu", "--workers", "0"]


def make_toy(folder: Path) -> Toy:
    """Write videos in three classes that differ by colour, lists and the preset."""
    root, lists = folder / "videos", folder / "lists"
    lists.mkdir(parents=True)
    rows: dict[str, list[str]] = {"train": [], "val": []}
    for label, name in enumerate(CLASSES):
        for number in range(TRAIN_PER_CLASS + VAL_PER_CLASS):
            path = f"{name}/{name}_{number}.mp4"
            write_video(root / path, colour_video(label, seed=10 * label + number))
            rows["train" if number < TRAIN_PER_CLASS else "val"].append(f"{path} {label} {NUM_FRAMES}")
    (lists / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for name, lines in rows.items():
        (lists / f"{name}.txt").write_text("\n".join(lines) + "\n")
    preset = folder / "tiny.yaml"
    preset.write_text(PRESET)
    return Toy(root, lists / "train.txt", lists / "val.txt", preset)


def read_list(path: Path, **options: Any) -> VideoList:
    """Read a list as commands do, but for the check that its videos exist; options as of `parse_list`."""
    return parse_list(path, **options).whole()


def colour_video(label: int, seed: int) -> np.ndarray:
    """Frames (T, H, W, 3) uint8: a tinted background with noise, and a bright square that moves."""
    generator = np.random.default_rng(seed)
    tint = np.full(3, 40.0)
    tint[2 - label] = 180  # blue, green, red
    background = tint + generator.normal(0, 10, (HEIGHT, WIDTH, 3))
    frames = np.repeat(background[None], NUM_FRAMES, axis=0)
    x, y = generator.integers(0, 20, 2)
    for time_, frame in enumerate(frames):
        left, top = (x + time_) % (WIDTH - 10), (y + time_) % (HEIGHT - 10)
        frame[top : top + 10, left : left + 10] = 230
    return frames.clip(0, 255).astype(np.uint8)


@contextmanager
def without_checksums(path: Path) -> Iterator[h5py.File]:
    """Features or scores as versions before checksums wrote them, open to be changed."""
    old = path.with_name(f"old {path.name}")
    with h5py.File(path) as new, h5py.File(old, "w") as file:
        for name in new:
            new.copy(name, file)
        file.attrs.update({name: value for name, value in new.attrs.items() if name != "checksums"})
        yield file
    old.replace(path)


def write_video(path: Path, frames: np.ndarray, rate: int | Fraction = 25) -> None:
    """Encode frames (T, H, W, 3) as MPEG-4 at `rate` frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=rate, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


@contextmanager
def small_files(most_bytes: int) -> Iterator[None]:
    """Let this process write no file beyond so many bytes, as `ulimit -f` does: a full disk of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def clips_by_hand(path: Path) -> torch.Tensor:
    """What a network sees of a toy video in two clips: (2, 3, 4, 32, 32), cut out and normalised step by step.

    24 frames, clips of 4 frames at stride 2: they start at 0 and 16; the centre 32 pixels of 50x36; ImageNet's numbers.
    """
    with av.open(str(path)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    clips = np.stack([frames[first : first + 8 : 2, 2:34, 9:41] for first in (0, 16)]).astype(np.float32)
    normalised = (clips / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(normalised.astype(np.float32)).permute(0, 4, 1, 2, 3)


COUNTED = "videos|clips|frames|epochs|steps|batches|workers|classes|groups|recordings|queries|files|lists|rows|tensors"
"""What commands count."""


# else each run builds the parsers of all commands
testing._get_command = lru_cache(testing._get_command)  # type: ignore[attr-defined]


def vtdl(*arguments: str) -> Result:
    """Run a command in this process; whatever it counts, it says `1 video` (though `1 of 1 videos`)."""
    result = CliRunner().invoke(app, [*map(str, arguments)], prog_name="vtdl")
    assert not re.search(rf"(?<![\w.@])(?<!of )1 ({COUNTED})\b", result.output), result.output
    return result


def succeed(*arguments: str) -> Result:
    """Run a command that has to succeed."""
    result = vtdl(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refuse(*arguments: str, code: int, says: tuple[str, ...]) -> Result:
    """Run a command that has to fail as users are promised: one `error:` line for each mistake and nothing else."""
    result = vtdl(*arguments)
    errors = error_lines(result)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    for words in says:
        assert any(words in line for line in errors), (words, errors)
    return result


def error_lines(result: Result) -> list[str]:
    """The lines on stderr, each of which has to be an error's or a warning's."""
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith(("error: ", "warning: ")) for line in lines), lines
    assert "Traceback" not in result.stderr
    return [line for line in lines if line.startswith("error: ")]


def next_commands(said: str) -> list[list[str]]:
    """The words of each command that is printed to be typed next, as a shell would split it."""
    lines = [line.removeprefix("next: vtdl ") for line in said.splitlines() if line.startswith("next: ")]
    return [shlex.split(line) for line in lines]


def start(*arguments: str) -> Running:
    """Start the command in a process of its own."""
    return Running("-m", "vtdl_cli", *arguments)


def start_processes(count: int, *words: str) -> list[Running]:
    """Start `python words...` as many times, as torchrun does: told of one another, and each of its own number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    told = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in range(count)]
    return [
        Running(*words, environment=ENVIRONMENT | {name: str(value) for name, value in each.items()}) for each in told
    ]


def ends(processes: list[Running]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each, once all have ended."""
    said = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


RUN_AND_MEASURE = (
    "import sys; from pathlib import Path; from vtdl_cli.cli import app\n"
    "try: app()\n"
    "finally: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0], file=sys.stderr)"
)
"""Linux's peak of this program alone: getrusage's is never below what the process that started it had."""


def peak_memory(*arguments: str) -> float:
    """MiB that the real command, which has to succeed, takes at most in a process of its own."""
    [(code, _, stderr)] = ends([Running("-c", RUN_AND_MEASURE, *arguments, "--quiet")])
    assert code == 0, stderr
    return int(stderr.splitlines()[-1]) / 1024


def stop_when(
    process: Running, ready: Callable[[], bool], number: signal.Signals, *, group: bool = False
) -> tuple[int, str]:
    """Send a signal as soon as `ready`, to the whole `group` as a terminal does; returns the exit code and stderr."""
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the command never got so far"
        time.sleep(0.005)
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


def step_of(checkpoint: Path) -> int:
    """The step a checkpoint was written at; 0 where there is none yet."""
    return _step_in(checkpoint, checkpoint.stat().st_mtime_ns) if checkpoint.exists() else 0


@lru_cache(maxsize=1)
def _step_in(checkpoint: Path, _written: int) -> int:
    """Those who wait for a step ask a hundred times a second."""
    return int(load(checkpoint)["step"])


def load(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's content, read by torch alone."""
    content: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    return content


def differences(ours: Any, theirs: Any, name: str = "") -> list[str]:
    """Where two nested contents are not the same, bit for bit."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        changed = [f"{name}.{key} in one only" for key in ours.keys() ^ theirs.keys()]
        return changed + [
            line for key in ours.keys() & theirs.keys() for line in differences(ours[key], theirs[key], f"{name}.{key}")
        ]
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple) and len(ours) == len(theirs):
        pairs = zip(ours, theirs, strict=True)
        return [line for number, pair in enumerate(pairs) for line in differences(*pair, f"{name}[{number}]")]
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return [] if ours.dtype == theirs.dtype and torch.equal(ours, theirs) else [name]
    return [] if type(ours) is type(theirs) and ours == theirs else [name]


def rows(run: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


TIMES = ("clips_per_second", "data_time_share", "seconds")


def without_times(table: list[dict[str, float]]) -> list[dict[str, float]]:
    """Rows without what the clock says."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in table]


RUN_FILES = {
    "config.yaml",
    "metrics.jsonl",
    "metrics.csv",
    "curves.png",
    "events.out.tfevents",
    "checkpoints/last.pt",
}
"""What every training leaves in its folder."""


def files_in(folder: Path) -> set[str]:
    """All files below a folder, TensorBoard's under one name."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {"events.out.tfevents" if name.startswith("events.out.tfevents") else name for name in names}
