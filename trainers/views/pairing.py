"""What the cells of a seed share while they train: the order of the images and the draws of their views."""

from __future__ import annotations

import functools

from trainers.attempt.checkpoint import digest
from trainers.config.lazy import torch
from trainers.randomness import stream
from trainers.views import augmentation as views
from trainers.views.config import ViewsConfig


def epoch_draws(
    config: ViewsConfig, number: int, *, size: tuple[int, int], seed: int, epoch: int
) -> tuple[torch.Tensor, list[views.Draws]]:
    """Order [N] of an epoch's `number` images, and the draws of both views in that order.

    Drawn for every image, also for those of the last, dropped batch, so that cells with other batch sizes
    see the same views of the same images.
    """
    order = torch.randperm(number, generator=stream(seed, "order", epoch))

    def draws(view: int) -> views.Draws:
        streams = functools.partial(stream, seed, "views", epoch, view)
        return views.draw(config, number, size=size, streams=streams)

    return order, [draws(1), draws(2)]


def streams_fingerprint(config: ViewsConfig, images: torch.Tensor, *, seed: int) -> str:
    """Hash of what the first epoch over `images` [N, C, H, W] draws: equal in cells that are paired."""
    size = (images.shape[2], images.shape[3])
    order, draws = epoch_draws(config, len(images), size=size, seed=seed, epoch=0)
    fields = {f"{i}.{name}": value for i, d in enumerate(draws) for name, value in vars(d).items()}
    return digest({"order": order, **fields})
