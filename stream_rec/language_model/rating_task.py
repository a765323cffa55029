"""A second task for the adapter: tell the rating of a review from its text.

A linear head on the pooled vector, logistic loss against the rating within [0, 1]. It keeps the
model able to tell praise from complaint while it learns where items belong. The head begins anew in
each round and serves nothing: what reviews say in serving is ``profiles.review_head``'s to tell. It
does not know items, nor how the two losses are weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.text_states import TextStates


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """Review texts that are not empty, and how they rate: 0 is the worst, 1 the best."""

    texts: Sequence[str]  # (reviews,)
    ratings: NDArray[np.float32]  # (reviews,) within [0, 1]


class RatingTask:
    """The head, its reviews and their states below the adapter."""

    def __init__(
        self, backbone: Backbone, model: Any, reviews: Reviews, *, max_tokens: int, max_bytes: int
    ) -> None:
        self.head = nn.Linear(backbone.dimension, 1, device=backbone.device)
        self.ratings = torch.from_numpy(reviews.ratings).to(backbone.device)
        self.states = TextStates(
            backbone, model, reviews.texts, max_tokens=max_tokens, max_bytes=max_bytes
        )

    def __len__(self) -> int:
        """Return the number of reviews."""
        return len(self.ratings)

    def loss(self, rows: NDArray[np.int64], budget: int) -> Tensor:
        """Return the mean logistic loss of some reviews, in nats."""
        vectors = self.states.vectors(rows.tolist(), budget).float()
        # Unit vectors of 384 dimensions are small in each: the head works on their usual scale.
        logits = self.head(vectors * vectors.shape[1] ** 0.5).squeeze(1).float()
        wanted = self.ratings[torch.from_numpy(rows).to(self.ratings.device)]
        return binary_cross_entropy_with_logits(logits, wanted)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the head's weights ``(dimension,)`` and bias ``(1,)``."""
        return {
            "weight": self.head.weight.detach().float().cpu().numpy()[0].copy(),
            "bias": self.head.bias.detach().float().cpu().numpy().copy(),
        }


def estimated_ratings(
    head: Mapping[str, NDArray[np.float32]], vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return estimates within (0, 1) for unit vectors ``(reviews, dimension)`` of review texts.

    Nothing is served by them: they say whether the task was learned.
    """
    scale = vectors.shape[1] ** 0.5
    logits = vectors @ head["weight"] * scale + head["bias"][0]
    estimated: NDArray[np.float32] = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return estimated
