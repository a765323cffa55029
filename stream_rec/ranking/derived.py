"""What ranking derives from the replica and keeps until what it came from has changed.

Part of no state: it can be thrown away at any time, and is never written down.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.ranking.alternatives import Needs, TitleWords
from stream_rec.ranking.rules import RuleBook
from stream_rec.statistics.statistics import Statistics


@dataclass(slots=True)
class Derived:
    """Compiled rules, neighbours in need, words of titles, and the order of last resort."""

    rules: RuleBook = field(default_factory=RuleBook)
    needs: Needs = field(default_factory=Needs)
    titles: TitleWords = field(default_factory=TitleWords)
    _state: tuple[int, int] = (-1, -1)
    _popular: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def popular(
        self, statistics: Statistics, catalogue: Catalogue, *, now_ms: int
    ) -> NDArray[np.int32]:
        """Return every recommendable row, the most popular first, equals by their hashes."""
        state = (catalogue.changes, statistics.events // _REFRESHED_EVERY)
        if state != self._state:
            rows = np.flatnonzero(catalogue.recommendable[: len(catalogue.items)])
            statistics.reserve()
            reading = statistics.decayed.read(_HALF_LIFE_EVENTS, now_ms=now_ms)
            worth = statistics.decayed.values(reading, len(catalogue.items))[rows]
            order = np.lexsort((catalogue.items.hashes[rows], -worth))
            self._state, self._popular = state, rows[order].astype(np.int32)
        return self._popular


_HALF_LIFE_EVENTS = 2000.0
_REFRESHED_EVERY = 256  # events
