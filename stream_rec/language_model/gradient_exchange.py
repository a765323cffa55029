"""Let several processes train one adapter: each on its own batches, with the mean of all gradients.

In a single process everything here does nothing. It does not know what is trained, nor how the
others come by it: see ``lesson_exchange``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, distributed


def process_number() -> int:
    """Return this process's rank, 0 when alone."""
    return distributed.get_rank() if _together() else 0


def processes() -> int:
    """Return how many processes train together, 1 when alone."""
    return distributed.get_world_size() if _together() else 1


def average_gradients(weights: Iterable[Tensor]) -> None:
    """Replace the gradients of some weights by their mean over all processes, in one message."""
    if not _together():
        return
    gradients: list[Tensor] = []
    for weight in weights:
        if weight.grad is None:  # no part of this process's batch, but perhaps of another's
            weight.grad = torch.zeros_like(weight)
        gradients.append(weight.grad)
    if not gradients:
        return
    flat = torch.cat([g.reshape(-1) for g in gradients])
    distributed.all_reduce(flat)
    flat /= processes()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def agree(values: Sequence[float]) -> list[float]:
    """Return the mean of each value over all processes, so that all decide alike."""
    if not _together():
        return list(values)
    # Where the group works on GPUs (nccl), the message has to be there too.
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(shared)
    found: list[float] = (shared / processes()).tolist()
    return found


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
