"""Networks as ONNX: a classifier with its normalisation inside, or the backbone of a pretrained network.

Shapes: N clips, as many as you like, T frames of R x R pixels, C channels, D features, K classes.
"""

import contextlib
import importlib.util
import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.engine.networks.build import CHANNELS
from vtdl_cli.engine.weights.backbone_file import largest_difference, random_clips
from vtdl_cli.engine.weights.converted import Converted, Wanted
from vtdl_cli.engine.weights.description import describe_network
from vtdl_cli.errors import CheckpointError, UsageError
from vtdl_cli.models.encoder import Encoder, PooledFeatures
from vtdl_cli.models.heads import pool_features
from vtdl_cli.runtime import Reporter, atomic_write

NEEDED = ("onnxscript", "onnxruntime")
FRAMES = {"uint8": "uint8 from 0 to 255", "float32": "float32 from 0 to 1"}
"""What frames a classifier may take."""


class FramesToClasses(nn.Module):
    """Frames (N, T, R, R, C), as decoders give them -> probabilities (N, K) and features (N, D).

    Args:
        encoder: with its classifier.
        crop_size: R.
        frames: their type, a key of FRAMES.
    """

    def __init__(self, encoder: Encoder, crop_size: int, frames: str) -> None:
        super().__init__()
        self.encoder, self.crop_size, self.scale = encoder, crop_size, 255 if frames == "float32" else 1

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise and classify."""
        feature_map = self.encoder.backbone(to_clips(frames * self.scale, self.crop_size, {}))  # (N, D, t, h, w)
        return torch.softmax(self.encoder.head(feature_map), 1), pool_features(feature_map)


def write_onnx(converted: Converted, out: Path, wanted: Wanted, reporter: Reporter) -> dict[str, Any]:
    """Write a network as ONNX, run it by onnxruntime and compare its outputs with the network's.

    Raises:
        CheckpointError: ONNX cannot express the network, or gives other outputs.
        UsageError: what writes ONNX is not installed, or --frames is neither of the two or needs a classifier.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(f"--out '{out.name}' needs {missing[0]}. Type pip install {' '.join(NEEDED)}")
    network, inputs, names = _choose_network(converted, wanted)
    metadata = describe_network(converted) | {"frames": FRAMES[wanted.frames or "uint8"], "layout": "N T H W C"}
    if names[0] != "frames":
        metadata |= {"frames": "float32, normalised by mean and std", "layout": "N C T H W"}
    with atomic_write(out) as temporary:
        _export(network, inputs, names, metadata, temporary, converted.path)
        one = inputs[:1]  # another number than it was exported with
        with torch.inference_mode():
            outputs = network(one)
        expected = outputs if isinstance(outputs, tuple) else (outputs,)
        found = _run(temporary, {names[0]: one})
        differences = [largest_difference(*pair, out) for pair in zip(expected, found, strict=True)]
    reporter.line(
        "ONNX holds the network for one clip each: choosing, resizing and cropping frames and averaging clips are not "
        "in it; frame rate, stride and sizes are in its metadata"
    )
    return {
        "tensors": len(network.state_dict()),
        "feature_dim": converted.backbone.feature_dim,
        names[0]: list(inputs.shape[1:]),
        "outputs": names[1:],
        "largest_difference": max(differences),
    }


def _choose_network(converted: Converted, wanted: Wanted) -> tuple[nn.Module, Tensor, list[str]]:
    """Return the network, inputs for two clips, and the names of its input and its outputs."""
    network, source = converted.trained
    if not isinstance(network, Encoder):
        if wanted.frames is not None:
            raise UsageError(
                f"--frames '{wanted.frames}' needs a classifier, and weights '{source.path}' have none. Leave it out"
            )
        return PooledFeatures(network).eval(), random_clips(source), ["clips", "features"]
    frames = wanted.frames or "uint8"
    if frames not in FRAMES:
        raise UsageError(f"--frames '{frames}' is neither {' nor '.join(FRAMES)}")
    data, length = source.config.data, source.config.finetune.clip_len_frames
    shape = (2, length, data.crop_size, data.crop_size, CHANNELS[data.modality])
    inputs = torch.randint(0, 256, shape, dtype=torch.uint8)
    classifier = FramesToClasses(network, data.crop_size, frames).eval()
    return classifier, inputs / 255 if frames == "float32" else inputs, ["frames", "probabilities", "features"]


def _export(
    network: nn.Module, inputs: Tensor, names: list[str], metadata: dict[str, Any], path: Path, weights: Path
) -> None:
    """Write the ONNX file; its metadata are text, of anything but text JSON."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch's own parts, about what they will do in later versions
        try:
            program = torch.onnx.export(
                network,
                (inputs,),
                dynamo=True,
                input_names=names[:1],
                output_names=names[1:],
                dynamic_shapes={names[0]: {0: torch.export.Dim("batch", min=1)}},
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
            raise CheckpointError(
                f"weights '{weights}' are of a network that ONNX cannot express ({reason}). "
                "Choose --out model.safetensors"
            ) from error
        assert program is not None
        for name, value in metadata.items():
            program.model.metadata_props[name] = value if isinstance(value, str) else json.dumps(value)
        program.save(path, external_data=False)


def _run(path: Path, inputs: dict[str, Tensor]) -> list[Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    arrays = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return [torch.from_numpy(array) for array in arrays]
