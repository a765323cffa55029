"""Keep a bounded, recency-weighted sample of feedback to train from.

Which events stay is decided by weighted reservoir sampling under forward decay: each event draws
one priority from a hash of itself and the seed, never again, so the sample does not depend on the
order of arrival and a replay of the log after a crash rebuilds it. A user keeps only the newest few
events, so heavy users neither fill the buffer nor steer the model alone.

It does not know Kafka, models or what is trained.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import msgspec

from stream_rec.errors import StateRejected


class Feedback(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One thing a user did with an item; ``timestamp`` in ms, ``weight`` below 0 if disliked.

    ``rating`` is within [0, 1], whatever the shop's scale: 0 is the worst, 0.5 neither.
    """

    user_id: str
    item_id: str
    timestamp: int
    weight: float = 1.0
    rating: float | None = None
    text: str = ""


class ReplayBuffer:
    """At most ``capacity`` events, at most ``per_user`` of one user, newer ones likelier.

    An event that is one half-life older is half as likely to be kept. The sampling is Efraimidis
    and Spirakis, "Weighted random sampling with a reservoir" (2006), with the forward decay of
    Cormode et al. (ICDE 2009), which needs no rescaling as time goes on.
    """

    def __init__(self, capacity: int, *, per_user: int, half_life_ms: float, seed: int) -> None:
        if min(capacity, per_user) < 1 or half_life_ms <= 0:
            message = "capacity, per_user and half_life_ms must be positive"
            raise ValueError(message)
        self.capacity = capacity
        self.per_user = per_user
        self.half_life_ms = half_life_ms
        self.seed = seed
        self._users: dict[str, dict[int, Feedback]] = {}
        self._count = 0
        self._leaving: list[tuple[float, int, str]] = []  # first to leave on top, stale ones too

    def __len__(self) -> int:
        """Return how many events are kept."""
        return self._count

    def __iter__(self) -> Iterator[Feedback]:
        """Go through all events, in order of user and then of time."""
        for user in sorted(self._users):
            yield from self.history(user)

    def add(self, feedback: Feedback) -> None:
        """Offer one event; the same event twice counts once."""
        digest = self._digest(feedback)
        events = self._users.setdefault(feedback.user_id, {})
        if digest in events:
            return
        events[digest] = feedback
        self._count += 1
        heapq.heappush(self._leaving, (-self._priority(feedback, digest), digest, feedback.user_id))
        if len(events) > self.per_user:
            self._remove(feedback.user_id, min(events, key=lambda d: (events[d].timestamp, d)))
        while self._count > self.capacity:
            _, leaving, user_id = heapq.heappop(self._leaving)
            if leaving in self._users.get(user_id, {}):
                self._remove(user_id, leaving)
        if len(self._leaving) > 2 * self.capacity + _SLACK:
            self._forget_stale()

    def erase(self, user_id: str, up_to_ms: int | None = None) -> int:
        """Forget a user's events up to a time (all without one); return how many there were."""
        events = self._users.get(user_id, {})
        gone = [d for d, f in events.items() if up_to_ms is None or f.timestamp <= up_to_ms]
        for digest in gone:
            self._remove(user_id, digest)
        return len(gone)

    def history(self, user_id: str) -> list[Feedback]:
        """Return a user's kept events, oldest first."""
        events = self._users.get(user_id, {})
        return [events[d] for d in sorted(events, key=lambda d: (events[d].timestamp, d))]

    def histories(self, until_ms: int | None = None) -> Mapping[str, Sequence[Feedback]]:
        """Return every user's kept events, oldest first, users in order of their id.

        With ``until_ms`` only events up to that time, and users that have any.
        """
        whole = {user: self.history(user) for user in sorted(self._users)}
        if until_ms is None:
            return whole
        cut = {
            user: [feedback for feedback in history if feedback.timestamp <= until_ms]
            for user, history in whole.items()
        }
        return {user: history for user, history in cut.items() if history}

    def to_bytes(self) -> bytes:
        """Return everything needed to go on, with a checksum."""
        body = msgspec.msgpack.encode(
            (self.capacity, self.per_user, self.half_life_ms, self.seed, list(self))
        )
        return zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def from_bytes(cls, stored: bytes) -> ReplayBuffer:
        """Read what `to_bytes` wrote.

        Raises:
            StateRejected: torn or damaged.
        """
        if zlib.crc32(stored[4:]).to_bytes(4, "little") != stored[:4]:
            message = "the replay buffer's file is torn or damaged"
            raise StateRejected(message)
        try:
            capacity, per_user, half_life_ms, seed, events = msgspec.msgpack.decode(
                stored[4:], type=tuple[int, int, float, int, list[Feedback]]
            )
        except msgspec.MsgspecError as error:
            message = f"the replay buffer's file is of another format: {error}"
            raise StateRejected(message) from error
        buffer = cls(capacity, per_user=per_user, half_life_ms=half_life_ms, seed=seed)
        for feedback in events:
            buffer.add(feedback)
        return buffer

    def _remove(self, user_id: str, digest: int) -> None:
        events = self._users[user_id]
        del events[digest]
        self._count -= 1
        if not events:
            del self._users[user_id]

    def _forget_stale(self) -> None:
        self._leaving = [e for e in self._leaving if e[1] in self._users.get(e[2], {})]
        heapq.heapify(self._leaving)

    def _digest(self, feedback: Feedback) -> int:
        parts = (self.seed, feedback.user_id, feedback.item_id, feedback.timestamp, feedback.weight)
        body = msgspec.msgpack.encode(parts)
        return int.from_bytes(blake2b(body, digest_size=8).digest(), "little")

    def _priority(self, feedback: Feedback, digest: int) -> float:
        """Return log(-log(u) / weight): the smallest stay. Logarithms, since 2^age overflows."""
        u = (digest + 0.5) / 2.0**64
        # A digest at the very top rounds u to 1, whose logarithm has none of its own.
        draw = math.log(max(-math.log(u), 1e-300))
        return draw - math.log(2) * feedback.timestamp / self.half_life_ms


_SLACK = 1024
