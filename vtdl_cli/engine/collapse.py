"""Signs in an epoch's readings that pretraining learns nothing, in words."""

import math

from vtdl_cli.engine.run_folder import Row

COLLAPSED_SPREAD = 0.1  # 1 fills the sphere; the runs that learnt anything here stayed above 0.25
PATIENCE_EPOCHS = 3  # a loss may stay at chance while embeddings find their places
NEAR_CHANCE = 0.99


def signs_of_collapse(row: Row, num_choices: float | None) -> dict[str, str]:
    """What is wrong with an epoch of a task of so many choices, by the name of the reading that tells it.

    Args:
        row: readings of the epoch; without a `spread` where batches are of one clip.
        num_choices: among which the right one had to be told, on average; None: the loss has no such chance.
    """
    signs = {}
    if row.get("spread", 1.0) < COLLAPSED_SPREAD:
        signs["spread"] = (
            f"embeddings have collapsed: their spread is {row['spread']:.3f}; 1 fills the sphere, 0 is one point. "
            "Lower pretrain.optimizer.learning_rate, or raise method.queue.size"
        )
    chance = math.log(num_choices) if num_choices else math.inf
    if row["epoch"] >= PATIENCE_EPOCHS and row["loss"] >= NEAR_CHANCE * chance:
        signs["loss"] = (
            f"after {row['epoch']:.0f} epochs the loss is {row['loss']:.2f}, at or above chance, which is {chance:.2f}. "
            "Raise pretrain.optimizer.learning_rate or the epochs, or look at the plan: vtdl pretrain --dry-run"
        )
    return signs
