"""Weights in and out: third-party files and torchvision's by name become checkpoints, backbones of runs plain files."""

TORCHVISION = "torchvision:"  # prefix of the names of weights that torchvision publishes
