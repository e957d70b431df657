"""Which tensors of third-party weights are those of a network of ours, by name and shape."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vtdl_cli.config import Config
from vtdl_cli.engine.networks.build import CHANNELS
from vtdl_cli.engine.weights.third_party import split_heads
from vtdl_cli.errors import CheckpointError
from vtdl_cli.models.zoo import BACKBONES, create_backbone
from vtdl_cli.text import count_names, counted

COUNTER = "num_batches_tracked"  # of batch norm: alike in networks of any width, so it is no evidence of a match
NameTensors = Callable[[str], Mapping[str, Tensor]]
"""`model.name` -> third-party tensors, by the names in a backbone of that name as far as that can be known."""


@dataclass(frozen=True)
class Match:
    """Names of tensors, theirs against those of our network; batch norm's counters are left out."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]

    @property
    def share(self) -> float:
        """Percent of all tensors, ours and theirs, that match: a deeper network of theirs is not ours either."""
        return 100 * len(self.matched) / sum(map(len, vars(self).values()))

    def in_words(self) -> str:
        """Counts, and the names that found no match."""
        rest = (count_names(getattr(self, kind), kind) for kind in ("missing", "unexpected", "misshaped"))
        return ", ".join([counted(len(self.matched), "tensor matches", "tensors match"), *rest])


def match_tensors(network: nn.Module, theirs: Mapping[str, Tensor]) -> Match:
    """Compare names and shapes with the network's."""
    ours = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
    same = [name for name in ours if name in theirs]
    return Match(
        [name for name in same if ours[name].shape == theirs[name].shape],
        [name for name in ours if name not in theirs],
        [name for name in theirs if name not in ours and not name.endswith(COUNTER)],
        [name for name in same if ours[name].shape != theirs[name].shape],
    )


def find_fitting_network(name_tensors: NameTensors, config: Config) -> str:
    """Return settings of the network that third-party weights are of; empty: they are of none, or not completely."""
    channels, width = CHANNELS[config.data.modality], config.model.width
    for name, registered in BACKBONES.items():
        for depth in registered.depths or (None,):
            with torch.device("meta"):  # shapes alone
                network = create_backbone(name, depth=depth, width=width, in_channels=channels)
            try:
                backbone, _ = split_heads(name_tensors(name))
            except CheckpointError:  # two names become one
                continue
            if match_tensors(network, backbone).share == 100:
                return f"--set model.name={name} --set model.depth={depth or 'null'}"
    return ""
