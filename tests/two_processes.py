"""What two ranks compute, and one process could; run on both by tests/test_ranks.py, which compares.

Each rank writes its results to `<folder>/<rank>.pt`.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.method.linear_encoder import DIM, LinearEncoder
from vtdl_cli import ranks
from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.method.loss import NoiseContrastiveLoss, health
from vtdl_cli.method.memory import KeyQueue, VideoBank
from vtdl_cli.method.vtdl import VTDL

PARTS = (3, 2)
"""Videos of the batch on each rank: of unequal number, as if one could not be read."""

NUM_VIDEOS = sum(PARTS)
SHAPE = 2, 3, 2, 2
"""C, T, H, W of a clip."""


def clips_of_all(seed: int) -> torch.Tensor:
    """Clips (N, C, T, H, W) of the whole batch, of a scale that grows with the video."""
    scale = torch.arange(1.0, NUM_VIDEOS + 1).view(-1, 1, 1, 1, 1)
    return scale * torch.randn(NUM_VIDEOS, *SHAPE, generator=torch.Generator().manual_seed(seed))


def part(values: torch.Tensor) -> torch.Tensor:
    """Return this rank's rows of a whole batch."""
    return values.split(PARTS)[ranks.rank()] if ranks.world_size() > 1 else values


class NormFirst(nn.Module):
    """Its output is what batch norm makes of the clips: (N, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(2)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        normalised: torch.Tensor = self.norm(clips).mean((2, 3, 4))
        return normalised


def step_of_vtdl() -> dict[str, Any]:
    """One step of the whole method without batch norm: its gradients, its loss and its memory."""
    torch.manual_seed(0)
    method = VTDL(
        EncoderPair(LinearEncoder(), 0.9, key_shuffle=ranks.world_size() > 1),
        KeyQueue(7, DIM),
        temperature=0.5,
        anchor_augmentation=nn.Identity(),
    )
    clips = [part(clips_of_all(seed)) for seed in (1, 2, 3)]
    ddp_model = ranks.wrap_ddp(method)  # to be kept until the gradients are there
    step = ddp_model(*clips, part(torch.arange(NUM_VIDEOS)))
    (step.loss * (ranks.world_size() * len(clips[0]) / NUM_VIDEOS)).backward()
    gradients = {name: value.grad for name, value in method.encoders.query.named_parameters()}
    return {"gradients": gradients, "loss": step.loss.detach(), "memory": method.memory.state_dict()}


def accumulated() -> dict[str, Any]:
    """Gradients of a step of two batches of the same size, before and after the second one."""
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    ddp_model = ranks.wrap_ddp(network)
    found = {}
    for name, seed in (("first", 7), ("both", 8)):
        batch = part(clips_of_all(seed).flatten(1)[:, :3])
        with ranks.gradient_sync(ddp_model, when=name == "both"):
            loss = ddp_model(batch).square().sum(1).mean()
            (loss * (ranks.world_size() * len(batch) / (2 * NUM_VIDEOS))).backward()
        found[name] = {key: value.grad.clone() for key, value in network.named_parameters() if value.grad is not None}
    return found


def shuffled_keys() -> dict[str, Any]:
    """Keys under ShuffleBN, and the permutation that rank 0 has drawn."""
    torch.manual_seed(5 + ranks.rank())
    order = ranks.shared_permutation(NUM_VIDEOS)
    torch.manual_seed(5 + ranks.rank())
    pair = EncoderPair(NormFirst(), 0.9, key_shuffle=True)
    return {"keys": pair.embed_key(part(clips_of_all(4))), "order": order}


def shuffled_in_bf16() -> torch.Tensor:
    """Keys of an encoder that begins with a convolution, under autocast, in channels last; no statistics: the order
    leaves no trace."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv3d(2, 4, (3, 1, 1)), nn.Flatten())
    pair = EncoderPair(encoder, 0.9, key_shuffle=ranks.world_size() > 1)
    clips = part(clips_of_all(9)).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16):
        return pair.embed_key(clips)


