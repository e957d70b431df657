"""Build networks from the configuration; clips.py, methods.py, contrast.py and train/optimization.py build the rest."""

from collections.abc import Iterator

from vtdl_cli.config import Config
from vtdl_cli.engine.networks.machine import Network
from vtdl_cli.models.convolution import initialise
from vtdl_cli.models.encoder import Backbone, Encoder
from vtdl_cli.models.heads import EmbeddingHead, LinearClassifier
from vtdl_cli.models.zoo import BACKBONES, create_backbone, create_classifier

CHANNELS = {"rgb": 3, "flow": 2}
"""`data.modality` -> channels of a frame."""


def clip_mistakes(config: Config, *stages: str) -> Iterator[str]:
    """Yield a line for each setting of these sections by which clips are too small for the whole backbone."""
    name, backbone = config.model.name, BACKBONES[config.model.name]
    frames = [(f"{stage}.clip_len_frames", getattr(config, stage).clip_len_frames) for stage in stages]
    sizes = [(*each, backbone.min_frames) for each in frames]
    for key, size, least in [*sizes, ("data.crop_size", config.data.crop_size, backbone.min_pixels)]:
        if size < least:
            yield f"{key} {size} is too small for model.name '{name}': make it {least} or more"


def build_backbone(config: Config) -> Backbone:
    """Build a randomly initialised backbone."""
    model, channels = config.model, CHANNELS[config.data.modality]
    backbone = create_backbone(model.name, depth=model.depth, width=model.width, in_channels=channels)
    return _with_weight_init(backbone, config)


def _with_weight_init(network: Network, config: Config) -> Network:
    """Apply `model.weight_init` to a network in place; its default is how networks are built."""
    if config.model.weight_init != "kaiming":
        initialise(network, config.model.weight_init)
    return network


def build_embedder(config: Config) -> Encoder:
    """Build a randomly initialised backbone with the embedding head."""
    backbone = build_backbone(config)
    return Encoder(backbone, build_embedding_head(config, backbone))


def build_embedding_head(config: Config, backbone: Backbone) -> EmbeddingHead:
    """Build a randomly initialised embedding head for a backbone."""
    return EmbeddingHead(backbone.feature_dim, config.model.embedding_dim)


def build_linear(config: Config, num_classes: int) -> Encoder:
    """Build a randomly initialised backbone with a linear layer, for pretext tasks with labels of their own."""
    backbone = build_backbone(config)
    return Encoder(backbone, LinearClassifier(backbone.feature_dim, num_classes, dropout=0.0))


def build_network(config: Config, num_classes: int) -> Encoder:
    """Build a randomly initialised backbone with its classifier."""
    backbone = build_backbone(config)
    head = create_classifier(config.model.name, backbone.feature_dim, num_classes, config.finetune.dropout)
    return Encoder(backbone, _with_weight_init(head, config))
