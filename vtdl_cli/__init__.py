"""vtdl: learn to recognise human actions from video without labels."""

__version__ = "0.1.0"
