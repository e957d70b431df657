"""Weights in and out: third-party files and torchvision's by name become checkpoints, backbones of runs plain files."""

TORCHVISION = "torchvision:"  # what begins the name of weights that torchvision publishes
