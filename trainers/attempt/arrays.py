"""Arrays as values of a model: NumPy's own inside a process, bytes with kind and shape in JSON. No pickle."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Base64Bytes, BeforeValidator, PlainSerializer, SkipValidation, model_validator

from trainers.config.base import Frozen


class Packed(Frozen):
    """An array as its bytes: little-endian, row by row."""

    dtype: Literal["<f4", "<f8", "<i4", "<i8"]
    shape: tuple[int, ...]
    data: Base64Bytes

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """A damaged text is found out when it is read, not when its array is needed."""
        if min(self.shape, default=0) < 0 or len(self.data) != int(self.dtype[2]) * math.prod(self.shape):
            raise ValueError(f"{len(self.data)} bytes are no {self.dtype} of shape {self.shape}")
        return self

    def array(self) -> np.ndarray[Any, Any]:
        """The array, writable."""
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape).copy()


def _packed(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    letter = "f" if array.dtype.kind == "f" else "i"  # reports hold nothing but real numbers
    kind: Any = f"<{letter}{4 if array.itemsize == 4 and array.dtype.kind == letter else 8}"
    content = np.ascontiguousarray(array, dtype=kind).tobytes()
    return Packed.model_construct(dtype=kind, shape=array.shape, data=content).model_dump(mode="json")


def _array(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else Packed.model_validate(value).array()


Array = Annotated[
    np.ndarray, SkipValidation, BeforeValidator(_array), PlainSerializer(_packed, when_used="json")
]
"""A NumPy array of real numbers; in JSON a `Packed`. Models with it need `arbitrary_types_allowed`."""
