"""Which lists to make again when there is time to spare: the stalest of recently active users.

Lists are kept in the order in which they were made, so the stalest stands in front. An event earns
a few refreshes, so an idle stream is not republished for ever. Knows no profiles and no clock.
"""

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple

from stream_rec.events import DAY_MS


class Place(NamedTuple):
    """One list: whose, where."""

    partition: int
    user_id: str
    scenario: str


class Staleness:
    """The lists of users active within a day of stream time, stalest first.

    `earned` refreshes are granted for each applied event, up to `most` in store.
    """

    def __init__(self, *, earned: float = 4.0, most: int = 1000) -> None:
        self._made: OrderedDict[Place, tuple[int, int]] = OrderedDict()
        self._earned, self._most, self._tokens = earned, most, 0.0

    def __len__(self) -> int:
        return len(self._made)

    def grant(self, events: int) -> None:
        """Earn refreshes for applied events."""
        self._tokens = min(self._most, self._tokens + self._earned * events)

    def published(self, place: Place, *, generated_ms: int, active_ms: int) -> None:
        """Note a list just made: when, and the newest event time of its user."""
        self._made[place] = (generated_ms, active_ms)
        self._made.move_to_end(place)

    def forget(self, place: Place) -> None:
        """Drop one list, if it is known."""
        self._made.pop(place, None)

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest list was made; None without lists."""
        return next(iter(self._made.values()))[0] if self._made else None

    def made_at(self) -> dict[str, int]:
        """Return when the oldest and the middle list were made, in ms; nothing without lists."""
        if not self._made:
            return {}
        places = {"oldest": 0, "middle": len(self._made) // 2}
        values = self._made.values()
        return {name: next(islice(values, place, None))[0] for name, place in places.items()}

    def forget_partition(self, partition: int) -> None:
        """Drop the lists of a partition that another worker owns now."""
        for place in [place for place in self._made if place.partition == partition]:
            del self._made[place]

    def stalest(self, limit: int, *, stream_ms: int, overdue_ms: int) -> list[Place]:
        """Return up to `limit` lists to make again, stalest first; each leaves the queue.

        Lists generated before `overdue_ms` need no grant. Users idle for a day of stream time,
        which `stream_ms` tells, are dropped.
        """
        chosen: list[Place] = []
        while self._made and len(chosen) < limit:
            place, (generated_ms, active_ms) = next(iter(self._made.items()))
            if active_ms >= stream_ms - DAY_MS:
                if generated_ms >= overdue_ms:
                    if self._tokens < 1.0:
                        break
                    self._tokens -= 1.0
                chosen.append(place)
            del self._made[place]
        return chosen
