"""Files of weights as other code writes them, and a network thin enough for tests."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vtdl_cli.engine.networks.build import build_backbone
from vtdl_cli.models.heads import pool_features
from vtdl_cli.settings import load_config

I3D = ("--preset", "hmdb51/i3d", "--set", "model.width=4")
NUM_TENSORS = 285
"""Of an I3D's backbone, of any width: 57 convolutions with a batch norm of four tensors each, counters left out."""


def thin_i3d(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_backbone(load_config("hmdb51/i3d", ["model.width=4"])).eval()


def authors_state(seed: int, backbone: Mapping[str, Tensor] | None = None, feature_dim: int = 64) -> dict[str, Tensor]:
    """Named as the authors' DataParallel saves them, heads and all (method/README); by default a thin I3D's."""
    heads = {
        "id_head.2.weight": torch.zeros(128, feature_dim),
        "id_head.2.bias": torch.zeros(128),
        "cls_head.2.weight": torch.ones(9),
    }
    state = {**(backbone or thin_i3d(seed).state_dict()), **heads}
    return {f"module.{name}": tensor for name, tensor in state.items()}


def authors_checkpoint(path: Path, **more: Any) -> Path:
    """As after the authors' pretraining."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.003, momentum=0.9)
    content = {
        "opt": argparse.Namespace(dataset="hmdb51", softmax=True, lr=0.003, lr_decay_epochs=[120, 160]),
        "model": authors_state(1),
        "contrast": {"memory": torch.zeros(9, 128), "params": torch.tensor([9.0])},
        "optimizer": optimizer.state_dict(),
        "epoch": 48,
        "model_ema": authors_state(2),
    }
    torch.save(content | more, path)
    return path


def authors_finetuned(path: Path, num_classes: int, **more: Tensor) -> Path:
    """As the authors' finetuning writes it: its DataParallel holds a network that holds the I3D as `base_model`."""
    classifier = {"conv3d_0c_1x1_custom.conv3d.weight": torch.randn(num_classes, 64, 7, 1, 1)}
    network = {**thin_i3d(3).state_dict(), **classifier, **more}
    return save_authors_trainer(path, {f"base_model.{name}": tensor for name, tensor in network.items()})


def save_authors_trainer(path: Path, state: Mapping[str, Tensor]) -> Path:
    """As the authors' `main.py` writes a network, whose backbone and classifier are its `base_model`."""
    named = {f"module.{name}": tensor for name, tensor in state.items()}
    content = {"epoch": 45, "arch": "i3d", "state_dict": named, "best_prec1": 52.9}
    torch.save(content, path, _use_new_zipfile_serialization=False)  # by a torch of 2020
    return path


def features(backbone: nn.Module) -> Tensor:
    """Of two clips, always the same."""
    clips = torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return pool_features(backbone(clips))


class Bomb:
    """Makes a folder when it is unpickled by a reader that runs what it reads."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)
