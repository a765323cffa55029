"""Make the lists that are due without an event, in the time that events leave.

An event that comes while such lists are made waits for them, so how many are made at once follows
from what a list took lately, and after a transaction of their own the worker rests.
"""

import time

import numpy as np

from consumers.recommending.key_notes import Moving
from consumers.recommending.outbox import Outbox
from consumers.recommending.spare_time import Bounds, SpareTime
from stream_rec.publish import publish
from stream_rec.replica import Replica


class SpareLists:
    """What one worker's spare time goes to."""

    def __init__(self, replica: Replica, spare: SpareTime, rng: np.random.Generator) -> None:
        self._replica = replica
        self._spare = spare
        self._moving = Moving(spare.store)
        self._rng = rng
        self._list_s = SPARE_S
        self._rested_until = 0.0

    def add(self, outbox: Outbox, now_ms: int, *, events: bool, work: bool) -> int:
        """Add lists that are due; return how many.

        With `events` in the outbox only what is overdue rides along; with other `work` waiting
        nothing is made that could as well be made later.
        """
        started = time.monotonic()
        affordable = max(1, int(SPARE_S / self._list_s))
        idle = not events and not work and started >= self._rested_until
        sweeping = self._spare.sweeping
        riding, resting = (SWEPT_RIDING, SWEPT) if sweeping else (MOST_OVERDUE, STALEST)
        if not sweeping:
            riding, resting = min(riding, affordable), min(resting, affordable)
        bounds = Bounds(
            owed=MOST_OWED,
            overdue=riding if events else 0,
            stalest=resting if idle else 0,
        )
        due = [
            entry
            for entry in self._spare.due(now_ms, bounds)
            if (entry.partition, entry.profile.user_id) not in outbox.profiles
            and (entry.partition, entry.profile.user_id) not in outbox.erased
        ]
        if due:
            made = publish(self._replica, due, outbox.ledgers, now_ms=now_ms, rng=self._rng)
            outbox.add_lists(made)
            took = (time.monotonic() - started) / len(due)
            self._list_s += 0.1 * (took - self._list_s)
        elif idle:
            outbox.add_moved(*self._moving.some(MOST_MOVED))
        return len(due)

    def rest(self, took_s: float) -> None:
        """Leave the worker free for events after a transaction of spare lists that took so long."""
        share = SWEEPING_REST_SHARE if self._spare.sweeping else REST_SHARE
        self._rested_until = time.monotonic() + share * took_s


MOST_OWED, MOST_OVERDUE, STALEST = 64, 4, 16
MOST_MOVED = 16  # profiles stored again under a newer key in an idle round
# What lists made in spare time may take: an event that comes just then waits for them.
SPARE_S = 0.008
# After lists made in spare time the worker is free for events this many times as long as they took.
REST_SHARE = 4.0
# Lists that may be wrong are made again within a minute, which may cost events some milliseconds.
SWEPT, SWEPT_RIDING = 16, 8
SWEEPING_REST_SHARE = 1.0
