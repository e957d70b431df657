"""Weights from elsewhere into a checkpoint of ours, and backbones of ours into files for elsewhere."""

import argparse
import contextlib
import importlib.util
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vtdl_cli.config import Config
from vtdl_cli.engine.build import CHANNELS, build_trunk
from vtdl_cli.engine.checkpoint import BACKBONE_PREFIXES, find_weights, read_tensors, save_checkpoint
from vtdl_cli.engine.trained import load_trunk
from vtdl_cli.errors import CheckpointError, UsageError
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.runtime import check_writable, replacing, seed_torch

WRAPPERS = ("module.", "backbone.")  # torch's DataParallel, and what others call ours
STATE_KEYS = ("model", "state_dict")  # where training scripts keep the weights, the authors' first
KEY_ENCODER = "model_ema"  # the authors' name of it
HEADS = ("fc.", "id_head.", "cls_head.", "feature_head.", "conv3d_0c_1x1", "head.", "linear.")
COUNTER = "num_batches_tracked"  # of batch norm, which old versions of torch do not have, and nothing here goes by
SAME_FEATURES = 1e-3  # of the largest: another library adds up in another order
SHOWN_NAMES = 3  # of each kind in a message


@dataclass(frozen=True)
class Comparison:
    """Names of tensors, theirs against those of our backbone."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]

    @property
    def share(self) -> float:
        """Percent of all tensors, ours and theirs, that were matched: a deeper network of theirs is not ours either."""
        apart = len(self.missing) + len(self.unexpected) + len(self.misshaped)
        return 100 * len(self.matched) / (len(self.matched) + apart)

    def counts(self) -> str:
        """In words."""
        parts = [f"{len(self.matched)} tensors match"]
        for kind in ("missing", "unexpected", "misshaped"):
            names = getattr(self, kind)
            shown = f" ({', '.join(names[:SHOWN_NAMES])}{', ...' if len(names) > SHOWN_NAMES else ''})" if names else ""
            parts.append(f"{len(names)} {kind}{shown}")
        return ", ".join(parts)


def import_weights(
    content: Mapping[str, Any],
    path: Path,
    out: Path,
    config: Config,
    *,
    rename: Sequence[str] = (),
    key_encoder: bool = False,
    min_match: float = 95.0,
) -> dict[str, Any]:
    """Read the backbone of the authors' checkpoints, of torchvision's, or of a plain state dict, and write it as ours.

    Args:
        content: of the file.
        path: the file.
        out: the checkpoint to write, as after pretraining.
        config: says which backbone it is, and travels inside.
        rename: `OLD=NEW`, beginnings of names to replace, in order.
        key_encoder: take the authors' momentum encoder instead of the one that was trained.
        min_match: percent of all tensors, but for heads, that have to be in both with the same shape.

    Returns:
        Counts, and the names that found no match.

    Raises:
        CheckpointError: the file holds no weights, or they fit less than that.
        UsageError: a rename is malformed.
    """
    theirs = _named_as_ours(pick_weights(content, path, key_encoder=key_encoder), rename)
    seed_torch(0)  # of what is not there, where less than all will do
    trunk = build_trunk(config)
    heads = [name for name in theirs if name.startswith(HEADS)]
    compared = compare(trunk, {name: tensor for name, tensor in theirs.items() if name not in heads})
    if compared.share < min_match or not compared.matched:
        raise CheckpointError(
            f"weights '{path}' do not fit {config.model.name}: {compared.counts()}; that is {compared.share:.0f}%, "
            f"less than --min-match {min_match:g}. Choose the --preset they belong to, or --rename OLD=NEW"
        )
    trunk.load_state_dict({name: theirs[name] for name in compared.matched}, strict=False)
    prefix = BACKBONE_PREFIXES[0]
    ours = {
        "stage": "pretrain",
        "config": config.to_dict(),
        "classes": None,
        "num_classes": 0,
        "list_sha256": "",
        "seed": 0,
        "origin": {"converted_from": str(path)},
        "model": {prefix + name: tensor for name, tensor in trunk.state_dict().items()},
    }
    save_checkpoint(out, ours)
    return {
        "out": str(out),
        "backbone": config.model.name,
        "matched": len(compared.matched),
        "missing": compared.missing,
        "unexpected": compared.unexpected,
        "misshaped": compared.misshaped,
        "heads_left_out": heads,
    }


def export_backbone(weights: str, out: Path) -> dict[str, Any]:
    """Write the backbone of a run for elsewhere: as ONNX where the name ends so, else as a plain state dict.

    A state dict is tensors by name that share no memory, as safetensors asks. ONNX gives the pooled features (N, D) of
    clips of the preset's size, as many at a time as you like. Either is read again and has to give the same features.

    Raises:
        CheckpointError: the weights cannot be read, or the file gives other features.
        UsageError: what writes ONNX is not installed.
    """
    trunk, source = load_trunk(weights, ())
    network = PooledFeatures(trunk)
    size, length = source.config.data.crop_size, source.config.pretrain.clip_len_frames
    clips = torch.randn(2, CHANNELS[source.config.data.modality], length, size, size)
    write, read = (_write_onnx, _run_onnx) if out.suffix == ".onnx" else (_write_state, _run_state)
    with replacing(out) as temporary, torch.inference_mode():
        write(network, clips, temporary)
        expected, found = network(clips), read(temporary, source.config, clips)
        difference = float((expected - found).abs().max() / expected.abs().max())
        if not difference < SAME_FEATURES:
            raise CheckpointError(f"features of '{out}' differ by {difference:.1%} from the run's: it is not written")
    return {
        "out": str(out),
        "tensors": len(trunk.state_dict()),
        "feature_dim": trunk.feature_dim,
        "clips": list(clips.shape[1:]),
        "largest_difference": difference,
    }


def _write_state(network: PooledFeatures, _clips: Tensor, path: Path) -> None:
    torch.save({name: tensor.clone().contiguous() for name, tensor in network.trunk.state_dict().items()}, path)


def _run_state(path: Path, config: Config, clips: Tensor) -> Tensor:
    trunk = build_trunk(config).eval()
    trunk.load_state_dict(torch.load(path, weights_only=True))
    features: Tensor = PooledFeatures(trunk)(clips)
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


def is_ours(content: Mapping[str, Any]) -> bool:
    """Tell what a checkpoint of this tool holds from another's."""
    return "schema" in content and "config" in content


