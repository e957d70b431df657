"""What is measured of every network of an ablation, and the names of the accuracies."""

from dataclasses import dataclass

from vtdl_cli.engine.request import protocol_name
from vtdl_cli.errors import UsageError

FROZEN = {
    "knn@1": "kNN, k = 1",
    "linear_top1": "linear probe",
    "few_shot_linear_top1": "few-shot linear probe",
}
"""The accuracies of frozen features that rows are compared in, top-1 in percent, and their titles."""


@dataclass(frozen=True)
class Measures:
    """What is measured of every network.

    Attributes:
        per_class: labelled videos of each class in a few-shot draw.
        draws: of labels for the few-shot probe, whose accuracies are averaged.
        finetune: also finetune on all labels.
        finetune_draws: also finetune on so many of the draws.
        clips: numbers of clips that each finetuned network is evaluated with; empty: the preset's protocol.
    """

    per_class: int = 2
    draws: int = 20
    finetune: bool = False
    finetune_draws: int = 0
    clips: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.finetune_draws > self.draws:
            raise UsageError(f"--finetune-draws '{self.finetune_draws}' exceeds --draws {self.draws}. Use at most that")

    @property
    def titles(self) -> dict[str, str]:
        """The metrics that rows are compared in, and their titles; others are only kept."""
        trainings = {"finetuned": self.finetune, "few_shot_finetuned": self.finetune_draws > 0}
        finetuned = {
            f"{training}_{name}": f"{training.replace('few_shot_', 'few-shot ')}{title}"
            for training, is_measured in trainings.items()
            if is_measured
            for name, title in self._protocols.items()
        }
        return FROZEN | finetuned

    @property
    def _protocols(self) -> dict[str, str]:
        """How finetuned networks are evaluated: the end of a metric's name -> of its title."""
        if not self.clips:
            return {"top1": ""}
        return {protocol_name(clips): f", {clips} clip{'s' if clips > 1 else ''}" for clips in self.clips}

    @property
    def finetunes(self) -> bool:
        """Whether anything is finetuned."""
        return self.finetune or self.finetune_draws > 0
