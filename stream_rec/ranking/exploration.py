"""Places given to items that little is known of, and what their clicks teach about such items.

Each free place of a list is an exploration slot with the same probability. A slot shows an item of
one *arm*, a class of candidates by how much is known of them and how high the re-ranker puts them.
The arm is chosen by Thompson sampling from Beta posteriors of its click rate, the item within the
arm by the square root of its score. All probabilities are computed, none is estimated by drawing:
so every place of a list carries the exact probability that its item stands there.

Knows nothing of Kafka or profiles; randomness is an argument.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import StateRejected
from stream_rec.events import NEGATIVE, Event

ARMS = 8


def arms_of(counts: NDArray[np.int64], heights: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the arm of each candidate.

    Args:
        counts: Consuming events of each item so far.
        heights: Where the re-ranker puts it, from 0 for the last candidate to 1 for the first.

    >>> arms_of(np.array([0, 0, 3, 100]), np.array([0.1, 0.9, 0.2, 0.9])).tolist()
    [0, 4, 1, 7]
    """
    known = np.searchsorted(_KNOWN, counts, side="right")
    return known + (len(_KNOWN) + 1) * (heights >= _HIGH)


class Slot(NamedTuple):
    """What an exploration slot may show: candidates' places, their chances and their arms."""

    places: NDArray[np.int64]  # (n,)
    chances: NDArray[np.float64]  # (n,) sum to 1
    arms: NDArray[np.int64]  # (n,)

    def drawn(self, rng: np.random.Generator) -> int:
        """Draw one entry of the slot; its index."""
        spot = int(np.searchsorted(np.cumsum(self.chances), rng.random(), side="right"))
        return min(spot, len(self.chances) - 1)


class Exploration:
    """The click rates of the arms, and the lists that wait to be seen."""

    def __init__(self) -> None:
        self._evidence = np.zeros((ARMS, 2))  # clicked, passed over; faded
        self._open: OrderedDict[str, _Shown] = OrderedDict()
        self._wins: dict[int, NDArray[np.float64]] = {}

    @property
    def rates(self) -> NDArray[np.float64]:
        """The mean of each arm's posterior, (ARMS,)."""
        likes, passes = (self._evidence + _PRIOR).T
        rates: NDArray[np.float64] = likes / (likes + passes)
        return rates

    def slot(
        self, places: NDArray[np.int64], scores: NDArray[np.floating], arms: NDArray[np.int64]
    ) -> Slot:
        """Return the chances of each candidate of one slot."""
        within = np.sqrt(np.maximum(np.asarray(scores, np.float64), 1e-12))
        totals = np.bincount(arms, weights=within, minlength=ARMS)
        wins = self._chances(int(np.bitwise_or.reduce(np.left_shift(1, np.unique(arms)))))
        return Slot(places, wins[arms] * within / totals[arms], arms)

    def _chances(self, present: int) -> NDArray[np.float64]:
        """The probability that Thompson sampling picks each arm; `present` is a bit set of arms."""
        wins = self._wins.get(present)
        if wins is None:
            arms = [arm for arm in range(ARMS) if present >> arm & 1]
            wins = np.zeros(ARMS)
            wins[arms] = best_chances(self._evidence[arms] + _PRIOR)
            self._wins[present] = wins
        return wins

    def published(self, recommendation_id: str, arms: Mapping[int, int]) -> None:
        """Remember the explored places of a list, arm by rank, until the list is seen."""
        if arms:
            self._open[recommendation_id] = _Shown(arms=dict(arms))
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)

    def learn(self, event: Event) -> None:
        """Learn from an event that says which list it came from.

        The first one shows that the list was seen: its explored places count as passed over, until
        one of them is taken.
        """
        shown = self._open.get(event.recommendation_id or "")
        if shown is None:
            return
        if not shown.seen:
            shown.seen = True
            for arm in shown.arms.values():
                self._evidence[arm] *= _FADING
                self._evidence[arm, 1] += 1.0
        arm_taken = shown.arms.get(event.position or 0)
        if arm_taken is not None and event.event_type not in NEGATIVE | {"impression"}:
            del shown.arms[event.position or 0]
            self._evidence[arm_taken, 1] = max(0.0, self._evidence[arm_taken, 1] - 1.0)
            self._evidence[arm_taken, 0] += 1.0
        self._wins.clear()

    @classmethod
    def merged(cls, parts: Iterable["Exploration"]) -> "Exploration":
        """Add up what explorers of separate users have learned."""
        whole = cls()
        for part in parts:
            whole._evidence += part._evidence  # noqa: SLF001 - of its own class
        return whole

    def to_bytes(self) -> bytes:
        """Write the evidence and the open lists down."""
        lists = [(name, shown.seen, shown.arms) for name, shown in self._open.items()]
        return msgspec.msgpack.encode(
            _Written(format=_FORMAT, evidence=self._evidence.ravel().tolist(), lists=lists)
        )

    @classmethod
    def from_bytes(cls, state: bytes) -> "Exploration":
        """Read what `to_bytes` wrote.

        Raises:
            StateRejected: the bytes are damaged or of another format.
        """
        try:
            written = msgspec.msgpack.decode(state, type=_Written)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            msg = "exploration: unreadable"
            raise StateRejected(msg) from error
        evidence = np.array(written.evidence)
        arms = [arm for _, _, shown in written.lists for arm in shown.values()]
        finite = bool((np.isfinite(evidence) & (evidence >= 0)).all())
        sound = finite and evidence.shape == (2 * ARMS,)
        if written.format != _FORMAT or not sound or not all(0 <= arm < ARMS for arm in arms):
            msg = f"exploration: not a state of format {_FORMAT}"
            raise StateRejected(msg)
        exploration = cls()
        exploration._evidence = evidence.reshape(ARMS, 2)
        for name, seen, shown in written.lists:
            exploration._open[name] = _Shown(arms=shown, seen=seen)
        return exploration


