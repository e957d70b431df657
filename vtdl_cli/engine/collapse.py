"""Signs in an epoch's readings that pretraining learns nothing, in words."""

import math

from vtdl_cli.config import Config
from vtdl_cli.engine.run_folder import Row
from vtdl_cli.method.clip_order import ORDERS

COLLAPSED_SPREAD = 0.1  # 1 fills the sphere; the runs that learnt anything here stayed above 0.25
PATIENCE_EPOCHS = 3  # a loss may stay at chance while embeddings find their places
NEAR_CHANCE = 0.99


def chance_loss(config: Config) -> float | None:
    """Cross-entropy of a network that cannot tell its choices apart, in VTDL ln(K + 2); none for another loss."""
    method = config.method
    if method.name in ("clip_order", "pseudo_labels"):
        return math.log(len(ORDERS) if method.name == "clip_order" else method.clusters)
    if method.loss != "info_nce" or method.margin_weight or method.consistency_weight:
        return None
    own = method.own_negative + method.strong_negative if method.name == "vtdl" else 0
    return math.log(1 + method.queue.size + own)


def signs_of_collapse(row: Row, config: Config) -> dict[str, str]:
    """What is wrong, by the name of the reading that tells it."""
    signs = {}
    if row.get("spread", 1.0) < COLLAPSED_SPREAD:
        signs["spread"] = (
            f"embeddings have collapsed: their spread is {row['spread']:.3f}; 1 fills the sphere, 0 is one point. "
            "Lower pretrain.optimizer.learning_rate, or raise method.queue.size"
        )
    chance = chance_loss(config)
    if chance is not None and row["epoch"] >= PATIENCE_EPOCHS and row["loss"] >= NEAR_CHANCE * chance:
        signs["loss"] = (
            f"after {row['epoch']:.0f} epochs the loss is {row['loss']:.2f}, at chance, which is {chance:.2f}. "
            "Raise pretrain.optimizer.learning_rate or the epochs, or look at the plan: vtdl pretrain --dry-run"
        )
    return signs
