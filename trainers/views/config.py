"""Which views are drawn of an image."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainers.config.base import Frozen


class CropConfig(Frozen):
    """A random part of the image, resized to the whole (torchvision's RandomResizedCrop)."""

    scale: tuple[float, float] = (0.08, 1.0)
    """Range of the crop's share of the area."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of width over height."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """luckmatters: bilinear; the report's code: bicubic."""
    unfitting: Literal["clipped"] | None = None
    """What becomes of a box that does not fit into the image. None: it is drawn again, up to ten times
    (torchvision). "clipped": it is cut to the image's size (the report's code), so that crops are larger."""

    @model_validator(mode="after")
    def _ranges_are_possible(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale: expected 0 < low <= high <= 1, got {list(self.scale)}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio: expected 0 < low <= high, got {list(self.ratio)}")
        return self


class JitterConfig(Frozen):
    """Random brightness, contrast, saturation and hue, in this order; of images with three channels alone.

    Images with one channel get none of the four; torchvision's ColorJitter changes their brightness and
    contrast.
    """

    p: float = Field(0.8, ge=0, le=1)
    """Probability that an image is jittered at all."""
    brightness: float = Field(0.4, ge=0, le=1)
    """A factor uniform in [1 - x, 1 + x], of all values."""
    contrast: float = Field(0.4, ge=0, le=1)
    """A factor uniform in [1 - x, 1 + x], of the distance from the mean grey."""
    saturation: float = Field(0.4, ge=0, le=1)
    """A factor uniform in [1 - x, 1 + x], of the distance from each pixel's grey."""
    hue: float = Field(0.1, ge=0, le=0.5)
    """A shift uniform in [-x, x] turns of the colour wheel."""
    clip: bool = True
    """Whether colours are clipped to [0, 1] after each (torchvision); the report's code does not."""
    contrast_about: Literal["channel"] | None = None
    """What contrast leaves as it is. None: the mean of the grey image (torchvision). "channel": the mean of
    each channel (TensorFlow, the report's code)."""
    saturation_in: Literal["hsv"] | None = None
    """How saturation is scaled. None: by blending with the grey image (torchvision). "hsv": as HSV's
    saturation, up to 1 (TensorFlow, the report's code)."""


class BlurConfig(Frozen):
    """A Gaussian blur of random width (torchvision's GaussianBlur)."""

    p: float = Field(0.5, ge=0, le=1)
    """Probability that an image is blurred. SimCLR: 0.5; luckmatters on STL-10: 1."""
    kernel: int = Field(9, ge=3)
    """Width of the kernel in pixels, odd."""
    sigma: tuple[Annotated[float, Field(gt=0)], float] = (0.1, 2.0)
    """Range of the standard deviation in pixels."""

    @model_validator(mode="after")
    def _kernel_and_sigma_are_possible(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, to have a middle; got {self.kernel}")
        if not self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma: expected low <= high, got {list(self.sigma)}")
        return self


class ViewsConfig(Frozen):
    """How one view is made. Both views of an image are drawn alike and independently."""

    crop: CropConfig | None = CropConfig()
    """The part of the image that a view shows; null: all of it."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a left-right flip."""
    jitter: JitterConfig | None = JitterConfig()
    """How colours change; null: they do not."""
    grey: float = Field(0.2, ge=0, le=1)
    """Probability of losing all colour."""
    blur: BlurConfig | None = None
    """How a view is blurred; null: it is not."""
    solarise: float | None = Field(None, ge=0, le=1)
    """Probability that values from 1/2 up are inverted."""
    normalise: Literal[False] | None = None
    """false: leave values in [0, 1], also for the probe (luckmatters on STL-10)."""
    shift: int | None = Field(None, ge=1)
    """Without a crop: pixels by which an image may move each way, zeros moving in (supervised recipe)."""

    @model_validator(mode="after")
    def _shift_or_crop(self) -> Self:
        if self.shift is not None and self.crop is not None:
            raise ValueError("shift needs crop: null; a view is either cropped or shifted")
        return self
