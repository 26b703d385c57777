"""Two random views of each image: drawn per sample on the CPU, applied to whole batches on the device.

Drawing is separate from applying: an epoch's draws come from the seed's own stream whatever the device,
and applying them needs neither a data loader nor a host sync.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from trainers.config.lazy import F, torch
from trainers.views.config import BlurConfig, JitterConfig, ViewsConfig

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, as torchvision has it


@dataclass(frozen=True)
class Draws:
    """The random numbers of N views; each field has N rows."""

    box: torch.Tensor  # [N, 4]: top, left, height, width, in pixels
    flip: torch.Tensor  # [N] bool
    colour: torch.Tensor  # [N, 4]: brightness, contrast, saturation factors, hue shift
    grey: torch.Tensor  # [N] bool
    blur: torch.Tensor  # [N]: standard deviation in pixels; 0: none
    solarise: torch.Tensor  # [N] bool

    def to(self, device: str) -> Draws:
        """The same draws on another device."""
        return Draws(*(getattr(self, field.name).to(device) for field in dataclasses.fields(self)))


def draw(
    config: ViewsConfig, number: int, *, size: tuple[int, int], streams: Callable[[str], torch.Generator]
) -> Draws:
    """The random numbers of `number` views of images of `size` (height, width).

    Args:
        config: the views' config.
        number: how many views; more continue fewer.
        size: height and width of the images.
        streams: the generator for each of "crop", "flip", "jitter", "grey", "blur" and "solarise". Each
            has its own, so that switching one off leaves the others' draws as they are, and such cells
            stay paired.
    """
    return Draws(
        box=_draw_boxes(config, number, size, streams("crop")),
        flip=torch.rand(number, generator=streams("flip")) < config.flip,
        colour=_draw_colour(config.jitter, number, streams("jitter")),
        grey=torch.rand(number, generator=streams("grey")) < config.grey,
        blur=_draw_blur(config.blur, number, streams("blur")),
        solarise=torch.rand(number, generator=streams("solarise")) < (config.solarise or 0.0),
    )


def apply(
    images: torch.Tensor,
    draws: Draws,
    config: ViewsConfig,
    *,
    mean: torch.Tensor,
    std: torch.Tensor,
) -> torch.Tensor:
    """The views that `draws` makes of `images`.

    Args:
        images: uint8 [N, C, H, W].
        draws: one row for each image, on the same device.
        config: the views' config.
        mean, std: constants of the normalisation, [C].

    Returns:
        Normalised views, float32 [N, C, H, W].
    """
    x = images.to(torch.float32) / 255
    if config.crop is not None:
        x = _crop_and_flip(x, draws, config.crop.interpolation)
    elif config.flip > 0:
        x = torch.where(draws.flip[:, None, None, None], x.flip(-1), x)
    if config.shift is not None:
        x = shifted(x, draws.box[:, :2], config.shift)
    if x.shape[1] == 3:
        if config.jitter is not None:
            x = _jitter(x, draws.colour, config.jitter)
        if config.grey > 0:
            x = torch.where(draws.grey[:, None, None, None], _grey(x), x)
    if config.blur is not None:
        x = torch.where(draws.blur[:, None, None, None] > 0, _blurred(x, draws.blur, config.blur.kernel), x)
    if config.solarise is not None:
        x = torch.where(draws.solarise[:, None, None, None] & (x >= 0.5), 1 - x, x)
    return (x - mean[:, None, None]) / std[:, None, None]


def normalise(images: torch.Tensor, *, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """The images themselves as networks take them: float32, normalised, not augmented."""
    return (images.to(torch.float32) / 255 - mean[:, None, None]) / std[:, None, None]


def shifted(x: torch.Tensor, by: torch.Tensor, most: int) -> torch.Tensor:
    """Every image [N, C, H, W] moved by its own rows and columns [N, 2], zeros moving in."""
    number, channels, height, width = x.shape
    padded = F.pad(x, (most, most, most, most))
    rows = torch.arange(height, device=x.device) + most - by[:, :1]
    columns = torch.arange(width, device=x.device) + most - by[:, 1:]
    which = torch.arange(number, device=x.device)[:, None, None, None]
    every = torch.arange(channels, device=x.device)[None, :, None, None]
    return padded[which, every, rows[:, None, :, None], columns[:, None, None, :]]


def _draw_boxes(
    views: ViewsConfig, number: int, size: tuple[int, int], generator: torch.Generator
) -> torch.Tensor:
    (height, width), config = size, views.crop
    if config is None:
        boxes = torch.tensor([[0, 0, height, width]]).repeat(number, 1)
        if views.shift is not None:
            moves = torch.randint(-views.shift, views.shift + 1, (number, 2), generator=generator)
            boxes[:, :2] += moves
        return boxes
    tries = 10  # torchvision's: ten attempts, then the largest centred box of an allowed ratio
    u = torch.rand((number, 2 * tries + 2), generator=generator)
    area = height * width * _between(u[:, :tries], config.scale)
    low, high = config.ratio
    ratio = _between(u[:, tries : 2 * tries], (math.log(low), math.log(high))).exp()
    w = (area * ratio).sqrt().round().long()
    h = (area / ratio).sqrt().round().long()
    if config.unfitting == "clipped":
        w, h = w.clamp(1, width), h.clamp(1, height)
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.int().argmax(dim=1, keepdim=True)
    w, h = w.gather(1, first)[:, 0], h.gather(1, first)[:, 0]
    none_fits = ~fits.any(dim=1)
    w[none_fits] = min(width, round(height * config.ratio[1]))
    h[none_fits] = min(height, round(width / config.ratio[0]))
    top = (u[:, -2] * (height - h + 1)).long()
    left = (u[:, -1] * (width - w + 1)).long()
    top[none_fits] = (height - h[none_fits]) // 2
    left[none_fits] = (width - w[none_fits]) // 2
    return torch.stack((top, left, h, w), dim=1)


def _draw_colour(config: JitterConfig | None, number: int, generator: torch.Generator) -> torch.Tensor:
    identity = torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(number, 1)
    if config is None:
        return identity
    u = torch.rand((number, 5), generator=generator)
    strength = torch.tensor([config.brightness, config.contrast, config.saturation, config.hue])
    colour = identity + strength * (2 * u[:, :4] - 1)
    return torch.where(u[:, 4:] < config.p, colour, identity)


def _draw_blur(config: BlurConfig | None, number: int, generator: torch.Generator) -> torch.Tensor:
    if config is None:
        return torch.zeros(number)
    u = torch.rand((number, 2), generator=generator)
    return torch.where(u[:, 1] < config.p, _between(u[:, 0], config.sigma), torch.zeros(()))


def _between(u: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    low, high = bounds
    return low + (high - low) * u


def _crop_and_flip(x: torch.Tensor, draws: Draws, interpolation: str) -> torch.Tensor:
    # A resize is separable: one [size, size] matrix per axis and sample. Two batched products replace
    # a gather, reproduce Pillow's filter exactly, and take boxes of every shape at once.
    top, left, height, width = draws.box.unbind(1)
    rows = _resize_matrix(top, height, x.shape[2], interpolation)
    columns = _resize_matrix(left, width, x.shape[3], interpolation)
    columns = torch.where(draws.flip[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ x @ columns.transpose(1, 2)[:, None]


def _blurred(x: torch.Tensor, sigma: torch.Tensor, kernel: int) -> torch.Tensor:
    """Every image [N, C, H, W] under a Gaussian of its own `sigma` [N] pixels, reflected at the edges."""
    offsets = torch.arange(kernel, device=x.device) - kernel // 2
    weights = (-(offsets**2) / (2 * sigma.clamp(min=1e-6)[:, None] ** 2)).exp()
    weights = weights / weights.sum(dim=1, keepdim=True)

    def along(size: int) -> torch.Tensor:
        # As a matrix [N, size, size] per image: a batch of convolutions with kernels of their own.
        source = (torch.arange(size, device=x.device)[None, :] + offsets[:, None]).abs()
        source = size - 1 - (size - 1 - source).abs()
        chosen = source[:, :, None] == torch.arange(size, device=x.device)
        return torch.einsum("nk,kij->nij", weights, chosen.to(x.dtype))

    return along(x.shape[2])[:, None] @ x @ along(x.shape[3]).transpose(1, 2)[:, None]


def _resize_matrix(start: torch.Tensor, length: torch.Tensor, size: int, interpolation: str) -> torch.Tensor:
    """Weights [N, size, size] of input pixels (last axis) in output pixels, as Pillow computes them."""
    scale = length[:, None] / size
    pixel = torch.arange(size, device=start.device)
    centre = (pixel + 0.5) * scale + start[:, None]  # [N, size], in input coordinates
    distance = (pixel + 0.5)[None, None, :] - centre[:, :, None]
    weights = _filter(distance.abs() / scale.clamp(min=1)[:, :, None], interpolation)
    inside = (pixel >= start[:, None]) & (pixel < (start + length)[:, None])
    weights = weights * inside[:, None, :]
    return weights / weights.sum(dim=2, keepdim=True)


def _filter(distance: torch.Tensor, interpolation: str) -> torch.Tensor:
    if interpolation == "bilinear":
        return (1 - distance).clamp(min=0)
    a = -0.5  # Keys' cubic with Pillow's constant
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    zero = torch.zeros_like(distance)
    return torch.where(distance < 1, near, torch.where(distance < 2, far, zero))


def _jitter(x: torch.Tensor, colour: torch.Tensor, config: JitterConfig) -> torch.Tensor:
    brightness, contrast, saturation, hue = (c[:, None, None, None] for c in colour.unbind(1))

    def clipped(value: torch.Tensor) -> torch.Tensor:
        return value.clamp(0, 1) if config.clip else value

    x = clipped(x * brightness)
    by_channel = config.contrast_about == "channel"
    about = x.mean(dim=(2, 3), keepdim=True) if by_channel else _grey(x).mean(dim=(1, 2, 3), keepdim=True)
    x = clipped(contrast * x + (1 - contrast) * about)
    if config.saturation_in == "hsv":
        x = torch.where(saturation == 1, x, _saturated(x, saturation))
    else:
        x = clipped(saturation * x + (1 - saturation) * _grey(x))
    if config.hue > 0:
        x = torch.where(hue == 0, x, _shift_hue(x, hue))
    return x


def _grey(x: torch.Tensor) -> torch.Tensor:
    red, green, blue = x.unbind(dim=1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None].expand_as(x)


def _saturated(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Colours [N, 3, H, W] with HSV's saturation times `factor` [N, 1, 1, 1]; hue and value stay."""
    value = x.amax(dim=1, keepdim=True)
    chroma = value - x.amin(dim=1, keepdim=True)
    # value - channel is chroma times what the hue decides, and chroma is saturation times value. A colour
    # that is not lighter than black has no saturation.
    wanted = torch.minimum(chroma * factor, value).clamp(min=0)
    return value - (value - x) * torch.where(chroma > 0, wanted / chroma, torch.zeros_like(chroma))


def _shift_hue(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Turn every colour's hue by `shift` [N, 1, 1, 1] turns, keeping HSV's saturation and value."""
    red, green, blue = x.unbind(dim=1)
    value, minimum = x.amax(dim=1), x.amin(dim=1)
    chroma = value - minimum
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = hue + 6 * shift[:, :, 0, :]
    # channel = value - chroma·max(0, min(k, 4 - k, 1)), k = (n + hue) mod 6, n = 5, 3, 1
    offsets = (5 - 2 * torch.arange(3, device=x.device))[:, None, None]  # made there: a copy would wait
    k = (offsets + hue[:, None]) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)
