"""Weights from elsewhere held against a network of ours, name by name and shape by shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

COUNTER = "num_batches_tracked"  # of batch norm: alike in every network, of any width, and nothing here goes by it
SHOWN_NAMES = 3  # of many


@dataclass(frozen=True)
class Comparison:
    """Names of tensors, theirs against those of our network; batch norm's counters are left out."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]

    @property
    def share(self) -> float:
        """Percent of all tensors, ours and theirs, that were matched: a deeper network of theirs is not ours either."""
        apart = len(self.missing) + len(self.unexpected) + len(self.misshaped)
        return 100 * len(self.matched) / (len(self.matched) + apart)

    @property
    def fresh(self) -> list[str]:
        """Names of ours that nothing of theirs goes into."""
        return self.missing + self.misshaped

    def in_words(self) -> str:
        """Counts, and the names that found no match."""
        apart = (f"{count_names(getattr(self, kind), kind)}" for kind in ("missing", "unexpected", "misshaped"))
        return ", ".join([f"{len(self.matched)} tensors match", *apart])


def compare(network: nn.Module, theirs: Mapping[str, Tensor]) -> Comparison:
    """Hold names and shapes against the network's."""
    ours = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
    same = [name for name in ours if name in theirs]
    return Comparison(
        [name for name in same if ours[name].shape == theirs[name].shape],
        [name for name in ours if name not in theirs],
        [name for name in theirs if name not in ours and not name.endswith(COUNTER)],
        [name for name in same if ours[name].shape != theirs[name].shape],
    )


def count_names(names: Sequence[str], kind: str = "", shown: int = SHOWN_NAMES) -> str:
    """How many, and which: `5 missing (a, b, c and 2 more)`; all names where they are few."""
    count = f"{len(names)} {kind}".rstrip()
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{count} ({', '.join(names[:shown])}{more})" if names else count
