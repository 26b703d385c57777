"""A batch of two views to its loss and gradients; on a GPU by one CUDA graph, batch after batch."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from trainers.config import foreign
from trainers.config.lazy import torch
from trainers.methods.base import Forward
from trainers.views import augmentation as views

if TYPE_CHECKING:
    from trainers.loops.ssl import Trial

EAGER = 3
"""Batches before a graph is recorded: kernels are chosen, the optimizer makes its buffers."""


class Gradients:
    """Views, forward and backward pass of a trial over its images on the device.

    A small network's kernels are done before Python has asked for the next: a GPU then waits for Python. A
    CUDA graph asks for all kernels of a batch at once. It repeats what was recorded, so whatever differs
    between two batches has to lie in tensors that stay where they are: order, draws, position and weights.
    What follows the backward pass (F, optimizer, target, predictor) is not recorded and may be anything.
    """

    def __init__(
        self,
        trial: Trial,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        mean: torch.Tensor,
        std: torch.Tensor,
        replay: bool,
    ) -> None:
        """Nothing is computed yet.

        Args:
            trial: whose networks are used, and whose gradients are set.
            images: all training images, uint8 [N, C, H, W], on the device.
            labels: their class indices, int64 [N].
            mean, std: normalisation, [C].
            replay: whether a graph is recorded, where the device has graphs and no code is foreign: that
                of others may count batches in Python, or wait for the device.
        """
        self.trial, self.images, self.labels = trial, images, labels
        self.mean, self.std = mean, std
        on_gpu = images.device.type == "cuda"
        self.replay = replay and on_gpu and not any(foreign.used_by(trial.config))
        self.why_not = ""
        """Why no graph could be recorded, in the words of CUDA."""
        self._position = torch.arange(trial.config.batch_size, device=images.device)
        self._epoch: list[torch.Tensor] = []
        self._stream = _stream(images.device) if self.replay else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._recorded: Forward | None = None
        self._batches = 0

    @property
    def recorded(self) -> bool:
        """Whether batches are replayed by now."""
        return self._graph is not None

    def begin(self, order: torch.Tensor, draws: list[views.Draws]) -> None:
        """Take the order [N] of an epoch's images and the draws of both views in that order."""
        values = [order, *(value for view in draws for value in vars(view).values())]
        if not self._epoch:
            self._epoch = [value.to(self.images.device, copy=True) for value in values]
        else:  # where the graph reads them
            for mine, value in zip(self._epoch, values, strict=True):
                mine.copy_(value)

    def of(self, start: int) -> Forward:
        """The batch of the epoch's images from `start`, with its gradients in the trial's parameters.

        A replayed batch's tensors are those of the batch before: use them before the next.
        """
        torch.arange(start, start + len(self._position), out=self._position)
        self._batches += 1
        if self._graph is None and self.replay and self._batches > EAGER:
            self._record()
        if self._graph is not None:
            assert self._recorded is not None
            self._graph.replay()
            return self._recorded
        if self._stream is None:
            return self._computed()
        # Where the graph will be recorded, so that what torch keeps per stream is there.
        now = torch.cuda.current_stream(self.images.device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            forward = self._computed()
        now.wait_stream(self._stream)
        return forward

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        # Gradients made while recording lie in the graph's own memory, and each replay writes them anew.
        self.trial.optimizer.zero_grad()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._recorded = self._computed()
        except RuntimeError as error:  # what cannot be recorded is computed, as on a CPU
            self.replay, self.why_not = False, " ".join(str(error).split())[:200]
            self._stream = self._recorded = None
            return
        self._graph = graph

    def _computed(self) -> Forward:
        trial, config = self.trial, self.trial.config
        trial.optimizer.zero_grad()
        order, *values = (value[self._position] for value in self._epoch)
        half = len(values) // 2
        drawn = (views.Draws(*values[:half]), views.Draws(*values[half:]))
        batch = self.images[order]
        both = (views.apply(batch, rows, config.views, mean=self.mean, std=self.std) for rows in drawn)
        view1, view2 = (view.contiguous(memory_format=torch.channels_last) for view in both)
        bf16 = config.precision == "bf16"
        with torch.autocast(self.images.device.type, dtype=torch.bfloat16, enabled=bf16):
            forward = trial.method.forward(view1, view2, self.labels[order])
        forward.loss.backward()
        return dataclasses.replace(forward, loss=forward.loss.detach())


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream on which graphs are recorded: one per device, for CUDA's libraries keep memory for each."""
    return torch.cuda.Stream(device)
