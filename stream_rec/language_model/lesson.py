"""What an adapter is given to learn, how, and what comes out. It does not know models.

See ``lora`` for the training itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rec.language_model.adapter_methods import Method
from stream_rec.language_model.encoding import MAX_TOKENS
from stream_rec.language_model.rating_task import Reviews
from stream_rec.language_model.scenario_heads import ScenarioTask
from stream_rec.policy import AdapterPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """How an adapter learns; rank, learning rate, weight and time come from the policy."""

    method: Method = "proximal"
    rank: int = 16
    learning_rate: float = 1e-3
    proximal_weight: float = 1.0
    max_s: float = 600.0
    max_steps: int = 400
    batch: int = 128
    micro_batch: int = 64
    warmup_steps: int = 10
    weight_decay: float = 0.01
    dropout: float = 0.05
    sharpness: float = 25.0
    review_weight: float = 0.1
    review_batch: int = 16
    scenario_weight: float = 0.5  # of all scenarios' own losses together
    held_out: float = 0.05
    check_every: int = 20
    patience: int = 3
    max_tokens: int = MAX_TOKENS
    cache_bytes: int = 1 << 30
    autocast: bool | None = None  # bfloat16 products; None: wherever the processor has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What to learn from: known items only, each with a text that is not empty."""

    texts: Sequence[str]  # (items,)
    teacher: NDArray[np.float32]  # (items, dimension) unit vectors of the tower
    weight: NDArray[np.float32]  # (items,) how often each is asked, e.g. by recent activity
    reviews: Reviews | None = None  # a second task, where there are reviews with ratings
    scenarios: Sequence[ScenarioTask] = ()  # and one for each scenario with enough of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How training stands."""

    step: int
    loss: float
    texts: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The outcome of one run; losses are nats of divergence from the neighbourhoods held out."""

    arrays: dict[str, NDArray[np.float32]]  # what to serve
    slow: dict[str, NDArray[np.float32]]  # long_short: where the next run starts; else empty
    head: dict[str, NDArray[np.float32]]  # of the rating task; empty without reviews
    scenario_heads: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict)
    scenario_losses: dict[str, tuple[float, float]] = field(default_factory=dict)  # before, after
    steps: int
    loss_before: float
    loss: float
    texts_per_s: float


def lora_settings(policy: AdapterPolicy) -> LoraSettings | None:
    """Return how to train under a policy, None where the model is to stay frozen.

    A part of the policy's time is left for encoding the catalogue and for the tower.

    >>> lora_settings(AdapterPolicy(method="frozen")) is None
    True
    """
    if policy.method == "frozen":
        return None
    return LoraSettings(
        method=policy.method,
        rank=policy.rank,
        learning_rate=policy.learning_rate,
        proximal_weight=policy.proximal_weight,
        max_s=_SHARE_OF_TIME * policy.max_s,
    )


def asked_weights(
    fresh: NDArray[np.float64], older: NDArray[np.float64], replay_ratio: float
) -> NDArray[np.float32]:
    """Return how often to ask each item, by how much it was taken lately and before.

    In all, older events count ``replay_ratio`` times as much as fresh ones (at most fully), and
    fully where nothing is fresh. The square root keeps the most popular items from being all that
    is asked.

    >>> asked_weights(np.array([4.0, 0.0]), np.array([0.0, 100.0]), 1.0).tolist()
    [2.0, 2.0]
    """
    share = 1.0
    if fresh.any() and older.any():
        share = min(1.0, replay_ratio * float(fresh.sum() / older.sum()))
    return np.sqrt(fresh + share * older).astype(np.float32)


_SHARE_OF_TIME = 0.6
