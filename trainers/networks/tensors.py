"""Tensors in a file of the safetensors format: a header of JSON, then bytes. Nothing in it can be run.

The format is small and fixed, so that it needs no package here; whoever reads a file elsewhere has the
package `safetensors`. Source: its README, "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from trainers.config.lazy import torch

LONGEST_HEADER = 100 * 2**20  # as the package has it
_LENGTH = 8  # bytes of the header's length, little-endian
_METADATA = "__metadata__"
_KINDS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8",
}  # fmt: skip


class TensorFileError(ValueError):
    """A file is not what it should be; why, in a few words."""


def to_bytes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """The file of these tensors, the same bytes for the same values."""
    letters = {getattr(torch, name): letter for letter, name in _KINDS.items()}
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))}
    parts, at = [], 0
    # Wide types first, as the package does, so that each tensor begins at a multiple of its size.
    for name in sorted(tensors, key=lambda one: (-tensors[one].element_size(), one)):
        tensor = tensors[name].detach().cpu().contiguous()
        content = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": letters[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(content)],
        }
        parts.append(content)
        at += len(content)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return b"".join([len(text).to_bytes(_LENGTH, "little"), text, *parts])


def from_bytes(content: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a file by name, writable and on the CPU, and what is said of them.

    Raises:
        TensorFileError: the file is cut off, or is no such file.
    """
    header, data = _split(content)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise TensorFileError("its metadata is no text")
    found, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: _offsets(item[1])):
        begin, stop = _offsets(entry)
        if begin != end or stop > len(data):
            missing = stop - len(data)
            raise TensorFileError(f"cut off: {missing} bytes are missing" if missing > 0 else "it is damaged")
        found[name], end = _tensor(name, entry, data[begin:stop]), stop
    if end != len(data):
        raise TensorFileError(f"{len(data) - end} bytes are left over")
    return found, metadata


def metadata_of(content: bytes) -> dict[str, Any]:
    """What is said of the tensors in a file, which are not looked at; needs no torch.

    Raises:
        TensorFileError: the file is cut off, or is no such file.
    """
    found = _split(content)[0].get(_METADATA, {})
    return found if isinstance(found, dict) else {}


def _split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    length = int.from_bytes(content[:_LENGTH], "little")
    if len(content) < _LENGTH or length > min(LONGEST_HEADER, len(content) - _LENGTH):
        raise TensorFileError("cut off, or no safetensors file")
    try:
        header = json.loads(content[_LENGTH : _LENGTH + length])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise TensorFileError("no safetensors file: its header is no JSON")
    return header, memoryview(content)[_LENGTH + length :]


def _offsets(entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not (isinstance(offsets, list) and [type(one) for one in offsets] == [int, int]):
        raise TensorFileError("a tensor in it has no place")
    return offsets[0], offsets[1]


def _tensor(name: str, entry: dict[str, Any], data: memoryview) -> torch.Tensor:
    kind, shape = entry.get("dtype"), entry.get("shape")
    if kind not in _KINDS or not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        raise TensorFileError(f"tensor {name!r} has no known type and shape")
    dtype = getattr(torch, _KINDS[kind])
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise TensorFileError(f"tensor {name!r}: {len(data)} bytes are no {kind} of shape {shape}")
    if not data:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
