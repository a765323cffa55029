"""Which way of ranking serves users never seen best: the re-ranker's, or plain popularity.

A newcomer's first item judges every way at once, since each would have listed it at some rank; so
the best so far is followed ("follow the leader" with full information; Cesa-Bianchi and Lugosi,
"Prediction, learning, and games", 2006, ch. 3). Knows scores and features, no items.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rec.ranking.features import Feature


class Newcomers:
    """The mean discounted gain of each way, the newest examples counting most.

    `examples` were seen here, `evidence` here and wherever the gains were taken from.
    """

    def __init__(self, gains: Sequence[float] = (), examples: int = 0, evidence: int = 0) -> None:
        self.gains: NDArray[np.float64] = np.array(gains or [0.0] * (1 + len(_WAYS)))
        self.examples = examples
        self.evidence = evidence

    def learn(self, scores: NDArray[np.float32], features: NDArray[np.float32], taken: int) -> None:
        """Judge every way by the candidate at position `taken`.

        Args:
            scores: The re-ranker's, (candidates,).
            features: Of the same candidates, (candidates, features).
            taken: What the newcomer took.
        """
        self.examples += 1
        self.evidence += 1
        rate = max(1.0 / self.evidence, 1.0 / _MEMORY)
        for way, worth in enumerate((scores, *(features[:, feature] for feature in _WAYS))):
            rank = int((worth > worth[taken]).sum())
            self.gains[way] += rate * (1.0 / np.log2(rank + 2.0) - self.gains[way])

    def ranked(
        self, scores: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the same scores, given to the candidates in the order of the best way."""
        best = int(self.gains.argmax())
        if best == 0 or self.evidence < _FEWEST:
            return scores
        out = np.empty_like(scores)
        out[np.argsort(-features[:, _WAYS[best - 1]], kind="stable")] = -np.sort(-scores)
        return out

    def adopt(self, other: "Newcomers") -> None:
        """Go on from the gains of another; one's own examples stay counted."""
        self.gains, self.evidence = other.gains.copy(), other.evidence

    @classmethod
    def merged(cls, parts: Sequence["Newcomers"]) -> "Newcomers":
        """Return the mean of several workers, each weighed by its examples."""
        total = sum(part.examples for part in parts)
        if not total:
            return cls()
        gains = sum(part.gains * (part.examples / total) for part in parts)
        return cls(np.asarray(gains).tolist(), total, total)


_WAYS = (
    Feature.POPULAR_100,
    Feature.POPULAR_500,
    Feature.POPULAR_2000,
    Feature.POPULAR_16000,
)
_MEMORY = 2_000  # examples
_FEWEST = 50
