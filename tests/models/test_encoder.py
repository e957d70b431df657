import pytest
import torch

from vtdl_cli.errors import UsageError
from vtdl_cli.models.encoder import Backbone, Encoder, choose_layer, feature_map_of
from vtdl_cli.models.heads import LinearClassifier
from vtdl_cli.models.zoo import BACKBONES, build_backbone

DEPTHS = {"r3d": 10, "r2p1d": 10}


def tiny(name: str) -> Backbone:
    return build_backbone(name, depth=DEPTHS.get(name), width=4).eval()


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
