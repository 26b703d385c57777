"""Ten classes of drawn shapes in colour: the data set that needs no files. Knows no trainer or method.

Test accuracy at the defaults, trial seeds 0 and 1, by benchmarks/shapes_difficulty.py (torch 2.15.0,
scikit-learn 1.9.1, one core of an AMD EPYC; 1 024 test images, so a standard error of up to 0.016):
logistic regression on pixels 0.260 (it has no seed), on features of an untrained four-layer convnet
0.466 and 0.437; that convnet trained with labels for 30 epochs 1.000 and 1.000.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from trainers.config.lazy import torch
from trainers.datasets.base import DatasetConfig, Images
from trainers.randomness import stream

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma
SUPERSAMPLING = 2  # drawn points per pixel and axis; 8 change a value by 0.0006 on average, 0.11 at most
POINTS_AT_ONCE = 2**20  # of one chunk: 8 MiB per array of coordinates


class Config(DatasetConfig):
    """Procedural RGB images of ten shapes; what differs within a class is everything but its outline."""

    name: Literal["shapes"] = "shapes"
    size: int = Field(16, ge=8, le=256)
    """Height and width in pixels. The scene does not depend on it: only the sampling does."""
    train: int = Field(4096, ge=10)
    """Training images; image i has class i mod 10, and more images begin with the same ones."""
    test: int = Field(1024, ge=10)
    """Test images, drawn from a stream of their own."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the images. It is not the trial's: all seeds of a trial see the same data."""
    rotation: float = Field(15.0, ge=0, le=180)
    """Largest rotation to either side, in degrees. From 22.5 on, square and diamond, plus and cross mix."""
    shift: float = Field(0.15, ge=0, le=1)
    """Largest offset of the centre on each axis, as a share of half the image."""
    scale: tuple[float, float] = (0.5, 0.8)
    """Range of the shape's radius, as a share of half the image."""
    contrast: float = Field(0.3, gt=0, le=1)
    """Least difference in luma between shape and background; which of them is lighter is random."""
    gradient: float = Field(0.15, ge=0, le=1)
    """Largest change of the background's luma from the image's centre to its edge."""
    noise: float = Field(0.05, ge=0, le=1)
    """Largest deviation of a value by noise, uniform and independent for each pixel and channel."""

    @field_validator("scale")
    @classmethod
    def _is_range(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1] <= 2:
            raise ValueError(f"got scale {list(scale)}, expected [low, high] with 0 < low <= high <= 2")
        return scale


def missing(config: Config, *, root: Path | None) -> str | None:
    """None: the images are drawn, not read."""
    return None


def for_training(config: Config, *, root: Path | None) -> int:
    """The number of images to pre-train on."""
    return config.train


def load(config: Config, *, root: Path | None, download: bool) -> Images:
    """The images that `config` describes; equal configs give equal bytes."""
    train, train_labels = _draw(config, config.train, "train")
    test, test_labels = _draw(config, config.test, "test")
    return Images(
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=tuple(SHAPES),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )


