"""How one adapter follows from the last: the methods an operator chooses between.

``proximal`` holds the weights near the last promoted adapter (after PESO, arXiv 2510.25093),
``fine_tune`` lets them go where they will, ``long_short`` serves the mean of a slow and a fast
adapter (after LSAT, arXiv 2312.15599). ``frozen`` trains nothing and needs nothing here. It does
not know what an adapter learns.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Method = Literal["proximal", "long_short", "fine_tune"]
Weights = dict[str, NDArray[Any]]


class Anchor:
    """Where the adapter started, and how far its weights have moved from there."""

    def __init__(self, model: nn.Module) -> None:
        modules: list[Any] = list(model.modules())
        found = [m for m in modules if hasattr(m, "lora_A") and "default" in m.lora_A]
        self.layers = [(m.lora_A["default"].weight, m.lora_B["default"].weight) for m in found]
        self.scales = [
            float(m.scaling["default"]) / float(m.get_base_layer().weight.float().norm())
            for m in found
        ]
        self.start = [(a.detach().clone(), b.detach().clone()) for a, b in self.layers]

    def distance(self) -> Tensor:
        """Return the squared change of all adapted weights, relative to the weights' own size.

        The change of ``B·A`` itself is measured, not of its factors, of which many make one
        product.
        """
        total = torch.zeros((), device=self.layers[0][0].device)
        for (a, b), (a0, b0), scale in zip(self.layers, self.start, self.scales, strict=True):
            total = total + ((b @ a - b0 @ a0) * scale).square().sum()
        return total


def served_and_slow(method: Method, fast: Weights, slow: Weights) -> tuple[Weights, Weights]:
    """Return what to serve and what the next run starts from, where that differs."""
    if method != "long_short":
        return fast, {}
    served = {name: (fast[name] + slow[name]) / 2 for name in fast}
    return served, {name: slow[name] + _SLOW_RATE * (fast[name] - slow[name]) for name in fast}


_SLOW_RATE = 0.3
"""How far the slow adapter follows the fast one in a run."""
