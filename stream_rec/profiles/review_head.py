"""How favourable a review is by the vector of its text, learned online from the rated ones.

Logistic regression with a Gaussian belief in its weights, updated after each review by one step of
the extended Kalman filter: each direction of the space learns as fast as little is known of it. One
more input is the verdict of the hashed-word model, which starts out trusted: so the first answers
are that model's, and the vector has to earn its say. Knows no users, no texts and no model.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import StateRejected

Vector = NDArray[np.float32]


class Verdict(NamedTuple):
    """Sentiment in [-1, 1], 0 saying nothing either way; the rating such reviews have on average.

    `probability` is that of a rating above neutral; `rating` is None before a review was rated.
    """

    sentiment: float
    probability: float
    rating: float | None


class ReviewHead:
    """Predict, then learn; about .5 ms for both at 384 dimensions."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.outcomes = [0, 0]  # unfavourable, favourable reviews learned from
        self._weights = np.zeros(dimension + 1)
        self._weights[-1] = TRUST
        self._belief = np.diag(np.r_[np.full(dimension, VARIANCE), OF_TRUST])
        self._total = np.zeros(dimension)  # of all vectors learned from
        self._ratings = np.zeros((2, BUCKETS))  # by sentiment: how many, and their sum

    def predict(self, vector: Vector, hashed: float | None) -> Verdict:
        """Judge a unit vector (dimension,); `hashed` is the word model's verdict in [-1, 1].

        >>> round(ReviewHead(2).predict(np.array([1, 0], np.float32), 0.5).sentiment, 6)
        0.5
        """
        evidence = float(self._weights @ self._inputs(vector, hashed))
        return Verdict(
            sentiment=math.tanh(0.5 * evidence),
            probability=_chance(evidence + self._base()),
            rating=self._rating(evidence),
        )

    def learn(self, vector: Vector, hashed: float | None, rating: float, *, neutral: float) -> None:
        """Learn from a rated review; one rated `neutral` says only what such words are worth."""
        if not math.isfinite(rating):
            return
        inputs = self._inputs(vector, hashed)
        evidence = float(self._weights @ inputs)
        self._ratings[:, _bucket(evidence)] += (1.0, rating)
        if rating == neutral:
            return
        favourable = rating > neutral
        chance = _chance(evidence + self._base())
        spread = max(chance * (1.0 - chance), LEAST_SPREAD)
        gain = self._belief @ inputs
        scale = 1.0 + spread * float(inputs @ gain)
        self._weights += gain * ((float(favourable) - chance) / scale)
        self._belief -= np.outer(gain, gain) * (spread / scale)
        self._total += vector
        self.outcomes[int(favourable)] += 1

    def move(self) -> None:
        """Go on in another space of the same size: what directions mean is learned anew."""
        fresh = ReviewHead(self.dimension)
        fresh._weights[-1] = self._weights[-1]
        self._weights, self._belief, self._total = fresh._weights, fresh._belief, fresh._total

    def to_bytes(self) -> bytes:
        """Write the state down: about 600 kB at 384 dimensions."""
        return msgspec.msgpack.encode(
            _Written(
                outcomes=self.outcomes,
                weights=self._weights.tobytes(),
                belief=self._belief.astype("<f4").tobytes(),
                total=self._total.tobytes(),
                ratings=self._ratings.tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, state: bytes, dimension: int) -> ReviewHead:
        """Read what `to_bytes` wrote.

        Raises:
            StateRejected: the bytes are damaged, or of another dimension.
        """
        head, wide = cls(dimension), dimension + 1
        try:
            written = msgspec.msgpack.decode(state, type=_Written)
            head._weights = np.frombuffer(written.weights, "<f8").reshape(wide).copy()
            belief = np.frombuffer(written.belief, "<f4").reshape(wide, wide)
            head._total = np.frombuffer(written.total, "<f8").reshape(dimension).copy()
            head._ratings = np.frombuffer(written.ratings, "<f8").reshape(2, BUCKETS).copy()
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            msg = "review head: unreadable"
            raise StateRejected(msg) from error
        head._belief = belief.astype(np.float64)
        head.outcomes = list(written.outcomes)
        parts = (head._weights, head._belief, head._total, head._ratings)
        if len(head.outcomes) != 2 or min(head.outcomes) < 0 or not all(map(_sound, parts)):
            msg = "review head: not finite"
            raise StateRejected(msg)
        return head

    def centred(self, vector: Vector) -> Vector:
        """Return a vector from the mean of those learned from, of length one; 0 without any."""
        seen = sum(self.outcomes)
        if not seen:
            return np.zeros(self.dimension, np.float32)
        centred = vector - self._total / seen
        unit: Vector = (centred / max(float(np.linalg.norm(centred)), 1e-6)).astype(np.float32)
        return unit

    def _inputs(self, vector: Vector, hashed: float | None) -> NDArray[np.float64]:
        words = 2.0 * math.atanh(max(-ALMOST, min(ALMOST, hashed or 0.0)))
        inputs: NDArray[np.float64] = np.r_[self.centred(vector), words / SCALE]
        return inputs

    def _base(self) -> float:
        unfavourable, favourable = self.outcomes
        return math.log((favourable + 1) / (unfavourable + 1))

    def _rating(self, evidence: float) -> float | None:
        """The mean rating of reviews with about this evidence, held towards that of all."""
        counts, sums = self._ratings
        seen = float(counts.sum())
        if not seen:
            return None
        here = _bucket(evidence)
        of_all = float(sums.sum()) / seen
        return float((sums[here] + HELD * of_all) / (counts[here] + HELD))


class _Written(msgspec.Struct, frozen=True):
    outcomes: list[int]
    weights: bytes
    belief: bytes
    total: bytes
    ratings: bytes


def _chance(logit: float) -> float:
    return 0.5 + 0.5 * math.tanh(0.5 * logit)


def _bucket(evidence: float) -> int:
    share = (max(-WIDEST, min(WIDEST, evidence)) + WIDEST) / (2 * WIDEST)
    return min(BUCKETS - 1, int(share * BUCKETS))


def _sound(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all())


VARIANCE, OF_TRUST = 1.0, 4.0  # of a weight before anything is learned
SCALE = 4.0
TRUST = SCALE  # the word model's own log-odds, unchanged
LEAST_SPREAD = 1e-4  # what is nearly sure still teaches a little
ALMOST = 1.0 - 1e-12
BUCKETS, WIDEST, HELD = 12, 6.0, 3.0