def _draw(config: Config, number: int, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """`number` images of one split, uint8 [N, 3, S, S], and their labels."""
    labels = torch.arange(number) % len(SHAPES)
    # Uniform float64 draws fill row by row, so a larger number continues a smaller one. Float64, because
    # last-digit differences between CPUs must not reach a rounded pixel.
    u = torch.rand((number, 16), generator=stream(config.seed, "shapes", split), dtype=torch.float64)
    static = stream(config.seed, "shapes", split, "noise")
    images = torch.empty((number, 3, config.size, config.size), dtype=torch.uint8)
    step = max(1, POINTS_AT_ONCE // (config.size * SUPERSAMPLING) ** 2)
    for start in range(0, number, step):
        rows = slice(start, start + step)
        scene = _scene(config, u[rows], labels[rows])
        noise = torch.rand(scene.shape, generator=static, dtype=torch.float64)
        scene += config.noise * (2 * noise - 1)
        images[rows] = (scene.clamp(0, 1) * 255).round().to(torch.uint8)
    return images, labels


def _scene(config: Config, u: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Images before noise, [N, 3, S, S], from N rows of uniform draws."""
    light, dark, sun = u[:, 0:3], u[:, 3:6], u[:, 6:10]
    x, y = _grid(config.size * SUPERSAMPLING)
    radius = config.scale[0] + (config.scale[1] - config.scale[0]) * u[:, 10]
    centre = config.shift * (2 * u[:, 11:13] - 1)
    angle = math.radians(config.rotation) * (2 * u[:, 13] - 1)
    mirror = torch.where(u[:, 14] < 0.5, -1.0, 1.0).double()
    cos, sin = (f(angle)[:, None, None] for f in (torch.cos, torch.sin))
    dx, dy = x - centre[:, 0, None, None], y - centre[:, 1, None, None]
    px = (cos * dx + sin * dy) * (mirror / radius)[:, None, None]
    py = (cos * dy - sin * dx) / radius[:, None, None]
    distance = torch.empty_like(px)
    for label, shape in enumerate(SHAPES.values()):
        chosen = labels == label
        distance[chosen] = shape(px[chosen], py[chosen])
    pitch = 2 / (config.size * SUPERSAMPLING)
    inside = (0.5 - distance * radius[:, None, None] / pitch).clamp(0, 1)
    inside = torch.nn.functional.avg_pool2d(inside[:, None], SUPERSAMPLING)

    shape_colour, ground_colour = _colours(config.contrast, light, dark, sun)
    x, y = _grid(config.size)
    turn = 2 * math.pi * u[:, 15]
    slope = torch.cos(turn)[:, None, None] * x + torch.sin(turn)[:, None, None] * y
    strength = config.gradient * sun[:, 3]
    ground = ground_colour[:, :, None, None] + (strength[:, None, None] * slope)[:, None]
    return inside * shape_colour[:, :, None, None] + (1 - inside) * ground


def _grid(points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates of the pixels' centres in [-1, 1], x to the right and y upwards."""
    axis = (torch.arange(points, dtype=torch.float64) + 0.5) * (2 / points) - 1
    return axis[None, :], -axis[:, None]


def _colours(
    contrast: float, first: torch.Tensor, second: torch.Tensor, u: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random colours of shape and background whose lumas differ by at least `contrast`, [N, 3] each.

    The two are exchangeable, so no mean over images of a class, and hence no linear classifier on
    pixels, can tell a shape by its colour or brightness.
    """
    gap = contrast + (1 - contrast) * u[:, 0] ** 2  # squared: large gaps leave little room for colour
    low = (1 - gap) * u[:, 1]
    high = low + gap
    lighter = u[:, 2] < 0.5
    pair = (torch.where(lighter, high, low), torch.where(lighter, low, high))
    colours = [_with_luma(luma, hue) for luma, hue in zip(pair, (first, second), strict=True)]
    return colours[0], colours[1]


def _with_luma(luma: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """The most saturated colour of a given luma [N] in a random direction [N, 3] of colour space."""
    chroma = direction - (direction * torch.tensor(GREY, dtype=torch.float64)).sum(1, keepdim=True)
    room = torch.where(chroma > 0, 1 - luma[:, None], luma[:, None])
    reach = (room / chroma.abs().clamp(min=1e-9)).amin(dim=1, keepdim=True)
    return luma[:, None] + chroma * reach.clamp(max=1)


def _box(x: torch.Tensor, y: torch.Tensor, width: float, height: float) -> torch.Tensor:
    return torch.maximum(x.abs() - width, y.abs() - height)


def _disc(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(x * x + y * y) - 0.9


def _ring(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (torch.sqrt(x * x + y * y) - 0.72).abs() - 0.2


def _square(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return _box(x, y, 0.8, 0.8)


def _triangle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    side = (math.sqrt(3) * x.abs() + y) / 2
    return torch.maximum(side, -y) - 0.5


def _plus(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.minimum(_box(x, y, 0.26, 0.95), _box(x, y, 0.95, 0.26))


def _cross(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return _plus((x - y) * math.sqrt(0.5), (x + y) * math.sqrt(0.5))


def _star(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Five points: the plane is folded onto half a point, whose edge is one segment."""
    cos, sin, depth = math.cos(math.pi / 5), math.sin(math.pi / 5), 0.45
    x = x.abs()
    fold = 2 * (cos * x - sin * y).clamp(min=0)
    x, y = x - fold * cos, y + fold * sin
    fold = 2 * (-cos * x - sin * y).clamp(min=0)
    x, y = (x + fold * cos).abs(), y + fold * sin - 1
    edge_x, edge_y = depth * sin, depth * cos - 1
    along = ((x * edge_x + y * edge_y) / (edge_x**2 + edge_y**2)).clamp(0, 1)
    away = torch.sqrt((x - edge_x * along) ** 2 + (y - edge_y * along) ** 2)
    return away * torch.sign(y * edge_x - x * edge_y)


def _crescent(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    whole = torch.sqrt(x * x + y * y) - 0.95
    bite = torch.sqrt((x - 0.45) ** 2 + y * y) - 0.75
    return torch.maximum(whole, -bite)


def _diamond(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.abs() / 0.7 + y.abs() - 1) * 0.57


def _bars(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return _box(x, y.abs() - 0.55, 0.85, 0.25)


# Signed distance to the outline of a shape of radius 1, negative inside. None is the mirror image of
# another, so flips keep the class.
SHAPES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "plus": _plus,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "diamond": _diamond,
    "bars": _bars,
}
