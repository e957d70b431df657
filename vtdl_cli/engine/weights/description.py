"""What a network expects and gives, in plain values, for those who use it without vtdl."""

from typing import Any

from vtdl_cli import __version__
from vtdl_cli.data.clips.augmentation import FLOW_STD, MEAN, NO_MOTION, STD
from vtdl_cli.engine.networks.build import CHANNELS
from vtdl_cli.engine.weights.converted import Converted


def normalisation(modality: str) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel, of values from 0 to 1."""
    if modality == "rgb":
        return list(MEAN), list(STD)
    return [NO_MOTION / 255] * CHANNELS[modality], [FLOW_STD] * CHANNELS[modality]


def describe_network(converted: Converted) -> dict[str, Any]:
    """Describe a network: the clips that it was trained with last, its outputs, and where its weights come from."""
    _, source = converted.trained
    config, stage = source.config, converted.checkpoint["stage"]
    data, clip = config.data, config.finetune if stage == "finetune" else config.pretrain
    mean, std = normalisation(data.modality)
    return {
        "library_name": "vtdl",
        "library_version": __version__,
        "stage": stage,
        "backbone": config.model.name,
        "depth": config.model.depth,
        "width": config.model.width,
        "feature_dim": converted.backbone.feature_dim,
        "classes": source.class_names if stage == "finetune" else [],
        "modality": data.modality,
        "clip_len_frames": clip.clip_len_frames,
        "stride_frames": clip.stride_frames,
        "frame_rate": data.frame_rate,  # none: the video's own
        "short_side": data.short_side,
        "crop_size": data.crop_size,
        "mean": mean,
        "std": std,
        "weights_sha256": source.sha256,
        "preset": config.to_dict(),
    }
