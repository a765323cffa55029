"""Train the item tower: move each known item from where its text is to where behaviour puts it.

``v = normalise(t + A·B·t + r)``: ``t`` the centred text vector, a low-rank map shared by all items
and a residual of each known item, with learned weights of recency. The residual starts where the
items are that the same users took just before and after, shrunk where there are few: one step of
propagation over the graph of items (Wu et al., "Simplifying graph convolutional networks", ICML
2019), in closed form, which needs few examples. From there it learns by full-softmax next-item
cross-entropy, for as long as the newest examples rank better. It takes seconds on two cores for
17,000 items.

It does not know where texts or examples come from, nor how vectors are served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stream_rec.adapters.tower import TOWER_ARRAYS, centre_texts, check_tower, place
from stream_rec.errors import TrainingFailed
from stream_rec.language_model.next_item_examples import NextItems, decayed_recency


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerSettings:
    """How a tower learns; docs/measurements_language_model.md has what was measured."""

    low_rank: int = 64
    batch: int = 256
    max_steps: int = 120
    learning_rate: float = 0.003
    weight_decay: float = 0.0
    residual_dropout: float = 0.2
    pull: float = 8.0  # of the items beside an item, against its text; 0: residuals start at zero
    held_out: float = 0.1
    check_every: int = 10
    patience: int = 3
    max_s: float = 60.0
    refit: bool = True  # once more with the examples that decided when to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """What was learned; rows of ``residual`` are rows of the catalogue at training time."""

    centre: NDArray[np.float32]  # (dimension,)
    down: NDArray[np.float32]  # (dimension, low_rank)
    up: NDArray[np.float32]  # (low_rank, dimension)
    residual: NDArray[np.float32]  # (items, dimension), zero for items never taken
    recency: NDArray[np.float32]  # (length,) positive, newest first
    temperature: float
    steps: int
    held_out_loss: float  # nats an example, on the newest slice, before any refit


def tower_vectors(
    tower: Tower, text: NDArray[np.float32], *, residuals: bool = True
) -> NDArray[np.float32]:
    """Return the tower's unit vectors ``(items, dimension)`` of text vectors of the same shape.

    Rows are those of training time and new ones after them, which have no residual; without
    ``residuals`` all are new. A text of zeros without a residual stays zero.
    """
    known = min(len(text), len(tower.residual)) if residuals else 0
    rows = np.full(len(text), -1, np.int64)
    rows[:known] = np.arange(known)
    return place({name: getattr(tower, name) for name in TOWER_ARRAYS}, text, rows)


def train_tower(
    text: NDArray[np.float32],
    examples: NextItems,
    settings: TowerSettings,
    *,
    seed: int,
    monotonic: Callable[[], float],
) -> Tower:
    """Fit a tower to examples, in order of time, and return its best state.

    ``text`` is ``(items, dimension)``. The newest ``held_out`` share decides when to stop; then as
    many steps are made again with all examples, if time allows: the newest are worth most.

    Raises:
        TrainingFailed: no examples, or NaN or Inf on the way.
    """
    if len(examples) < _FEWEST:
        message = f"{len(examples)} examples, at least {_FEWEST} are needed"
        raise TrainingFailed(message)
    started = monotonic()
    older, newest = examples.split_newest(settings.held_out)
    trial = _Fit(text, older, settings, seed)
    loss, steps = _steps_until_worse(
        trial, newest, settings, out_of_time=lambda: monotonic() - started > settings.max_s
    )
    if not settings.refit or 2 * (monotonic() - started) > settings.max_s:
        return trial.export(loss=loss, steps=steps)
    return _fit(text, examples, settings, seed=seed, steps=steps, loss=loss)


def refit_tower(
    tower: Tower,
    text: NDArray[np.float32],
    examples: NextItems,
    settings: TowerSettings,
    *,
    seed: int,
) -> Tower:
    """Fit a tower anew to more examples, by as many steps as it took.

    Raises:
        TrainingFailed: NaN or Inf on the way.
    """
    return _fit(text, examples, settings, seed=seed, steps=tower.steps, loss=tower.held_out_loss)


def _fit(
    text: NDArray[np.float32],
    examples: NextItems,
    settings: TowerSettings,
    *,
    seed: int,
    steps: int,
    loss: float,
) -> Tower:
    fit = _Fit(text, examples, settings, seed)
    for _ in range(steps):
        fit.step()
    return fit.export(loss=loss, steps=steps)


def tower_arrays(tower: Tower) -> dict[str, NDArray[np.float32]]:
    """Return all of a tower as arrays, for a checkpoint."""
    numbers = np.array([tower.temperature, tower.steps, tower.held_out_loss], np.float32)
    parts = {name: getattr(tower, name) for name in TOWER_ARRAYS}
    return parts | {"numbers": numbers}


def tower_of_arrays(arrays: Mapping[str, NDArray[np.float32]]) -> Tower:
    """Return the tower that `tower_arrays` wrote.

    Raises:
        CheckpointRejected: something is missing or of another shape.
    """
    check_tower(arrays)
    temperature, steps, loss = arrays["numbers"].tolist()
    return Tower(
        **{name: arrays[name] for name in TOWER_ARRAYS},
        temperature=temperature,
        steps=int(steps),
        held_out_loss=loss,
    )


class _Fit(nn.Module):
    """Parameters, optimiser and examples of one run, over known items only.

    Items never taken stay out of the softmax: pushing them away would teach the shared map that new
    is bad.
    """

    def __init__(
        self, text: NDArray[np.float32], examples: NextItems, settings: TowerSettings, seed: int
    ) -> None:
        super().__init__()
        self.items, self.dimension = text.shape
        self.known = np.unique(np.concatenate([examples.target, examples.context.ravel()]))
        self.known = self.known[self.known >= 0]
        self.place = np.full(self.items, -1, np.int64)
        self.place[self.known] = np.arange(len(self.known))
        written = text[np.any(text != 0, axis=1)]
        self.centre = written.mean(axis=0) if len(written) else np.zeros(self.dimension, np.float32)
        self.text = torch.from_numpy(centre_texts(text[self.known], self.centre))
        self.examples = examples
        self.settings = settings
        self.random = torch.Generator().manual_seed(seed)
        length = examples.context.shape[1]
        start = torch.randn(self.dimension, settings.low_rank, generator=self.random)
        self.down = nn.Parameter(start / self.dimension**0.5)
        self.up = nn.Parameter(torch.zeros(settings.low_rank, self.dimension))
        self.residual = nn.Parameter(settings.pull * self._beside())
        self.recency = nn.Parameter(torch.from_numpy(np.log(decayed_recency(length))))
        self.log_temperature = nn.Parameter(torch.tensor(_START_TEMPERATURE).log())
        self.optimiser = torch.optim.AdamW(
            self.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _beside(self) -> Tensor:
        """Return the shrunk mean of the texts taken just before and after, ``(known, dimension)``.

        Nearer ones count more, and each as much as its example, so that no user's add up to more
        than is theirs; an item with few of them stays near its text.
        """
        total = torch.zeros(len(self.known), self.dimension)
        weight = torch.full((len(self.known), 1), _SHRINKAGE)
        target = torch.from_numpy(self.place[self.examples.target])
        worth = torch.from_numpy(self.examples.weight)[:, None]
        for gap in range(min(_GAPS, self.examples.context.shape[1])):
            there = np.flatnonzero(self.examples.context[:, gap] >= 0)
            source = torch.from_numpy(self.place[self.examples.context[there, gap]])
            factor = _GAP_FADING**gap
            for one, other in ((target[there], source), (source, target[there])):
                total.index_add_(0, one, worth[there] * self.text[other], alpha=factor)
                weight.index_add_(0, one, worth[there], alpha=factor)
        return total / weight

    def vectors(self, *, dropout: float = 0.0) -> Tensor:
        """Return unit vectors of the known items, ``(known, dimension)``."""
        moved = self.text + self.text @ self.down @ self.up
        if not dropout:
            return normalize(moved + self.residual, dim=1, eps=_LEAST_NORM)
        kept = torch.rand(len(self.known), 1, generator=self.random) >= dropout
        return normalize(moved + self.residual * kept, dim=1, eps=_LEAST_NORM)

    def scores(self, vectors: Tensor, examples: NextItems) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores ``(examples, known)``, places of targets, and of contexts (-1: none)."""
        context = torch.from_numpy(
            np.where(examples.context >= 0, self.place[examples.context], -1)
        )
        present = context >= 0
        taken = vectors[context.clamp(min=0)]  # (examples, length, dimension)
        total = ((self.recency.exp() * present).unsqueeze(-1) * taken).sum(dim=1)
        users = normalize(total, dim=1, eps=_LEAST_NORM)
        scores = self.log_temperature.exp() * users @ vectors.T
        return scores, torch.from_numpy(self.place[examples.target]), context

    def losses(self, vectors: Tensor, examples: NextItems) -> Tensor:
        """Return the cross-entropy of each example, in nats."""
        scores, target, _ = self.scores(vectors, examples)
        return cross_entropy(scores, target, reduction="none")

    def step(self) -> None:
        """Learn from one batch, drawn by chance."""
        size = min(self.settings.batch, len(self.examples))
        chosen = torch.randint(len(self.examples), (size,), generator=self.random).numpy()
        batch = self.examples.select(chosen)
        vectors = self.vectors(dropout=self.settings.residual_dropout)
        weight = torch.from_numpy(batch.weight)
        loss = (self.losses(vectors, batch) * weight).sum() / weight.sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters(), _LARGEST_GRADIENT)
        if not bool(torch.isfinite(loss)) or not bool(torch.isfinite(norm)):
            message = f"the tower's loss is {loss.item()}, its gradient {norm.item()}"
            raise TrainingFailed(message)
        self.optimiser.step()

    @torch.inference_mode()
    def held_out(self, examples: NextItems) -> tuple[float, float]:
        """Return mean discounted gain in the first hundred, and mean loss, of later examples.

        Those with items unknown to this fit are left out, and what a user took cannot stand above.
        """
        seen = self.place[examples.target] >= 0
        context = np.where(examples.context >= 0, self.place[examples.context], -1)
        rows = np.flatnonzero(seen & (context >= 0).any(axis=1))[-_MOST_HELD_OUT:]
        if not len(rows):
            return 0.0, 0.0
        scores, target, taken = self.scores(self.vectors(), examples.select(rows))
        loss = float(cross_entropy(scores, target))
        of_target = scores.gather(1, target[:, None])
        example, position = torch.nonzero(taken >= 0, as_tuple=True)
        scores[example, taken[example, position]] = -torch.inf
        rank = (scores > of_target).sum(dim=1)
        gain = torch.where(rank < _DEEP, 1 / torch.log2(rank + 2.0), 0.0)
        return float(gain.mean()), loss

    def export(self, *, loss: float, steps: int) -> Tower:
        """Return what was learned, over the rows of the whole catalogue."""
        residual = np.zeros((self.items, self.dimension), np.float32)
        residual[self.known] = self.residual.detach().numpy()
        recency = self.recency.detach().exp()
        return Tower(
            centre=self.centre,
            down=self.down.detach().numpy().copy(),
            up=self.up.detach().numpy().copy(),
            residual=residual,
            recency=(recency / recency.max()).numpy(),
            temperature=float(self.log_temperature.detach().exp()),
            steps=steps,
            held_out_loss=loss,
        )


