"""Parts of the backbone that finetuning leaves as they are: the first stages, or all of it for a linear probe."""

from torch import nn

from vtdl_cli.config import Finetune
from vtdl_cli.errors import UsageError
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.runtime import Reporter


def check_freezing(options: Finetune, *, trained: bool, linear_probe: bool) -> None:
    """Check that what is frozen was trained before, and that no option goes without effect.

    Raises:
        UsageError: it is randomly initialised, or a linear probe freezes more than `freeze_stages` anyway.
    """
    if linear_probe and not trained:
        raise UsageError("a linear probe needs a trained backbone. Give --weights runs/pretrained")
    if options.freeze_stages and not trained:
        raise UsageError(
            f"finetune.freeze_stages '{options.freeze_stages}' would freeze randomly initialised weights. "
            "Give --weights runs/pretrained, or --set finetune.freeze_stages=0"
        )
    if options.freeze_stages and linear_probe:
        raise UsageError(
            f"finetune.freeze_stages '{options.freeze_stages}' has no effect with --linear-probe, which freezes all of "
            "the backbone. --set finetune.freeze_stages=0"
        )


def freeze(backbone: Backbone, options: Finetune, reporter: Reporter, *, linear_probe: bool) -> list[nn.Module]:
    """Switch off the gradients of what is frozen, and return it: during training it has to be in evaluation mode.

    Raises:
        UsageError: the backbone has fewer stages than are to be frozen, or all is frozen and has a learning rate.
    """
    number, names = options.freeze_stages, backbone.stages
    if number > len(names):
        raise UsageError(
            f"finetune.freeze_stages '{number}' exceeds the {len(names)} stages after this backbone's stem, which "
            f"begin at {', '.join(names)}. --set finetune.freeze_stages={len(names)} or less"
        )
    if options.backbone_lr_scale != 1 and (linear_probe or number == len(names)):
        raise UsageError(
            f"finetune.backbone_lr_scale '{options.backbone_lr_scale:g}' has no effect where all of the backbone is "
            "frozen. --set finetune.backbone_lr_scale=1"
        )
    layers = backbone.first_stages(number)
    if layers:
        reporter.line(f"frozen, with their batch norm: {', '.join(layers)}")
    frozen: list[nn.Module] = [backbone] if linear_probe else list(layers.values())
    for module in frozen:
        module.requires_grad_(False)
    return frozen
