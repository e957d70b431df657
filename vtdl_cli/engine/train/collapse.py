"""Signs in an epoch's metrics that pretraining learns nothing, in words."""

import math

from vtdl_cli.engine.train.run_folder import Row

COLLAPSED_SPREAD = 0.1  # 1 fills the sphere; the runs that learnt anything here stayed above 0.25
PATIENCE_EPOCHS = 3  # a loss may stay at chance while embeddings find their places
NEAR_CHANCE = 0.99


def signs_of_collapse(row: Row) -> dict[str, str]:
    """What is wrong with an epoch, by the name of the metric that tells it.

    Args:
        row: metrics of the epoch; without `spread` where a batch is one clip, without `chance_loss` where the loss has
            no such thing: then they tell nothing.
    """
    signs = {}
    if row.get("spread", 1.0) < COLLAPSED_SPREAD:
        signs["spread"] = (
            f"embeddings have collapsed: their spread is {row['spread']:.3f}; 1 fills the sphere, 0 is one point. "
            "Lower pretrain.optimizer.lr, or raise method.queue.size"
        )
    chance = row.get("chance_loss", math.inf)
    if row["epoch"] >= PATIENCE_EPOCHS and row["loss"] >= NEAR_CHANCE * chance:
        signs["loss"] = (
            f"after {row['epoch']:.0f} epochs the loss is {row['loss']:.2f}, at or above chance, which is "
            f"{chance:.2f}. Raise pretrain.optimizer.lr or the epochs, or look at the plan: "
            "vtdl pretrain --dry-run"
        )
    return signs
