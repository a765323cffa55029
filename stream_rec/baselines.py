"""Two honest yardsticks for the lists: decayed popularity, and co-visitation with a back-off.

They see the same stream, and are held to the same condition: an event is judged by the list made
at its user's previous event, and a user never seen by the list of that moment. Popularity is tried
at several half-lives, co-visitation is c / (d + 10) over the last 20 items, and where users
consume items again their own latest items count. Knows nothing of the lists it is compared with,
of time, or of Kafka.
"""

from collections.abc import Sequence

import numpy as np

from stream_rec.errors import ConfigurationError

TOP = 10


class Baselines:
    """Yardsticks over one fixed catalogue; call `ranks` before `learn` for each event.

    Raises:
        ConfigurationError: fewer items than a list has places.
    """

    def __init__(self, item_ids: Sequence[str], *, exclude_consumed: bool = True) -> None:
        if len(item_ids) <= TOP:
            msg = f"baselines need more than {TOP} items, there are {len(item_ids)}"
            raise ConfigurationError(msg)
        self.names = (
            *(f"popularity-{half_life}" for half_life in HALF_LIVES),
            "co-visitation",
            *(() if exclude_consumed else ("own-latest",)),
        )
        self._row = {item: row for row, item in enumerate(item_ids)}
        self._exclude = exclude_consumed
        self._popularity = np.zeros((len(HALF_LIVES), len(item_ids)))  # (half-lives, items)
        self._scale = np.ones(len(HALF_LIVES))
        self._degree = np.zeros(len(item_ids))
        self._links: dict[int, dict[int, float]] = {}
        self._past: dict[str, list[int]] = {}
        self._lists: dict[str, np.ndarray] = {}  # user -> rows (names, TOP)
        # Without it, items nobody took would stand in the order of the catalogue.
        self._tie = np.random.default_rng(0).random(len(item_ids)) * 1e-9

    def ranks(self, user_id: str, item_id: str) -> dict[str, int | None]:
        """Return an item's place, from 0, in each yardstick's standing list; None outside it."""
        standing = self._lists.get(user_id)
        if standing is None:
            standing = self._made(user_id)
        hits = standing == self._row.get(item_id, -1)
        return {
            name: int(hit.argmax()) if hit.any() else None
            for name, hit in zip(self.names, hits, strict=True)
        }

    def consumed(self, user_id: str, item_id: str) -> bool:
        """Whether the user has taken the item before."""
        return self._row.get(item_id) in self._past.get(user_id, ())

    def forget(self, user_id: str) -> None:
        """Drop a user's past; what was counted of items stays."""
        self._past.pop(user_id, None)
        self._lists.pop(user_id, None)

    def learn(self, user_id: str, item_id: str) -> None:
        """Take an event in and make the user's lists anew; an unknown item is passed over."""
        target = self._row.get(item_id)
        if target is None:
            return
        past = self._past.setdefault(user_id, [])
        own = self._links.setdefault(target, {})
        for gap, source in enumerate(past[: -WINDOW - 1 : -1]):
            if source != target:
                weight = FADING**gap
                forward = self._links.setdefault(source, {})
                forward[target] = forward.get(target, 0.0) + weight
                own[source] = own.get(source, 0.0) + 0.5 * weight
        self._degree[target] += 1.0
        self._scale *= _GROWTH
        self._popularity[:, target] += self._scale
        if self._scale[0] > _RESCALE_AT:
            self._popularity /= self._scale[:, None]
            self._scale[:] = 1.0
        past.append(target)
        self._lists[user_id] = self._made(user_id)

    def _made(self, user_id: str) -> np.ndarray:
        """Return the rows of every yardstick's best items for a user, best first, (names, TOP)."""
        past = self._past.get(user_id, [])
        scores = np.empty((len(self.names), self._degree.size))
        scores[: len(HALF_LIVES)] = self._popularity
        popular = self._popularity[BACK_OFF]
        scores[len(HALF_LIVES)] = 0.01 * popular / max(popular.max(), 1e-12)
        if not self._exclude:
            scores[-1] = scores[len(HALF_LIVES)]
            for gap, row in enumerate(past[:-51:-1]):
                scores[-1, row] = max(scores[-1, row], 0.98**gap)
        for gap, source in enumerate(past[: -WINDOW - 1 : -1]):
            links = self._links.get(source)
            if links:
                to = np.fromiter(links, np.int64, len(links))
                weights = np.fromiter(links.values(), np.float64, len(links))
                share = FADING**gap / (self._degree[source] + SHRINKAGE)
                scores[len(HALF_LIVES), to] += share * weights
        scores += self._tie * np.maximum(scores.max(1, keepdims=True), 1e-12)
        if self._exclude and past:
            scores[:, past] = -1.0
        best = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
        order = np.take_along_axis(scores, best, 1).argsort(1)[:, ::-1]
        return np.take_along_axis(best, order, 1)


def gain(rank: int | None) -> float:
    """Return the NDCG@10 of one event with one wanted item at a place counted from 0.

    >>> gain(0), gain(None), gain(10)
    (1.0, 0.0, 0.0)
    """
    return 0.0 if rank is None or rank >= TOP else float(1.0 / np.log2(rank + 2))


HALF_LIVES = (128, 512, 2048, 8192, 65536)
"""Of popularity, in events of the whole stream."""
BACK_OFF = HALF_LIVES.index(2048)
WINDOW, FADING, SHRINKAGE = 20, 0.7, 10.0
_GROWTH = 2.0 ** (1.0 / np.array(HALF_LIVES))
_RESCALE_AT = 1e12