def _steps_until_worse(
    fit: _Fit, newest: NextItems, settings: TowerSettings, out_of_time: Callable[[], bool]
) -> tuple[float, int]:
    """Train until the newest examples rank worse; leave the best state in ``fit``.

    Their loss would not do: it falls with the temperature while the first places get worse.
    Returns the held-out loss at the best state and the number of steps that led to it.
    """
    (best_gain, best_loss), best_steps, best_state = fit.held_out(newest), 0, _state(fit)
    for step in range(1, settings.max_steps + 1):
        fit.step()
        if step % settings.check_every:
            continue
        gain, loss = fit.held_out(newest)
        if gain > best_gain:
            best_gain, best_loss, best_steps, best_state = gain, loss, step, _state(fit)
        if step - best_steps >= settings.patience * settings.check_every or out_of_time():
            break
    fit.load_state_dict(best_state)
    return best_loss, best_steps


def _state(fit: _Fit) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in fit.state_dict().items()}


_FEWEST = 32
_MOST_HELD_OUT = 1000
_DEEP = 100
_GAPS, _GAP_FADING = 3, 0.7  # items between two that still stand beside each other
_SHRINKAGE = 30.0  # in items beside, each of an example of weight 1
_START_TEMPERATURE = 16.0
# An item without a text that nothing stands beside is at zero, where directions have no gradient.
_LEAST_NORM = 0.1
_LARGEST_GRADIENT = 1.0
