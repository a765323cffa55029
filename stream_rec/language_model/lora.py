"""Teach an adapter where behaviour puts items, from their texts alone.

Each text is asked for the neighbourhood of its item in the tower, itself masked: cross-entropy
against soft targets ``softmax(25·cos)`` over the known items. Matching each text to its own tower
vector, or telling fresh positives from stale negatives, made vectors worse; neighbourhoods made
both known and never-seen items better (docs/measurements_language_model.md).

How the last adapter holds the next one is in ``adapter_methods``, what scenarios ask beside it in
``scenario_heads``. It does not know buffers, gates or clocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_rec.errors import TrainingFailed
from stream_rec.language_model.adapter import (
    AdapterArrays,
    adapter_arrays,
    attach_adapter,
    set_adapter,
)
from stream_rec.language_model.adapter_methods import Anchor, served_and_slow
from stream_rec.language_model.backbone import Backbone, has_fast_bfloat16
from stream_rec.language_model.gradient_exchange import agree, average_gradients, process_number
from stream_rec.language_model.lesson import Lesson, LoraSettings, Step, Trained
from stream_rec.language_model.rating_task import RatingTask, Reviews
from stream_rec.language_model.scenario_heads import Asked, ScenarioHeads
from stream_rec.language_model.text_states import TextStates, set_dropout

Arrays = dict[str, NDArray[np.float32]]


def train_adapter(
    backbone: Backbone,
    lesson: Lesson,
    settings: LoraSettings,
    *,
    start: AdapterArrays | None = None,
    known: NDArray[np.float32] | None = None,
    seed: int,
    monotonic: Callable[[], float],
    progress: Callable[[Step], None] | None = None,
) -> Trained:
    """Train an adapter and return its best state by a held-out part of the items.

    ``start`` is the last promoted adapter (the slow one for ``long_short``); without it, training
    starts from the base model. ``known`` ``(texts, dimension)`` are the texts' vectors under it,
    where the caller has them: they need not be computed again. Call with all known items; the time
    budget includes preparation.

    Raises:
        TrainingFailed: too few items, too little time for so many, or NaN or Inf on the way.
        CheckpointRejected: ``start`` does not fit the model or the rank.
    """
    if len(lesson.texts) < _FEWEST:
        message = f"{len(lesson.texts)} items with a text and a place, {_FEWEST} are needed"
        raise TrainingFailed(message)
    begun = monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run = _Run(backbone, lesson, settings, start, np.random.default_rng(seed), known)
        before, of_scenarios = run.held_out_loss(), run.scenario_losses()
        prepared_s = monotonic() - begun
        best, texts = _train(run, before, prepared_s, lambda: monotonic() - begun, progress)
        spent = monotonic() - begun - prepared_s
    arrays, slow = served_and_slow(settings.method, best.arrays, run.start)
    return Trained(
        arrays=arrays,
        slow=slow,
        head=best.head,
        scenario_heads=best.scenario_heads,
        scenario_losses={
            name: (loss, best.scenario_losses[name]) for name, loss in of_scenarios.items()
        },
        steps=best.step,
        loss_before=before,
        loss=best.loss,
        texts_per_s=texts / spent if spent > 0 else 0.0,
    )


@dataclass(frozen=True, slots=True)
class _Best:
    """The weights that did best on the items held out, so far."""

    arrays: Arrays
    head: Arrays
    scenario_heads: dict[str, Arrays]
    scenario_losses: dict[str, float]
    step: int
    loss: float


def _train(
    run: _Run,
    loss_before: float,
    prepared_s: float,
    elapsed: Callable[[], float],
    progress: Callable[[Step], None] | None,
) -> tuple[_Best, int]:
    """Step until time is up or the held-out items fare worse; return the best and texts seen.

    What preparing left hardly any time for is refused: a catalogue would be read with it, and live
    events judge it, for nothing.
    """
    settings, texts = run.settings, 0
    best = _Best(*run.weights_now(), run.scenario_losses(), 0, loss_before)
    for step in range(1, settings.max_steps + 1):
        loss, count = run.step(step)
        texts += count
        if progress is not None:
            progress(Step(step=step, loss=loss, texts=texts, seconds=elapsed()))
        late = agree([float(elapsed() >= settings.max_s)])[0] > 0
        if step % settings.check_every == 0 or late or step == settings.max_steps:
            held_out = run.held_out_loss()
            if held_out < best.loss:
                best = _Best(*run.weights_now(), run.scenario_losses(), step, held_out)
        if late or step - best.step >= settings.patience * settings.check_every:
            break
    if late and step < settings.warmup_steps:
        (prepared_s, whole_s) = agree([prepared_s, elapsed()])
        if prepared_s > whole_s / 2:
            message = (
                f"preparing took {prepared_s:.0f} of {settings.max_s:.0f} s and left {step} steps: "
                "adapter.max_s is too short for so many items on this machine"
            )
            raise TrainingFailed(message)
    return best, texts


class _Run:
    """The model, optimiser and memory of one run.

    The memory holds the last known vector of every item, so that each text is told apart from the
    whole catalogue though only a batch is encoded (Wu et al., CVPR 2018).
    """

    def __init__(
        self,
        backbone: Backbone,
        lesson: Lesson,
        settings: LoraSettings,
        start: AdapterArrays | None,
        random: np.random.Generator,
        known: NDArray[np.float32] | None = None,
    ) -> None:
        self.settings = settings
        self.device = backbone.device
        wanted = settings.autocast
        self.autocast = has_fast_bfloat16(self.device) if wanted is None else wanted
        self.model = attach_adapter(
            backbone,
            rank=settings.rank,
            dropout=settings.dropout,
            seed=int(random.integers(2**31)),
        )
        if start:
            set_adapter(self.model, start)
        self.start = adapter_arrays(self.model)
        with self._precision():
            self.texts = TextStates(
                backbone,
                self.model,
                lesson.texts,
                max_tokens=settings.max_tokens,
                max_bytes=settings.cache_bytes,
            )
            self.budget = _TOKENS_AT_ONCE[self.device.type]
            self.memory = (
                self.texts.all_vectors(self.budget).float()
                if known is None
                else torch.tensor(known, dtype=torch.float32, device=self.device)
            )
            self.rating = _rating_task(backbone, self.model, lesson.reviews, settings)
        self.teacher = torch.from_numpy(np.ascontiguousarray(lesson.teacher)).to(self.device)
        order = random.permutation(len(lesson.texts))
        held = min(_MOST_HELD_OUT, max(1, round(settings.held_out * len(order))))
        self.held, self.pupils = order[:held], order[held:]
        chance = lesson.weight[self.pupils].astype(np.float64) + 1e-9
        self.chance = chance / chance.sum()
        self.log_scale = nn.Parameter(torch.tensor(math.log(_START_SCALE), device=self.device))
        # Data parallel: the same start and the same items held out, but batches of one's own.
        self.random = np.random.default_rng([int(random.integers(2**31)), process_number()])
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.anchor = Anchor(self.model)
        head = list(self.rating.head.parameters()) if self.rating is not None else []
        self.scenarios = ScenarioHeads(lesson.scenarios, len(lesson.texts), self.device)
        self.free = [self.log_scale, *head, *self.scenarios.parameters()]
        groups = [
            {"params": self.weights, "weight_decay": settings.weight_decay},
            {"params": self.free, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)

    def weights_now(self) -> tuple[Arrays, Arrays, dict[str, Arrays]]:
        """Return copies of the adapter's weights, of the rating head's and of the scenarios'."""
        head = self.rating.arrays() if self.rating is not None else {}
        return adapter_arrays(self.model), head, self.scenarios.arrays()

    def step(self, number: int) -> tuple[float, int]:
        """Learn from one batch; return the loss and the number of texts."""
        settings = self.settings
        set_dropout(self.model, active=True)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, number / max(1, settings.warmup_steps))
        size = min(settings.batch, len(self.pupils))
        batch = self.random.choice(self.pupils, size, replace=False, p=self._chance(size))
        parts = np.array_split(batch, math.ceil(size / settings.micro_batch))
        total = 0.0
        for part in parts:  # gradients add up: memory is that of the micro batch
            with self._precision():
                vectors = self.texts.vectors(part.tolist(), self.budget).float()
            loss = self._divergence(vectors, part) * (len(part) / size)
            loss.backward()
            total += float(loss.detach())
            self.memory[torch.from_numpy(part).to(self.device)] = vectors.detach()
        total += self._learn_beside()
        average_gradients([*self.weights, *self.free])
        (total,) = agree([total])
        norm = nn.utils.clip_grad_norm_([*self.weights, *self.free], _LARGEST_GRADIENT)
        if not math.isfinite(total) or not bool(torch.isfinite(norm)):
            message = f"step {number}: the loss is {total}, its gradient {float(norm)}"
            raise TrainingFailed(message)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total, size

    def _learn_beside(self) -> float:
        """Add the gradients of the rating task and of the pull to the last adapter."""
        settings, total = self.settings, 0.0
        if self.rating is not None:
            count = min(settings.review_batch, len(self.rating))
            rows = self.random.choice(len(self.rating), count, replace=False)
            with self._precision():
                rating = settings.review_weight * self.rating.loss(rows, self.budget)
            rating.backward()
            total += float(rating.detach())
        if settings.method == "proximal" and settings.proximal_weight:
            pull = settings.proximal_weight * self.anchor.distance()
            pull.backward()
            total += float(pull.detach())
        return total

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Return the divergence of items that are never asked in training."""
        set_dropout(self.model, active=False)
        with self._precision():
            vectors = self.texts.vectors(self.held.tolist(), self.budget).float()
        return agree([float(self._divergence(vectors, self.held))])[0]

    @torch.no_grad()
    def scenario_losses(self) -> dict[str, float]:
        """Return the divergence of each scenario's items, as the memory knows them."""
        if not self.scenarios.names:
            return {}
        rows = torch.arange(len(self.memory), device=self.device)
        found = self.scenarios.losses(self.memory, rows, self.settings.sharpness)
        return dict(zip(found, agree(list(found.values())), strict=True))

    def _divergence(self, vectors: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return how far texts are from their neighbourhoods, in nats, mean over ``rows``."""
        at = torch.from_numpy(rows).to(self.device)
        # The batch's own vectors replace the remembered ones, so gradients reach both sides.
        memory = self.memory.index_copy(0, at, vectors)
        own = Asked(vectors, at).divergence(
            memory,
            self.teacher,
            scale=self.log_scale.exp(),
            sharpness=self.settings.sharpness,
        )
        if not torch.is_grad_enabled():  # what is held out decides by the common task alone
            return own
        weight = self.settings.scenario_weight
        return own + weight * self.scenarios.loss(vectors, at, memory, self.settings.sharpness)

    def _chance(self, size: int) -> NDArray[np.float64] | None:
        return self.chance if np.count_nonzero(self.chance > 1e-12) >= size else None

    def _precision(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)


def _rating_task(
    backbone: Backbone, model: Any, reviews: Reviews | None, settings: LoraSettings
) -> RatingTask | None:
    if reviews is None or not len(reviews.texts):
        return None
    return RatingTask(
        backbone,
        model,
        reviews,
        max_tokens=settings.max_tokens,
        max_bytes=settings.cache_bytes // 2,
    )


_FEWEST = 16
_MOST_HELD_OUT = 512
_START_SCALE = 20.0
_LARGEST_GRADIENT = 1.0
_TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 32768}
