"""safetensors files: tensors by name, and a header that others can read without running anything.

Ours hold all that a checkpoint needs to be used: its plain values are JSON in the header, under `vtdl`, beside a
SHA-256 of everything, as the format itself has no checksums.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vtdl_cli.errors import CheckpointError

SAFETENSORS = ".safetensors"  # how the name of such a file ends
CONTENT, CHECKSUM = "vtdl", "vtdl_sha256"  # in the header
HEADER_SIZE = 8  # bytes of the header's length, before it
MOST_HEADER_BYTES = 100_000_000  # the format's own limit


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do, whatever its name: the length of a JSON object, and its brace."""
    with path.open("rb") as file:
        beginning = file.read(9)
    return beginning[8:] == b"{" and int.from_bytes(beginning[:8], "little") <= MOST_HEADER_BYTES


def write_safetensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint: its `model` as tensors, all else, which has to be plain, into the header.

    The same content gives the same bytes, so that its SHA-256 identifies a model however often it is written.

    Args:
        path: the file; not written atomically.
        content: of the checkpoint; `selection` may hold a tensor of fingerprints.
    """
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in content["model"].items()}
    plain = {name: value for name, value in content.items() if name != "model"}
    text = json.dumps(plain, default=lambda value: value.tolist() if isinstance(value, Tensor) else str(value))
    saved = memoryview(save(tensors, {"format": "pt", CONTENT: text, CHECKSUM: _checksum(text, tensors)}))
    end = HEADER_SIZE + int.from_bytes(saved[:HEADER_SIZE], "little")
    header = _sort_header(bytes(saved[HEADER_SIZE:end]))
    with path.open("wb") as file:
        file.writelines([len(header).to_bytes(HEADER_SIZE, "little"), header, saved[end:]])


def _sort_header(header: bytes) -> bytes:
    """Return a header with its values by name, as the library writes them in another order each time."""
    content = json.loads(header)
    metadata = dict(sorted(content.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": metadata, **content}, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % HEADER_SIZE)  # padded as by the library: tensors begin at a multiple of 8


def read_safetensors(path: Path) -> tuple[dict[str, Any], bool]:
    """Read a safetensors file onto the CPU.

    Returns:
        The content of our checkpoint, or another file's tensors by name; and whether checksums were verified.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except SafetensorError as error:
        raise CheckpointError(
            f"weights '{path}' cannot be read: they are damaged, cut short, or not safetensors. Use another copy"
        ) from error
    if CONTENT not in header:
        return tensors, False
    if header.get(CHECKSUM) != _checksum(header[CONTENT], tensors):
        raise CheckpointError(
            f"weights '{path}' are damaged: their content does not match its checksum. Use another copy of the file"
        )
    return {**_plain_values(path, header[CONTENT]), "model": tensors}, True


def _plain_values(path: Path, text: str) -> dict[str, Any]:
    """Return a checkpoint without its tensors, as `write_safetensors` was given it."""
    try:
        content = json.loads(text)
        if selection := content.get("selection"):
            selection["videos"] = torch.tensor(selection["videos"], dtype=torch.int64).reshape(-1, 2)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError) as error:
        raise CheckpointError(f"weights '{path}' are not as vtdl writes them: their header is invalid") from error
    return dict(content)


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the header's values and of all tensors, by name, type, shape and bytes."""
    sha256 = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
