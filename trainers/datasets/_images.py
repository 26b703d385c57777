"""Subsets and sizes of image tensors, alike for every data set that is read from files."""

from __future__ import annotations

from trainers.config.lazy import F, torch

ROWS_AT_ONCE = 1024  # bounds the float32 copies that a resize needs


def balanced_order(labels: torch.Tensor, number: int | None = None) -> torch.Tensor:
    """Indices of the first `number` images, taken from the classes in turn; None takes all.

    The order within a class is kept, so a larger number continues a smaller one; classes that run out
    are passed over.
    """
    by_class = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    starts = torch.cumsum(counts, 0) - counts
    turn = torch.arange(len(labels)) - starts[labels[by_class]]
    return by_class[torch.argsort(turn, stable=True)][:number]


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """Square images of that size, uint8 [N, C, size, size]: bilinear, antialiased when shrinking."""
    if images.shape[-2:] == (size, size):
        return images.contiguous()
    out = torch.empty((*images.shape[:2], size, size), dtype=torch.uint8)
    for start in range(0, len(images), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        small = F.interpolate(images[rows].to(torch.float32), (size, size), mode="bilinear", antialias=True)
        out[rows] = small.round().clamp(0, 255).to(torch.uint8)
    return out
