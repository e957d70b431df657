"""From configuration and weights to networks that run."""

TORCHVISION = "torchvision:"  # prefix of the names of weights that torchvision publishes
