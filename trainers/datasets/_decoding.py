"""One image file as pixels: 8 bits per channel, upright, opaque. What cannot be read so is an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from pydantic import Field

from trainers.config.lazy import torch
from trainers.datasets.base import MissingDataError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

WHITE = (255, 255, 255)
Level = Annotated[int, Field(ge=0, le=255)]
"""Of one colour."""
MOST_PIXELS = 2**26  # 8192 × 8192; decoding one takes up to ten bytes for each pixel


def read(path: Path | IO[bytes] | Image.Image, *, size: int, background: tuple[int, int, int]) -> np.ndarray:
    """One image, uint8 [S, S, 3]: the short side resized to S (bilinear, antialiased), the centre cropped.

    Grey of 16 bits is divided by 257; palettes and CMYK become RGB; the orientation that a camera noted is
    applied. Of a file with several images the first is taken.

    Args:
        path: a regular file, one that is open, or an image that another has made.
        size: S.
        background: colour under transparent pixels, RGB.

    Raises:
        ValueError: it has too many pixels, or 32 bits per channel, whose range no file states.
        Exception: what Pillow raises on a damaged file, of many types.
    """
    import numpy as np
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
        file = path if isinstance(path, Image.Image) else Image.open(path)
    with file:
        if file.width * file.height > MOST_PIXELS:
            raise ValueError(
                f"{file.width} × {file.height} pixels, expected at most {MOST_PIXELS / 1e6:.0f} million"
            )
        image = _opaque(file, background)
    width, height = image.size
    if width == height == size:
        return np.asarray(image)
    short = min(width, height)
    # The crop is taken while resizing, so an odd margin needs no rounding.
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def decoded(
    order: Sequence[int],
    image: Callable[[int], Any],
    size: int,
    background: tuple[int, int, int] | None,
    *,
    named: str,
    split: str,
) -> torch.Tensor:
    """Images, uint8 [N, 3, S, S], one after another.

    Args:
        order: which.
        image: gives one, as `read` takes it.
        size: S.
        background: colour under transparent pixels, RGB; None: white.
        named: what messages call the data set.
        split: and this part of it.

    Raises:
        MissingDataError: one cannot be decoded.
    """
    import numpy as np

    pixels = np.empty((len(order), size, size, 3), dtype=np.uint8)
    for row, index in enumerate(order):
        source: Any = index
        try:
            source = image(index)
            pixels[row] = read(source, size=size, background=background or WHITE)
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises many types on a damaged file
            cause = " ".join(str(error).split())
            which, way = f"image {index} of {split}", ""
            if isinstance(source, str | Path):
                which, way = str(source), "; replace or remove the file"
            raise MissingDataError(f"{named}: cannot decode {which} ({cause}){way}") from error
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _opaque(file: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The image upright in RGB."""
    import numpy as np
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(file)
    # Pillow before 11.2 opens a grey PNG of 16 bits as "I".
    if image.mode.startswith("I;16") or (image.mode == "I" and file.format == "PNG"):
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"32 bits per channel (mode {image.mode}), expected 8 or 16")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