def shuffled_rows() -> list[dict[str, torch.Tensor]]:
    """Rows shuffled among the ranks, of several numbers on each: fewer than there are ranks, and none on the first."""
    found = []
    for numbers in ((3, 2), (1, 6), (0, 3), (1, 0)):
        torch.manual_seed(10 * sum(numbers) + ranks.rank())
        local = torch.arange(4.0 * sum(numbers)).view(-1, 2, 2).split(numbers)[ranks.rank()]
        rows, order = ranks.shuffle_rows(local)
        found.append({"rows": rows, "order": order})
    return found


def bank() -> torch.Tensor:
    torch.manual_seed(0)
    bank = VideoBank(6, 4, 3)
    bank.enqueue(part(torch.eye(NUM_VIDEOS)[:, :3]), part(torch.arange(NUM_VIDEOS)))
    return bank.keys


def normaliser() -> torch.Tensor:
    loss = NoiseContrastiveLoss(10)
    loss(part(torch.arange(NUM_VIDEOS * 3.0).view(NUM_VIDEOS, 3) / 10))
    return loss.log_normaliser


def spread(*, each_has_one: bool = False) -> torch.Tensor:
    """Of embeddings on the axes, as health reads it; of one on each rank, or of all of them."""
    rows = ranks.world_size() if each_has_one else NUM_VIDEOS
    query = torch.eye(NUM_VIDEOS)[:rows]
    mine = query[[ranks.rank()]] if each_has_one else part(query)
    return health(torch.zeros(len(mine), 3), mine, {}, torch.zeros(len(mine), 2, dtype=torch.bool))["spread"]


def statistics() -> dict[str, torch.Tensor]:
    """Statistics of a batch norm that has seen this rank's share of a batch in two training steps."""
    network = NormFirst()
    ddp_model = ranks.wrap_ddp(network)
    for _ in range(2):
        ddp_model(part(clips_of_all(6))).sum().backward()
    own = network.norm.state_dict()["running_mean"].clone()
    ranks.average_statistics(network)
    return {"local": own, **network.norm.state_dict()}


def broadcast() -> dict[str, torch.Tensor]:
    """Parameters and a buffer, drawn by each for itself."""
    torch.manual_seed(ranks.rank())
    network = nn.Linear(3, 2)
    network.register_buffer("drawn", torch.randn(2))
    ranks.broadcast(network)
    return network.state_dict()


@ranks.on_rank_0
def write_rank(folder: Path) -> None:
    (folder / "written").write_text(f"by {ranks.rank()}")


def everything(folder: Path) -> dict[str, Any]:
    """All results, in the same order on both ranks."""
    write_rank(folder)
    gathered = ranks.gather_rows(part(torch.arange(NUM_VIDEOS)))
    number = torch.tensor(1.0 + ranks.rank())
    return {
        "gathered_objects": ranks.gather_objects(f"from {ranks.rank()}"),
        "from_rank_0": ranks.from_rank_0(ranks.rank()),
        "gathered": gathered,
        "local": ranks.local_rows(gathered, PARTS[ranks.rank()]),
        "all_reduce": ranks.all_reduce(number),
        "number": number,
        "vtdl": step_of_vtdl(),
        "accumulated": accumulated(),
        "shuffled": shuffled_keys(),
        "shuffled_in_bf16": shuffled_in_bf16(),
        "shuffled_rows": shuffled_rows(),
        "bank": bank(),
        "normaliser": normaliser(),
        "spread": spread(),
        "spread_of_two": spread(each_has_one=True),
        "statistics": statistics(),
        "broadcast": broadcast(),
    }


if __name__ == "__main__":
    ranks.init_process_group(torch.device("cpu"))
    torch.save(everything(Path(sys.argv[1])), Path(sys.argv[1]) / f"{ranks.rank()}.pt")
    ranks.destroy_process_group()
