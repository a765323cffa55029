"""What can be seen of the engine from outside: how fresh its lists are, and how good.

Held to the judge's condition: an event is scored by the newest list published for its user before
it was sent (the default list for a user never seen), and only then sent; baselines on the same
stream likewise. A list answers an event when it counts at least that many of its user's events.
Knows no Kafka and no clock: times are arguments, in seconds.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_rec.baselines import TOP, Baselines, gain
from stream_rec.toplist import DEFAULT_USER, TopList


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Mean NDCG@10 of the lists and of each kind of baseline, over `events` scored events.

    `popularity` is the best of several half-lives, chosen in hindsight.
    """

    events: int
    engine: float
    popularity: float
    co_visitation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Milliseconds from sending an event to reading the list that counts it."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An event without its list: sent when, as the how-manieth of its user."""

    number: int
    since: float


class Scoreboard:
    """The observer's books; `warm_up` first events teach the baselines but are not scored."""

    def __init__(self, item_ids: Sequence[str], *, warm_up: int = 0) -> None:
        self.newest: dict[str, TopList] = {}
        self.waiting: dict[str, Waiting] = {}
        self.sent = 0
        self.lists = 0
        self.version_errors = 0
        self._baselines = Baselines(item_ids)
        self._warm_up = warm_up
        self._of_user: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._gains: dict[str, float] = dict.fromkeys((ENGINE, *self._baselines.names), 0.0)
        self._scored = 0
        self._answered: deque[float] = deque()

    def sending(self, user_id: str, item_id: str, *, now: float) -> None:
        """Score an event about to be sent, then take it as sent.

        The user must not be waiting for a list.
        """
        if self.sent >= self._warm_up and not self._baselines.consumed(user_id, item_id):
            self._score(user_id, item_id)
        self._baselines.learn(user_id, item_id)
        self.sent += 1
        self._of_user[user_id] += 1
        self.waiting[user_id] = Waiting(number=self._of_user[user_id], since=now)

    def arrived(self, toplist: TopList, *, now: float) -> float | None:
        """Take a list; return the seconds since its user's event if it answers one."""
        user_id, old = toplist.user_id, self.newest.get(toplist.user_id)
        if old is not None and toplist.version <= old.version:
            self.version_errors += 1
        self.newest[user_id] = toplist
        self.lists += 1
        waiting = self.waiting.get(user_id)
        if waiting is None or toplist.lineage.events_applied < waiting.number:
            return None
        del self.waiting[user_id]
        took = now - waiting.since
        self._seconds.append(took)
        self._answered.append(now)
        return took

    def longest_wait(self, *, now: float) -> float:
        """Return for how long the oldest event has waited for its list."""
        return max((now - entry.since for entry in self.waiting.values()), default=0.0)

    def rate(self, *, now: float, over: float = 5.0) -> float:
        """Return the events answered per second of late."""
        while self._answered and self._answered[0] < now - over:
            self._answered.popleft()
        return len(self._answered) / over

    def quality(self) -> Quality:
        """Return how good the lists were so far."""
        mean = {name: total / max(1, self._scored) for name, total in self._gains.items()}
        popular = [value for name, value in mean.items() if name.startswith("popularity")]
        return Quality(
            events=self._scored,
            engine=mean[ENGINE],
            popularity=max(popular),
            co_visitation=mean["co-visitation"],
        )

    def freshness(self) -> Freshness:
        """Return how fresh the lists were so far."""
        if not self._seconds:
            return Freshness(p50=float("nan"), p99=float("nan"))
        p50, p99 = np.percentile(self._seconds, (50, 99)) * 1000
        return Freshness(p50=float(p50), p99=float(p99))

    def _score(self, user_id: str, item_id: str) -> None:
        standing = self.newest.get(user_id) or self.newest.get(DEFAULT_USER)
        listed = [entry.item_id for entry in standing.items[:TOP]] if standing else []
        self._gains[ENGINE] += gain(listed.index(item_id) if item_id in listed else None)
        for name, rank in self._baselines.ranks(user_id, item_id).items():
            self._gains[name] += gain(rank)
        self._scored += 1


ENGINE = "engine"
