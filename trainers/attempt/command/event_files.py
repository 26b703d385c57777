"""Reads the scalars of TensorBoard's event files, and no more of them; needs no TensorBoard.

A file is a row of records: length (8 bytes), its checksum (4), content, its checksum (4); little-endian. The
content is a protocol buffer `Event`, whose fields are given by number below.

Source: tensorflow/core/lib/io/record_writer.h; tensorboard/compat/proto, event.proto, summary.proto and
tensor.proto.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from trainers.attempt.command.numbers import opened

Field = tuple[int, int | bytes]
LARGEST = 64 * 2**20
"""Bytes of a record; a larger one is no record."""


class EventFile:
    """An event file that grows."""

    def __init__(self, path: Path, *, behind: bool = False) -> None:
        """Read `path`; `behind`: only what comes after what is there now."""
        self.path, self.read_to = path, path.stat().st_size if behind else 0

    def new(self) -> Iterator[tuple[int, str, float]]:
        """(step, tag, value) of each scalar that was added; what is half written is read the next time.

        Raises:
            ValueError: it is no event file.
        """
        with opened(self.path) as file:
            if os.fstat(file.fileno()).st_size < self.read_to:  # it was written anew
                self.read_to = 0
            file.seek(self.read_to)
            while len(head := file.read(12)) == 12:
                (length,) = struct.unpack("<Q", head[:8])
                if length > LARGEST:
                    raise ValueError(f"no event file, from byte {self.read_to}")
                content = file.read(length + 4)
                if len(content) < length + 4:
                    return
                self.read_to += 16 + length
                yield from _scalars(content[:length])


def _scalars(event: bytes) -> Iterator[tuple[int, str, float]]:
    known = dict(fields(event))  # step is 2, summary 5
    step, summary = known.get(2, 0), known.get(5)
    if not isinstance(summary, bytes) or not isinstance(step, int):
        return
    step -= 2**64 if step >= 2**63 else 0  # a negative one stands there as its complement
    for number, value in fields(summary):
        if number != 1 or not isinstance(value, bytes):
            continue
        parts = dict(fields(value))  # tag is 1, simple_value 2, tensor 8
        tag, simple, tensor = parts.get(1), parts.get(2), parts.get(8)
        if not isinstance(tag, bytes):
            continue
        found = struct.unpack("<f", simple)[0] if isinstance(simple, bytes) and len(simple) == 4 else None
        if found is None and isinstance(tensor, bytes):
            found = _number(tensor)
        if found is not None:
            yield step, tag.decode("utf-8", "replace"), found


def _number(tensor: bytes) -> float | None:
    """The value of a tensor with one real number; None for any other."""
    # dtype is 1 (1: float, 2: double), tensor_content 4, float_val 5, double_val 6
    parts = dict(fields(tensor))
    form = {1: "<f", 2: "<d"}.get(parts.get(1, 0) if isinstance(parts.get(1, 0), int) else 0)  # type: ignore[arg-type]
    content = parts.get(4) or parts.get(5) or parts.get(6)
    if form is None or not isinstance(content, bytes) or len(content) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, content)[0])


def fields(message: bytes) -> Iterator[Field]:
    """Number and value of each field of a protocol buffer; fixed ones as their bytes.

    Raises:
        ValueError: it is no message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            whole, at = _varint(message, at)
            yield key >> 3, whole
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"no event: a field of kind {kind}")
        if at + size > len(message):
            raise ValueError("no event: a field is longer than it")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("no event: a number without an end")
