"""From the configuration to networks; with clips.py, methods.py and train/optimization.py all there is of that kind."""

from vtdl_cli.config import Config
from vtdl_cli.engine.networks.machine import Network
from vtdl_cli.models.convolution import initialise
from vtdl_cli.models.encoder import Backbone, Encoder
from vtdl_cli.models.heads import EmbeddingHead, LinearClassifier
from vtdl_cli.models.zoo import build_backbone, build_classifier

CHANNELS = {"rgb": 3, "flow": 2}
"""Of a frame."""


def build_trunk(config: Config) -> Backbone:
    """The backbone alone, with fresh weights."""
    model, channels = config.model, CHANNELS[config.data.modality]
    trunk = build_backbone(model.name, depth=model.depth, width=model.width, in_channels=channels)
    return _with_first_weights(trunk, config)


def _with_first_weights(network: Network, config: Config) -> Network:
    """A network whose convolutions start by the rule that is asked for; by default as each has been built."""
    if config.model.first_weights != "kaiming":
        initialise(network, config.model.first_weights)
    return network


def build_embedder(config: Config) -> Encoder:
    """A fresh backbone with the embedding head."""
    trunk = build_trunk(config)
    return Encoder(trunk, EmbeddingHead(trunk.feature_dim, config.model.embedding_dim))


def build_linear(config: Config, num_classes: int) -> Encoder:
    """A fresh backbone with a linear layer, for tasks that make their own labels."""
    trunk = build_trunk(config)
    return Encoder(trunk, LinearClassifier(trunk.feature_dim, num_classes, dropout=0.0))


def build_network(config: Config, num_classes: int) -> Encoder:
    """A fresh backbone with its classifier."""
    trunk = build_trunk(config)
    head = build_classifier(config.model.name, trunk.feature_dim, num_classes, config.finetune.dropout)
    return Encoder(trunk, _with_first_weights(head, config))
