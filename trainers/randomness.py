"""Random streams derived from (seed, purpose): the base of paired and resumable trials.

A stream's numbers depend on the seed and on what they are for, on nothing else: not on the method, the
device, the number of workers or on how much another stream has drawn. So two cells of one seed see the
same images in the same order under the same augmentations, and an epoch's draws need no stored state:
a resumed trial asks for the stream of the epoch it is in.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from trainers.config.lazy import torch


def derive(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose of one trial's seed; equal arguments give equal seeds for ever."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *purpose: object) -> torch.Generator:
    """A CPU generator for one purpose. Draws are made on the CPU so that a GPU trial sees the same ones."""
    generator = torch.Generator()
    generator.manual_seed(derive(seed, *purpose))
    return generator


@contextlib.contextmanager
def seeded(seed: int, *purpose: object) -> Iterator[None]:
    """Inside, torch's global CPU generator is the stream of `purpose`; after, it is what it was before.

    For code that can only draw from the global generator, such as the initialisers of torch's layers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, *purpose))
        yield
