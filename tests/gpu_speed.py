"""`python -m tests.gpu_speed`: what makes a step of pretraining fast on this machine, measured in one go of 9 minutes.

Each backbone at the size of its preset for HMDB51, on a batch that stays on the device and in the whole loop on videos
of your own or generated ones, with everything off and on; then compiled, each switch alone and in float32, as far as the
time goes. The kernels that an I3D step spends its time in come with it, the layers that leave channels last, and the
places where the host waits for the GPU.

    python -m tests.gpu_speed --out gpu-speed             # table.txt, results.json, i3d-step.txt
    python -m tests.gpu_speed --out try --device cpu --toy

It needs this project and what it depends on, and nothing from a network. Where packages are missing on a machine without
one, put their wheels in a folder, and pip install --no-index --find-links FOLDER typer rich pydantic pyyaml av h5py
safetensors scikit-learn scipy matplotlib: torch and torchvision may be those that are there, and decord may be absent.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BACKBONES = ("i3d", "r3d", "r2p1d", "c3d")
SWITCHES = ("kernels", "forms", "layouts", "copies")
"""cuDNN's benchmark; the form of the first convolution; pooling, batch norm and 1x1x1 convolutions by kernels of images
and matrices; copies on a stream of their own, and no wait for them."""
COMPILED = ("pretrain.compile=true",)
RECORDED = ("pretrain.cuda_graphs=true",)

NUM_VIDEOS, NUM_FRAMES, HEIGHT, WIDTH = (
    64,
    96,
    240,
    320,
)  # HMDB51's videos are 240 pixels high and of 93 frames on average
TOY = (
    "data.short_side=36", "data.crop_size=32", "model.width=4", "method.queue.size=16",
    "pretrain.clip_len_frames=8", "pretrain.batch_size=2",
)  # fmt: skip
MOST_SECONDS = 240  # of one measurement: I3D took more than 140 to compile


class Measurement(NamedTuple):
    """One row: a backbone, what is on, and settings beside those of its preset."""

    backbone: str
    name: str
    switches: tuple[str, ...] = SWITCHES
    settings: tuple[str, ...] = ()


def plan() -> Iterator[Measurement]:
    """Yield all measurements, those first that matter most; compiling takes minutes, and comes late."""
    for backbone in BACKBONES:
        yield Measurement(backbone, "off", ())
        yield Measurement(backbone, "on")
    for backbone in ("i3d", "r2p1d"):
        yield Measurement(backbone, "on, CUDA graphs", settings=RECORDED)
    for backbone in ("r3d", "i3d"):
        yield Measurement(backbone, "on, compiled", settings=COMPILED)
    yield Measurement("i3d", "on, compiled, graphs", settings=(*COMPILED, *RECORDED))
    for switch in SWITCHES:
        yield Measurement("i3d", f"{switch} alone", (switch,))
    for name, switches in (("float32, TF32", SWITCHES), ("float32, exact", (*SWITCHES, "exact"))):
        yield Measurement("i3d", name, switches, ("pretrain.precision=fp32",))
    for backbone in ("r2p1d", "c3d"):
        yield Measurement(backbone, "on, compiled", settings=COMPILED)


def main() -> None:
    """Read the options; measure, or be the process of one measurement."""
    if sys.argv[1:2] == ["one"]:
        return run_one(sys.argv[2], [each for each in sys.argv[3].split(",") if each], sys.argv[4:])
    found = argparse.ArgumentParser(
        prog="python -m tests.gpu_speed", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    found.add_argument("--out", type=Path, required=True, help="folder for the results and the generated videos")
    found.add_argument("--device", default="cuda")
    found.add_argument("--workers", default="8")
    found.add_argument("--steps", default="20", help="of the loop, in each measurement")
    found.add_argument("--videos", type=Path, help="folder of videos to read; otherwise some are generated")
    found.add_argument(
        "--minutes", type=float, default=8.7, help="after which nothing new is begun, and what runs ends"
    )
    found.add_argument(
        "--profile", action=argparse.BooleanOptionalAction, default=True, help="of the second measurement"
    )
    found.add_argument("--only", default="", help="measurements whose name holds this, such as 'i3d on'")
    found.add_argument("--toy", action="store_true", help="tiny networks, to try the command")
    return measure_all(found.parse_args())


def measure_all(options: argparse.Namespace) -> None:
    """Measure what the time allows; results are written after each measurement."""
    end = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    if options.videos is None:
        options.videos = options.out / "videos"
        write_videos(options.videos)
    chosen = [each for each in plan() if options.only in f"{each.backbone} {each.name}"]
    rows: list[dict[str, Any]] = []
    for number, each in enumerate(chosen):
        row = measure(each, options, end)
        rows.append({"backbone": each.backbone, "measured": each.name, **row})
        (options.out / "results.json").write_text(json.dumps(rows, indent=1))
        (options.out / "table.txt").write_text(table(rows))
        print(table(rows).splitlines()[-1], flush=True)
        if number == 1 and options.profile:
            profile(each, options, end)
    print(table(rows))


def measure(each: Measurement, options: argparse.Namespace, end: float) -> dict[str, Any]:
    """Run one measurement in a process of its own; returns what `vtdl bench pretrain` says, or why it says nothing."""
    words = [
        "bench",
        "pretrain",
        *arguments(each, options),
        "--steps",
        options.steps,
        "--repeats",
        "1",
        "--json",
        "--quiet",
    ]
    code, stdout, stderr = run_child("bench", each, words, end)
    return json.loads(stdout) if code == 0 else {"failed": stderr.strip().splitlines()[-1:] or [f"exit code {code}"]}


def profile(each: Measurement, options: argparse.Namespace, end: float) -> None:
    """Write the kernels of a few steps, and what else `profile_steps` finds."""
    settings = ["--set", "pretrain.epochs=100", "--out", str(options.out / "run"), "--overwrite", "--quiet"]
    code, stdout, stderr = run_child("profile", each, ["pretrain", *arguments(each, options), *settings], end)
    (options.out / f"{each.backbone}-step.txt").write_text(stdout or f"exit code {code}\n{stderr}")


def arguments(each: Measurement, options: argparse.Namespace) -> list[str]:
    """The options that both commands share."""
    settings = [*each.settings, *(TOY if options.toy else ())]
    videos = ["--preset", f"hmdb51/{each.backbone}", "--train-list", str(options.videos)]
    device = ["--device", options.device, "--workers", options.workers]
    return [*videos, *device, *(word for setting in settings for word in ("--set", setting))]


def run_child(kind: str, each: Measurement, words: list[str], end: float) -> tuple[int, str, str]:
    """Run one process to its end, or to the end of the time."""
    seconds = min(MOST_SECONDS, end - time.monotonic())
    if seconds < 1:
        return 1, "", "no time was left"
    command = [sys.executable, "-m", "tests.gpu_speed", "one", kind, ",".join(each.switches), *words]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 1, "", f"stopped after {seconds:.0f} s"
    return said.returncode, said.stdout, said.stderr


def table(rows: list[dict[str, Any]]) -> str:
    """Format the rows: milliseconds of a step, clips/s, share of the peak."""
    lines = [f"{'':28}{'ready ms':>10}{'clips/s':>9}{'peak %':>8}{'loop ms':>10}{'clips/s':>9}{'GiB':>7}"]
    for row in rows:
        name = f"{row['backbone']} {row['measured']}"
        if "failed" in row:
            lines.append(f"{name:28}{row['failed'][0]}")
            continue
        ready, loop = (row["times"][part]["ms"] for part in ("ready batch", "together"))
        rates = row["clips_per_second"]
        lines.append(
            f"{name:28}{ready:10.1f}{rates['ready_batch']:9.1f}{100 * row['share_of_peak']:8.1f}{loop:10.1f}"
            f"{rates['together']:9.1f}{row.get('peak_memory_gib', 0):7.1f}"
        )
    return "\n".join(lines) + "\n"


def write_videos(folder: Path) -> None:
    """Write videos of a square that moves over noise; those of an earlier run are kept."""
    from tests.toy import write_video

    for number in range(NUM_VIDEOS):
        if not (path := folder / f"{number:03}.mp4").exists():
            generator = np.random.default_rng(number)
            frames = np.repeat(generator.integers(0, 255, (1, HEIGHT, WIDTH, 3), np.uint8), NUM_FRAMES, axis=0)
            for frame, left in zip(frames, range(NUM_FRAMES), strict=True):
                frame[80:160, left : left + 80] = generator.integers(0, 255, 3)
            write_video(path, frames)


def run_one(kind: str, switches: list[str], words: list[str]) -> None:
    """Run a command of vtdl in this process, with some of what makes it fast switched off, or profiled."""
    switch_off({*SWITCHES} - {*switches}, exact="exact" in switches)
    if kind == "profile":
        from tests.gpu_profile import profile_steps

        profile_steps()
    from vtdl_cli.cli import app

    app(words)


def switch_off(off: set[str], *, exact: bool) -> None:
    """Replace by what was there before; `exact`: float32 convolutions without TF32."""
    import torch
    from torch import Tensor, nn

    from vtdl_cli.data.clips import augmentation
    from vtdl_cli.engine.networks import machine
    from vtdl_cli.engine.train import tuning
    from vtdl_cli.models.convolution import Conv3d
    from vtdl_cli.models.normalisation import BatchNorm3d
    from vtdl_cli.models.pooling import MaxPool3d

    def nothing(*_: Any, **__: Any) -> None: ...

    def copy_in_turn(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        return {name: each.to(device, non_blocking=True) for name, each in tensors.items()}

    def awaited(channels: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
        return tuple(each.to(device) for each in made(channels, width, torch.device("cpu")))

    def pool(layer: MaxPool3d, clips: Tensor) -> Tensor:
        return nn.functional.max_pool3d(
            clips, layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode
        )

    made = augmentation._scale_and_offset
    before: dict[str, dict[tuple[Any, str], Any]] = {
        "kernels": {(tuning, "choose_kernels"): nothing},
        "forms": {(tuning, "form_first_convolutions"): nothing},
        "layouts": {
            (MaxPool3d, "pool_apart"): pool,
            (BatchNorm3d, "normalise_as_images"): nn.BatchNorm3d.forward,
            (Conv3d, "_multiply"): Conv3d._convolve,
        },
        "copies": {(machine, "to_device"): copy_in_turn, (augmentation, "_scale_and_offset"): awaited},
    }
    for switch in off:
        for (owner, name), function in before[switch].items():
            assert hasattr(owner, name), name
            setattr(owner, name, function)
    if exact:
        choose = vars(tuning)["choose_kernels"]

        def without_tf32(*given: Any, **options: Any) -> None:
            choose(*given, **options)
            torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]

        vars(tuning)["choose_kernels"] = without_tf32


if __name__ == "__main__":
    main()
