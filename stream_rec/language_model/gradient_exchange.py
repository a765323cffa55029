"""Let several processes train one adapter: each on its own batches, with the mean of all gradients.

Started by ``torchrun`` or anything that calls ``torch.distributed.init_process_group`` first; in a
single process everything here does nothing. It does not know what is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, distributed


def process_number() -> int:
    """Return this process's rank, 0 when alone."""
    return distributed.get_rank() if _together() else 0


def average_gradients(weights: Iterable[Tensor]) -> None:
    """Replace the gradients of some weights by their mean over all processes, in one message."""
    if not _together():
        return
    gradients = [w.grad if w.grad is not None else torch.zeros_like(w) for w in weights]
    if not gradients:
        return
    flat = torch.cat([g.reshape(-1) for g in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
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
    found: list[float] = (shared / distributed.get_world_size()).tolist()
    return found


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
