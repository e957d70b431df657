"""Stages of a backbone, and what is averaged of their maps."""

import pytest
import torch
from torch import Tensor

from vtdl_cli.errors import UsageError
from vtdl_cli.models.encoder import Backbone, Encoder, PooledFeatures, choose_layer, feature_map_of
from vtdl_cli.models.heads import LinearClassifier
from vtdl_cli.models.zoo import BACKBONES, create_backbone

STAGES = {
    "c3d": ["conv1a", "pool2", "conv4b", "conv5b"],
    "i3d": ["conv3d_1a_7x7", "maxPool3d_4a_3x3", "mixed_4c", "mixed_5c"],
    "r3d": ["stem", "layer1", "layer3", "layer4"],
    "r2p1d": ["stem", "layer1", "layer3", "layer4"],
    "r3d-author": ["stem", "layer1", "layer3", "layer4"],
    "r2p1d-author": ["stem", "layer1", "layer3", "layer4"],
}
CLIPS = (2, 3, 8, 32, 32)


@pytest.mark.parametrize("name", BACKBONES)
def test_up_to__every_backbone(name: str) -> None:
    """Oracle: what torch's own hooks see of the stage while the whole network runs."""
    torch.manual_seed(0)
    backbone = create_backbone(name, depth=next(iter(BACKBONES[name].depths), None), width=4).eval()
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
    backbone = create_backbone(name, depth=next(iter(BACKBONES[name].depths), None), width=4).eval()
    x = clips = torch.randn(CLIPS)
    for stage in ("stem", "layer1", "layer2", "layer3", "layer4"):
        x = backbone.get_submodule(stage)(x)
    assert torch.equal(backbone(clips), x)


FIRST_STAGES = {
    "c3d": ["conv1a pool1", "conv2a pool2", "conv3a conv3b pool3", "conv4a conv4b pool4", "conv5a conv5b"],
    "i3d": [
        "conv3d_1a_7x7 maxPool3d_2a_3x3 conv3d_2b_1x1 conv3d_2c_3x3 maxPool3d_3a_3x3",
        "mixed_3b mixed_3c maxPool3d_4a_3x3",
        "mixed_4b mixed_4c mixed_4d mixed_4e mixed_4f maxPool3d_5a_2x2",
        "mixed_5b mixed_5c",
    ],
    "r3d": ["stem", "layer1", "layer2", "layer3", "layer4"],
    "r2p1d": ["stem", "layer1", "layer2", "layer3", "layer4"],
    "r3d-author": ["stem", "layer1", "layer2", "layer3", "layer4"],
    "r2p1d-author": ["stem", "layer1", "layer2", "layer3", "layer4"],
}
"""The stem, then each stage."""


@pytest.mark.parametrize("name", BACKBONES)
def test_first_stages__every_backbone(name: str) -> None:
    """Oracle: by hand, from the papers' tables; all stages are all layers, and none is not even the stem."""
    backbone = create_backbone(name, depth=next(iter(BACKBONES[name].depths), None), width=4)
    assert backbone.first_stages(0) == {}
    assert len(backbone.stages) == len(FIRST_STAGES[name]) - 1
    for number in range(1, len(FIRST_STAGES[name])):
        assert [*backbone.first_stages(number)] == " ".join(FIRST_STAGES[name][: number + 1]).split()
    assert [*backbone.first_stages(number).values()] == [*backbone.children()]


def test_up_to__unknown_stage_names_those_there_are() -> None:
    backbone = create_backbone("r3d", depth=10, width=4)
    with pytest.raises(UsageError, match="layer 'layer5' is not one .* stem, layer1, layer2, layer3, layer4$"):
        backbone.up_to("layer5")


def test_pooled_features__with_and_without_time() -> None:
    """Oracle: loops over the map; half precision is averaged in float32."""
    feature_map = torch.randn(2, 3, 4, 5, 6).half()
    backbone = torch.nn.Identity()
    by_time = PooledFeatures(backbone, keep_time=True)(feature_map)
    assert (by_time.shape, by_time.dtype) == ((2, 4, 3), torch.float32)
    for clip, time, channel in ((0, 0, 0), (1, 3, 2), (0, 2, 1)):
        expected = sum(float(value) for value in feature_map[clip, channel, time].flatten()) / 30
        assert float(by_time[clip, time, channel]) == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(PooledFeatures(backbone)(feature_map), by_time.mean(1), atol=1e-5)


# ---- one stage's map, and gradients by it


def tiny(name: str) -> Backbone:
    return create_backbone(name, depth=next(iter(BACKBONES[name].depths), None), width=4).eval()


@pytest.mark.parametrize("name", BACKBONES)
def test_feature_map_of__is_what_every_layer_gives(name: str) -> None:
    """Oracle: the backbone's children run one after another, which all of ours amount to."""
    backbone, clips = tiny(name), torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        expected, output = clips, backbone(clips)
        for layer, module in backbone.named_children():
            expected = module(expected)
            with feature_map_of(backbone, layer) as maps:
                assert torch.equal(backbone(clips), output)
            assert len(maps) == 1
            torch.testing.assert_close(maps[0].detach(), expected)
    backbone(clips)
    assert len(maps) == 1  # nothing is kept once it is over
    assert layer == choose_layer(backbone, None)


@pytest.mark.parametrize("name", BACKBONES)
def test_feature_map_of__logits_are_differentiated_by_it(name: str) -> None:
    """Oracle: a global average and a linear layer: the gradient is the class's weights over the number of places."""
    network = Encoder(tiny(name), LinearClassifier(tiny(name).feature_dim, 3, dropout=0.5)).eval().requires_grad_(False)
    with feature_map_of(network.backbone, choose_layer(network.backbone, None)) as maps:
        logits = network(torch.randn(1, 3, 8, 32, 32))
    (gradients,) = torch.autograd.grad(logits[0, 1], maps[0])
    weights = network.head.linear.weight[1] / maps[0][0, 0].numel()  # type: ignore[union-attr,index]
    torch.testing.assert_close(gradients, weights.view(1, -1, 1, 1, 1).expand_as(gradients))


def test_feature_map_of__gradient_of_an_earlier_layer() -> None:
    """Oracle: a finite difference at one place of layer2."""
    network = Encoder(tiny("r3d"), LinearClassifier(32, 3, dropout=0.0)).eval().double().requires_grad_(False)
    clips = torch.randn(1, 3, 4, 16, 16, dtype=torch.float64)
    with feature_map_of(network.backbone, "layer2") as maps:
        logits = network(clips)
    (gradients,) = torch.autograd.grad(logits[0, 1], maps[0])

    def logit_at(change: float) -> float:
        features = maps[0].detach().clone()
        features[0, 2, 0, 1, 1] += change
        deeper = network.backbone.layer4(network.backbone.layer3(features))  # type: ignore[operator]
        return float(network.head(deeper)[0, 1])

    assert float(gradients[0, 2, 0, 1, 1]) == pytest.approx((logit_at(1e-5) - logit_at(-1e-5)) / 2e-5, rel=1e-4)


def test_choose_layer__unknown_one_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="layer 'layer9' is not one of this backbone. Choose from stem, layer1"):
        choose_layer(tiny("r3d"), "layer9")
