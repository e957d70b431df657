"""Whether the pretext tasks can be learned: their loss falls below chance on generated motion, for every seed."""

import numpy as np
import pytest
import torch
from numpy.random import Generator
from torch import Tensor

from vtdl_cli.config import Config
from vtdl_cli.data.clips.sampling import SpeedSampler
from vtdl_cli.engine.networks.machine import MEMORY_FORMAT
from vtdl_cli.engine.networks.methods import build_method
from vtdl_cli.method.pretext_task import PretextTask, Step
from vtdl_cli.settings import load_config

SIDE, CLIP_LEN, BATCH = 24, 8, 16


def render(generator: Generator, frames: np.ndarray) -> np.ndarray:
    """Frames (3, T, SIDE, SIDE) of a video: lighter at the top; a square on the right falls by a pixel a frame."""
    rows = np.linspace(1, -1, SIDE)[:, None]
    still = rows + generator.normal(0, 0.3, (SIDE, SIDE))
    shown = np.repeat(still[None], len(frames), 0)
    left, top = generator.integers(SIDE // 2, SIDE - 6), generator.integers(SIDE)
    for frame, number in zip(shown, frames, strict=True):
        frame[(top + number + np.arange(6)) % SIDE, left : left + 6] = 2
    return shown * generator.uniform(0.5, 1.5, (3, 1, 1, 1))


def draw_batch(sampler: str, generator: Generator) -> list[Tensor]:
    """Clips of new videos, as the engine hands them to a method with this sampler, and what goes with them."""
    speeds = SpeedSampler(CLIP_LEN, 8, "loop")
    frames = [speeds(64, generator)[0] if sampler == "speed" else np.arange(CLIP_LEN) for _ in range(BATCH)]
    clips = torch.from_numpy(np.stack([render(generator, each) for each in frames])).float()
    clips = clips.contiguous(memory_format=MEMORY_FORMAT)
    if sampler == "speed":
        return [clips, torch.tensor([each[1] - each[0] for each in frames])]
    views = [clips * torch.from_numpy(generator.uniform(0.8, 1.2, (BATCH, 1, 1, 1, 1))).float() for _ in range(2)]
    return views[:1] if sampler == "clip" else views


def build(config: Config) -> PretextTask:
    return build_method(config, 10_000).to(memory_format=MEMORY_FORMAT)  # a quarter of the time


def train(task: PretextTask, seed: int, steps: int) -> list[Step]:
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(task.trained_parameters(), 5e-3)
    results = []
    for step in range(steps):
        result: Step = task(*draw_batch(task.sampler, generator), BATCH * step + torch.arange(BATCH))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        results.append(result)
    return results


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "options", "steps", "share"),
    [
        ("stcr", {}, 40, 0.6),
        ("transform_prediction", {}, 40, 0.7),
        ("transform_prediction", {"transforms": "spatial", "consistency_weight": 5, "mixup_alpha": 0.3}, 40, 0.8),
        ("mutual_learning", {}, 20, 0.7),
        ("speed", {}, 60, 0.8),
        ("triplet_margin", {}, 20, 0.5),
    ],
    ids=str,
)
def test_pretext_task__loss_falls_below_chance(
    name: str, options: dict[str, object], steps: int, share: float, seed: int
) -> None:
    """Oracle: chance by the tests of each method; the mean of the last ten steps."""
    config = load_config("demo", [f"method.name={name}", f"method.options={options}", "model.width=4"])
    torch.manual_seed(seed)
    last = train(build(config), seed, steps)[-10:]
    chance = np.mean([step.metrics["chance_loss"].item() for step in last])
    assert np.mean([step.loss.item() for step in last]) < share * chance
    if name == "stcr":
        distances = {each: np.mean([s.metrics[each].item() for s in last]) for each in last[0].metrics}
        assert distances["consistency_loss"] < 0.6 * distances["unmatched_distance"]
        assert distances["map_size"] > 0.1


@pytest.mark.slow
def test_stcr__without_another_task_its_maps_shrink() -> None:
    """The reason for the classification: alone, the loss is met by maps of next to nothing."""
    options = "method.options={classification_weight: 0}"
    config = load_config("demo", ["method.name=stcr", options, "model.width=4"])
    torch.manual_seed(0)
    steps = train(build(config), 0, 60)
    assert steps[-1].metrics["map_size"] < 0.3 * steps[0].metrics["map_size"]
