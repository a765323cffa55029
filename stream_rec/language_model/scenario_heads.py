"""A head and a loss of its own for each scenario, over the adapter that all scenarios share.

What users of one scenario take together is one more task for the texts of that scenario's items:
a low-rank map and a temperature of its own stand between the shared vectors and its neighbourhoods,
so that scenarios that disagree need not pull one space in two directions. Texts are encoded for all
tasks at once: whatever of a batch a scenario knows is asked there too, so a scenario weighs as much
as its items are taken. It does not know adapters, nor where neighbourhoods come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, normalize, softmax

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioTask:
    """What the behaviour of one scenario puts side by side."""

    scenario: str
    rows: NDArray[np.int64]  # (known,) of the lesson's texts, ascending
    teacher: NDArray[np.float32]  # (known, dimension) unit vectors of the scenario's own tower
    head: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # where to go on; else afresh


class ScenarioHead(nn.Module):
    """``normalise(v + v·D·U)`` and a temperature; at first it changes nothing."""

    def __init__(self, task: ScenarioTask, items: int, device: torch.device) -> None:
        super().__init__()
        width = task.teacher.shape[1]
        self.rows = torch.from_numpy(task.rows).to(device)
        self.place = torch.full((items,), -1, dtype=torch.int64, device=device)
        self.place[self.rows] = torch.arange(len(task.rows), device=device)
        self.teacher = torch.from_numpy(np.ascontiguousarray(task.teacher)).to(device)
        start: dict[str, Any] = dict(task.head) or {
            "down": torch.randn(width, LOW_RANK).numpy() / width**0.5,
            "up": np.zeros((LOW_RANK, width)),
            "log_scale": START_LOG_SCALE,
        }
        parts = {
            name: nn.Parameter(torch.from_numpy(np.array(value, np.float32)).to(device))
            for name, value in start.items()
        }
        self.down, self.up = parts["down"], parts["up"]
        self.log_scale = parts["log_scale"]

    def forward(self, vectors: Tensor) -> Tensor:
        """Return where the scenario sees unit vectors ``(texts, dimension)``."""
        return normalize(vectors + vectors @ self.down @ self.up, dim=1)

    def loss(self, vectors: Tensor, at: Tensor, memory: Tensor, sharpness: float) -> Tensor:
        """Return the divergence in nats, summed over those texts ``at`` that the scenario knows.

        ``memory`` ``(items, dimension)`` holds the vectors of all texts of the lesson.
        """
        place = self.place[at]
        known = place >= 0
        if not bool(known.any()):
            return vectors.sum() * 0.0
        asked = Asked(self.forward(vectors[known]), place[known])
        return asked.divergence(
            self.forward(memory[self.rows]),
            self.teacher,
            scale=self.log_scale.exp(),
            sharpness=sharpness,
        ) * int(known.sum())

    def arrays(self) -> Arrays:
        """Return the head's weights, and its logarithmic temperature ``()``."""
        return {
            name: p.detach().float().cpu().numpy().copy() for name, p in self.named_parameters()
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """Unit vectors ``(asked, dimension)`` of some rows ``at`` ``(asked,)`` of a memory."""

    vectors: Tensor
    at: Tensor

    def divergence(
        self, memory: Tensor, teacher: Tensor, *, scale: Tensor, sharpness: float
    ) -> Tensor:
        """Return how far they are from their neighbourhoods, in nats, mean over those asked.

        Cross-entropy against ``softmax(sharpness·cos)`` of ``teacher`` ``(items, dimension)``, less
        its entropy; each row itself is left out.
        """
        own = torch.arange(len(self.at), device=self.at.device)
        scores = scale * self.vectors @ memory.T  # (asked, items)
        wanted = sharpness * teacher[self.at] @ teacher.T
        scores[own, self.at] = _MASKED
        wanted[own, self.at] = _MASKED
        return kl_div(log_softmax(scores, dim=1), softmax(wanted, dim=1), reduction="batchmean")


class ScenarioHeads(nn.Module):
    """The heads of all scenarios that have a task."""

    def __init__(self, tasks: Sequence[ScenarioTask], items: int, device: torch.device) -> None:
        super().__init__()
        self.names = [task.scenario for task in tasks]
        self.of = [ScenarioHead(task, items, device) for task in tasks]
        self.heads = nn.ModuleList(self.of)  # so that their weights are among those of this one

    def loss(self, vectors: Tensor, at: Tensor, memory: Tensor, sharpness: float) -> Tensor:
        """Return the sum of all scenarios' losses over the number of texts asked, in nats."""
        total = vectors.sum() * 0.0
        for head in self.of:
            total = total + head.loss(vectors, at, memory, sharpness)
        return total / len(at)

    @torch.no_grad()
    def losses(self, memory: Tensor, at: Tensor, sharpness: float) -> dict[str, float]:
        """Return each scenario's mean divergence of the texts ``at`` that it knows, in nats."""
        found = {}
        for name, head in zip(self.names, self.of, strict=True):
            known = int((head.place[at] >= 0).sum())
            if known:
                found[name] = float(head.loss(memory[at], at, memory, sharpness)) / known
        return found

    def arrays(self) -> dict[str, Arrays]:
        """Return the weights of each scenario's head."""
        return {name: head.arrays() for name, head in zip(self.names, self.of, strict=True)}


LOW_RANK = 16
START_LOG_SCALE = math.log(20.0)
_MASKED = -1e4