def read_foreign(path: Path) -> dict[str, Any]:
    """Read a file of tensors and plain types; of classes, the authors' `argparse.Namespace` alone is let in.

    Raises:
        CheckpointError: it is something else, or carries code; none of it was run.
    """
    content = read_tensors(path, allowed=[argparse.Namespace])
    if not isinstance(content, dict):
        raise CheckpointError(f"weights '{path}' hold a {type(content).__name__}, not weights by name")
    return content


def pick_weights(content: Mapping[str, Any], path: Path, *, key_encoder: bool) -> dict[str, Tensor]:
    """The tensors by name, from wherever in a checkpoint they are.

    Raises:
        CheckpointError: there are none.
    """
    if key_encoder and KEY_ENCODER not in content:
        raise CheckpointError(f"weights '{path}' have no '{KEY_ENCODER}'. Leave out --key-encoder")
    places = (KEY_ENCODER,) if key_encoder else STATE_KEYS
    state = next((content[place] for place in places if isinstance(content.get(place), dict)), content)
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise CheckpointError(f"weights '{path}' hold no tensors by name, at the top or in {', '.join(STATE_KEYS)}")
    return tensors


def _named_as_ours(tensors: Mapping[str, Tensor], rename: Sequence[str]) -> dict[str, Tensor]:
    pairs = [text.partition("=") for text in rename]
    for text, (old, equals, _) in zip(rename, pairs, strict=True):
        if not equals or not old:
            raise UsageError(f"--rename '{text}' is not of the form OLD=NEW. For example: --rename encoder.=")
    named = {}
    for source, tensor in tensors.items():
        name = source
        for wrapper in WRAPPERS:
            name = name.removeprefix(wrapper)
        for old, _, new in pairs:
            name = new + name.removeprefix(old) if name.startswith(old) else name
        if name in named:
            raise CheckpointError(
                f"weights have two tensors for '{name}', of '{source}' the second. --rename keeps them apart"
            )
        named[name] = tensor
    return named


def compare(network: nn.Module, theirs: Mapping[str, Tensor]) -> Comparison:
    """Hold names and shapes against the network's."""
    ours = network.state_dict()
    same = [name for name in ours if name in theirs]
    matched = [name for name in same if ours[name].shape == theirs[name].shape]
    return Comparison(
        matched,
        [name for name in ours if name not in theirs and not name.endswith(COUNTER)],
        [name for name in theirs if name not in ours],
        [name for name in same if ours[name].shape != theirs[name].shape],
    )


def convert(
    weights: str, out: Path, config: Config | None, *, overwrite: bool = False, **importing: Any
) -> dict[str, Any]:
    """Export where the weights are ours, import where they are not.

    Raises:
        CheckpointError, UsageError: as either does; or nothing says which backbone foreign weights are of.
    """
    path = find_weights(weights)
    _refuse(out, path, overwrite)
    content = read_foreign(path)
    if is_ours(content):
        if config is not None or importing.get("rename") or importing.get("key_encoder"):
            raise UsageError(
                f"weights '{path}' are ours and carry their preset. Leave out --preset, --rename and --key-encoder"
            )
        return export_backbone(weights, out)
    if config is None:
        raise UsageError(f"weights '{path}' do not say which network they are of. Add --preset, see: vtdl presets list")
    return import_weights(content, path, out, config, **importing)


def _refuse(out: Path, source: Path, overwrite: bool) -> None:
    check_writable(out.parent)
    if out.is_dir():
        raise UsageError(f"--out '{out}' is a folder. Name a file in it")
    if out.exists() and out.samefile(source):
        raise UsageError(f"--out '{out}' is the file to convert. Choose another --out")
    if out.exists() and not overwrite:
        raise UsageError(f"file '{out}' exists already. Choose another --out, or add --overwrite")
