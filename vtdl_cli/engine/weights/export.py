"""Backbones of ours as files for other code, each read again and compared by its features with the run's."""

import contextlib
import importlib.util
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vtdl_cli.config import Config
from vtdl_cli.engine.networks.build import CHANNELS, build_backbone
from vtdl_cli.engine.networks.trained import load_backbone
from vtdl_cli.engine.weights.third_party import check_finite
from vtdl_cli.errors import CheckpointError, UsageError
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.runtime import atomic_write

ONNX = ".onnx"  # how the name of such a file ends
SAME_FEATURES = 1e-3  # of the largest: another library adds up in another order


def export_backbone(weights: str, out: Path) -> dict[str, Any]:
    """Write the backbone of a run for other code: as ONNX where the name ends so, else as a plain state dict.

    A state dict is tensors by name that share no memory, as safetensors asks. ONNX gives the pooled features (N, D) of
    clips of the preset's size, as many at a time as you like. Either is read again and has to give the same features.

    Raises:
        CheckpointError: the weights cannot be read, or the file gives other features.
        UsageError: what writes ONNX is not installed.
    """
    backbone, source = load_backbone(weights, ())
    check_finite(backbone.state_dict(), Path(source.path))
    network = PooledFeatures(backbone)
    size, length = source.config.data.crop_size, source.config.pretrain.clip_len_frames
    clips = torch.randn(2, CHANNELS[source.config.data.modality], length, size, size)
    write, read = (_write_onnx, _run_onnx) if out.suffix == ONNX else (_write_state, _run_state)
    with atomic_write(out) as temporary, torch.inference_mode():
        write(network, clips, temporary)
        expected, found = network(clips), read(temporary, source.config, clips)
        difference = float((expected - found).abs().max() / expected.abs().max())
        if not difference < SAME_FEATURES:
            raise CheckpointError(f"features of '{out}' differ by {difference:.1%} from the run's: it is not written")
    return {
        "out": str(out),
        "tensors": len(backbone.state_dict()),
        "feature_dim": backbone.feature_dim,
        "clips": list(clips.shape[1:]),
        "largest_difference": difference,
    }


def _write_state(network: PooledFeatures, _clips: Tensor, path: Path) -> None:
    torch.save({name: tensor.clone().contiguous() for name, tensor in network.backbone.state_dict().items()}, path)


def _run_state(path: Path, config: Config, clips: Tensor) -> Tensor:
    backbone = build_backbone(config).eval()
    backbone.load_state_dict(torch.load(path, weights_only=True))
    features: Tensor = PooledFeatures(backbone)(clips)
    return features


def _write_onnx(network: PooledFeatures, clips: Tensor, path: Path) -> None:
    if missing := [name for name in ("onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]:
        raise UsageError(f"--out '{path.name[1:-5]}' needs {missing[0]}. Type pip install 'vtdl[onnx]'")
    with warnings.catch_warnings(), torch.inference_mode(False), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch's own parts, about what they will do in later versions
        torch.onnx.export(
            network,
            (clips.clone(),),
            path,
            input_names=["clips"],
            output_names=["features"],
            dynamic_shapes={"clips": {0: torch.export.Dim("batch", min=1)}},
            external_data=False,
            verbose=False,
        )


def _run_onnx(path: Path, _config: Config, clips: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"clips": clips.numpy()})[0])
