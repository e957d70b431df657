"""Whether a training is healthy: signs that pretraining learns nothing, and the sizes of gradients."""

import math

import torch
from torch import nn

from vtdl_cli.engine.train.run_folder import EpochMetrics

COLLAPSED_SPREAD = 0.1  # 1 fills the sphere; runs that were not at chance stayed above 0.25 here
PATIENCE_EPOCHS = 3  # the loss may stay at chance for some epochs before embeddings separate
NEAR_CHANCE = 0.99
MOST_MASKED = 0.5  # of the intra-video negatives; where more are left out, the method is little more than MoCo

Sizes = dict[str, float | None]


def signs_of_failure(row: EpochMetrics) -> dict[str, str]:
    """Describe what is wrong with an epoch of pretraining, by the metric that shows it.

    Args:
        row: metrics of the epoch; `spread` is absent for batches of one clip, `chance_loss` for losses that have none,
            `masked_negative_share` for methods without intra-video negatives, all of them where every batch was
            skipped, and an absent metric is no sign.
    """
    signs = {}
    if (masked := row.get("masked_negative_share", 0.0)) > MOST_MASKED:
        signs["masked_negative_share"] = (
            f"{100 * masked:.0f}% of the intra-video negatives are left out: their videos are too short to show "
            "another moment. Lower pretrain.clip_len_frames or pretrain.stride_frames"
        )
    if row.get("spread", 1.0) < COLLAPSED_SPREAD:
        signs["spread"] = (
            f"embeddings have collapsed: their spread is {row['spread']:.3f}; 1 fills the sphere, 0 is one point. "
            "Lower pretrain.optimizer.lr, or raise method.queue.size"
        )
    loss, chance = row.get("loss", 0.0), row.get("chance_loss", math.inf)
    if row["epoch"] >= PATIENCE_EPOCHS and loss >= NEAR_CHANCE * chance:
        signs["loss"] = (
            f"after {row['epoch']:.0f} epochs the loss is {loss:.2f}, at or above chance, which is "
            f"{chance:.2f}. Raise pretrain.optimizer.lr or the epochs, or see the plan with "
            "--dry-run"
        )
    return signs


def gradient_metrics(model: nn.Module) -> dict[str, Sizes]:
    """Compute the mean and the largest absolute gradient of each weight tensor, as the last step left them.

    Vectors, that is biases and the parameters of batch norm, are left out. Called after an epoch's last step, whose
    gradients stay until the next, so that no step waits for the device.

    Returns:
        `mean` and `largest`: the tensor's name -> its value, in the network's order; none where it is not finite.
    """
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.ndim > 1}
    sizes = {
        name: torch.stack([gradient.abs().mean(), gradient.abs().max()])
        for name, gradient in gradients.items()
        if gradient is not None
    }
    table = torch.stack(list(sizes.values())).tolist() if sizes else []
    finite = [[value if math.isfinite(value) else None for value in row] for row in table]
    return {
        metric: {name: row[column] for name, row in zip(sizes, finite, strict=True)}
        for column, metric in enumerate(("mean", "largest"))
    }
