"""Stages of a backbone, and what is averaged of their maps."""

import pytest
import torch
from torch import Tensor

from vtdl_cli.errors import UsageError
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.models.zoo import BACKBONES, build_backbone

STAGES = {
    "c3d": ["conv1a", "pool2", "conv4b", "conv5b"],
    "i3d": ["conv3d_1a_7x7", "maxPool3d_4a_3x3", "mixed_4c", "mixed_5c"],
    "r3d": ["stem", "layer1", "layer3", "layer4"],
    "r2p1d": ["stem", "layer1", "layer3", "layer4"],
}
CLIPS = (2, 3, 8, 32, 32)


@pytest.mark.parametrize("name", BACKBONES)
def test_up_to__every_backbone(name: str) -> None:
    """Oracle: what torch's own hooks see of the stage while the whole network runs."""
    torch.manual_seed(0)
    backbone = build_backbone(name, depth=10, width=4).eval()
    clips, seen = torch.randn(CLIPS), dict[str, Tensor]()
    for stage, module in backbone.named_children():
        module.register_forward_hook(lambda _module, _inputs, x, stage=stage: seen.update({stage: x.clone()}))
    with torch.inference_mode():
        backbone(clips)
        for stage, expected in [(stage, seen[stage]) for stage in STAGES[name]]:
            assert torch.equal(backbone.up_to(stage)(clips), expected), stage


@pytest.mark.parametrize("name", ["r3d", "r2p1d"])
def test_backbone__stages_in_the_papers_order(name: str) -> None:
    """Oracle: arXiv 1711.11248, table 1, called by hand; the other two have their own references."""
    torch.manual_seed(0)
    backbone = build_backbone(name, depth=10, width=4).eval()
    x = clips = torch.randn(CLIPS)
    for stage in ("stem", "layer1", "layer2", "layer3", "layer4"):
        x = backbone.get_submodule(stage)(x)
    assert torch.equal(backbone(clips), x)


def test_up_to__unknown_stage_names_those_there_are() -> None:
    backbone = build_backbone("r3d", depth=10, width=4)
    with pytest.raises(UsageError, match="layer 'layer5' is no stage .* stem, layer1, layer2, layer3, layer4$"):
        backbone.up_to("layer5")


def test_pooled_features__with_and_without_time() -> None:
    """Oracle: loops over the map; half precision is averaged in float32."""
    feature_map = torch.randn(2, 3, 4, 5, 6).half()
    trunk = torch.nn.Identity()
    by_time = PooledFeatures(trunk, keep_time=True)(feature_map)
    assert (by_time.shape, by_time.dtype) == ((2, 4, 3), torch.float32)
    for clip, time, channel in ((0, 0, 0), (1, 3, 2), (0, 2, 1)):
        expected = sum(float(value) for value in feature_map[clip, channel, time].flatten()) / 30
        assert float(by_time[clip, time, channel]) == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(PooledFeatures(trunk)(feature_map), by_time.mean(1), atol=1e-5)