def best_chances(posteriors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that a draw from each Beta posterior is the highest, (arms,).

    This is what Thompson sampling picks an arm with. Integrated over a grid in log-odds, where
    posteriors near 0 and 1 are as wide as others; agrees with sampling to about 1e-3.

    Source: Thompson, "On the likelihood that one unknown probability exceeds another in view of the
    evidence of two samples", Biometrika 1933.

    Args:
        posteriors: The two parameters of each arm, (arms, 2).

    >>> best_chances(np.array([[1.0, 9.0], [1.0, 9.0]])).round(3).tolist()
    [0.5, 0.5]
    """
    odds = np.linspace(-_GRID_REACH, _GRID_REACH, _GRID)
    log_rate, log_rest = -np.logaddexp(0.0, -odds), -np.logaddexp(0.0, odds)
    logs = posteriors[:, :1] * log_rate + posteriors[:, 1:] * log_rest  # of density in log-odds
    density = np.exp(logs - logs.max(1, keepdims=True))
    density /= density.sum(1, keepdims=True)
    below = np.cumsum(density, 1) - 0.5 * density
    others = np.array([np.delete(below, arm, 0).prod(0) for arm in range(len(posteriors))])
    chances = (density * others).sum(1)
    best: NDArray[np.float64] = chances / chances.sum()
    return best


class _Shown(msgspec.Struct):
    arms: dict[int, int]  # rank -> arm
    seen: bool = False


class _Written(msgspec.Struct, frozen=True):
    format: int
    evidence: list[float]
    lists: list[tuple[str, bool, dict[int, int]]]


_FORMAT = 1
_KNOWN = (1, 4, 16)  # bounds of the classes of counts
_HIGH = 0.75
_PRIOR = np.array([0.5, 9.5])  # one click in twenty, worth ten showings: unknown arms get tried
_FADING = 0.998
_MOST_OPEN = 4096
_GRID, _GRID_REACH = 513, 14.0
