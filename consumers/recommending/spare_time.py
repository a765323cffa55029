"""Lists that are due without an event: default, owed, overdue, and the stalest when there is time.

    default   `<scenario>/*`, by the owner of partition 0: after a change, at most every 100 ms,
              and long before it expires, since it stands in for lists that have
    owed      held back by `min_interval_ms`, when that has passed; a wrong one not for so long
    wrong     known to show what is forbidden since
    overdue   older than `refresh_s` or `expires_s`, or made before a rule or the catalogue changed
    stalest   of users active lately, only when nothing else is to be done

Knows which lists, not how they are made or written.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from consumers.recommending.profile_store import ProfileStore
from stream_rec.policy import ListPolicy
from stream_rec.profiles.profile import Profile
from stream_rec.publish import Due
from stream_rec.replica import Replica
from stream_rec.staleness import Place, Staleness
from stream_rec.toplist import DEFAULT_USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many lists a round may make, by cause."""

    owed: int = 64
    overdue: int = 8
    stalest: int = 0


class SpareTime:
    """What is due of the partitions owned; fed by every commit and by a slow look at the store."""

    def __init__(self, replica: Replica, store: ProfileStore) -> None:
        self._replica = replica
        self.store = self._store = store
        self._staleness = Staleness()
        self._noted: dict[Place, tuple[int, int]] = {}
        self._owed: list[tuple[int, Place]] = []
        self._owed_from: dict[Place, int] = {}
        self._scan: Iterator[Profile] = iter(())
        self._unscanned: list[int] = []
        self._scanning = 0
        self._in_order = True
        self._default_dirty = True
        self._default_made_ms = 0
        self._sweep_ms = 0
        self._expired_ms = 0  # lists made until then have expired, as of the last round
        self._wrong: dict[Place, int] = {}  # since when, in ms

    def __len__(self) -> int:
        return len(self._staleness) + len(self._noted)

    def taken_over(self, partitions: Iterable[int]) -> None:
        """Start again from the store: it knows what is owed and how old lists are."""
        self._staleness = Staleness()
        self._noted = {}
        self._owed, self._owed_from = [], {}
        self._wrong = {}
        self._scan = iter(())
        self._unscanned = sorted(partitions, reverse=True)
        self._in_order = False
        self._default_dirty = True

    def changed(self, *, sweep_ms: int | None = None) -> None:
        """Note that default lists may be old; with `sweep_ms`, all lists made before that are."""
        self._default_dirty = True
        if sweep_ms is not None:
            self._sweep_ms = max(sweep_ms, self._sweep_ms)

    def wrong(self, places: Iterable[Place], since_ms: int) -> None:
        """Note lists that show what they must not; they come before all that may be wrong."""
        self._wrong |= dict.fromkeys(places, since_ms)

    @property
    def sweeping(self) -> bool:
        """Whether lists wait that are, or may be, wrong."""
        oldest_ms = self._staleness.oldest_ms
        older = oldest_ms is not None and oldest_ms < self._wrong_before_ms
        return bool(self._wrong) or (self._in_order and older)

    def committed(self, profiles: Mapping[tuple[int, str], Profile], *, applied: int) -> None:
        """Note the profiles of a committed transaction, and how many events it applied."""
        self._staleness.grant(applied)
        for (partition, _), profile in profiles.items():
            self._note(partition, profile)

    def forget(self, partition: int, user_id: str, scenarios: Iterable[str]) -> None:
        """Drop the lists of a user who was forgotten; many may be at one go."""
        for scenario in scenarios:
            place = Place(partition, user_id, scenario)
            self._staleness.forget(place)
            self._noted.pop(place, None)
            self._owed_from.pop(place, None)

    def made_at(self) -> dict[str, int]:
        """Return when the oldest and the middle list were made, in ms; nothing until known."""
        return self._staleness.made_at() if self._in_order else {}

    def look_around(self, most: int) -> None:
        """Note up to `most` more profiles of the store; the last one puts all lists in order."""
        if self._in_order:
            return
        for _ in range(most):
            profile = next(self._scan, None)
            if profile is None:
                if not self._unscanned:
                    self._put_in_order()
                    return
                self._scanning = self._unscanned.pop()
                self._scan = self._store.everyone(self._scanning)
            else:
                self._note(self._scanning, profile)

    def due(self, now_ms: int, bounds: Bounds) -> list[Due]:
        """Take what is due now; what is returned is not due again before it is noted again."""
        refresh_ms, life_ms = self._shortest_ms()
        self._expired_ms = now_ms - life_ms
        if now_ms - self._default_made_ms >= life_ms // 2:
            self._default_dirty = True
        due = self._due_default(now_ms) + self._due_owed(now_ms, bounds.owed)
        if not self._in_order:
            return due
        most = max(bounds.overdue, bounds.stalest)
        places = dict.fromkeys(self._known_wrong(most))
        stale = self._staleness.stalest(
            most - len(places),
            stream_ms=self._replica.statistics.newest_ms,
            overdue_ms=max(now_ms - refresh_ms, self._wrong_before_ms),
        )
        places |= dict.fromkeys(stale)
        for taken in due:
            places.pop(Place(taken.partition, taken.profile.user_id, taken.scenario), None)
        return due + [found for found in self._found(places) if self._may(found, now_ms)]

    def _known_wrong(self, most: int) -> Iterator[Place]:
        """Take lists that are known to be wrong and have not been made again since."""
        for place, since_ms in list(islice(self._wrong.items(), most)):
            del self._wrong[place]
            for found in self._found([place]):
                if found.profile.lists[place.scenario].generated_at <= since_ms:
                    yield place

    def _may(self, due: Due, now_ms: int) -> bool:
        """Whether `min_interval_ms` allows a list now; one that must wait stays in the queue."""
        listing = due.profile.lists[due.scenario]
        allowed_ms = self._allowed_ms(due.scenario, listing.generated_at)
        if now_ms >= allowed_ms:
            return True
        self._note(due.partition, due.profile)
        self._owe(Place(due.partition, due.profile.user_id, due.scenario), allowed_ms)
        return False

    def _allowed_ms(self, scenario: str, generated_ms: int) -> int:
        """Return from when on the list after one made at `generated_ms` may be made."""
        wait_ms = self._replica.policies.effective(scenario).policy.toplist.min_interval_ms
        if generated_ms < self._wrong_before_ms:
            wait_ms = min(wait_ms, WRONG_WAIT_MS)
        return generated_ms + wait_ms

    def _owe(self, place: Place, due_ms: int) -> None:
        if self._owed_from.get(place) != due_ms:
            self._owed_from[place] = due_ms
            heapq.heappush(self._owed, (due_ms, place))

    def wait_ms(self, now_ms: int, most: int) -> int:
        """Return how long nothing will be due, at most `most`."""
        waits = [most]
        if self._default_dirty and 0 in self._store.owned:
            waits.append(self._default_made_ms + DEFAULT_EVERY_MS - now_ms)
        if self._owed:
            waits.append(self._owed[0][0] - now_ms)
        if self.sweeping:
            waits.append(SWEEP_WAIT_MS)
        return max(0, min(waits))

    def _due_default(self, now_ms: int) -> list[Due]:
        if (
            not self._default_dirty
            or 0 not in self._store.owned
            or now_ms - self._default_made_ms < DEFAULT_EVERY_MS
        ):
            return []
        self._default_dirty = False
        self._default_made_ms = now_ms
        profile = self._store.get(0, DEFAULT_USER) or Profile(DEFAULT_USER)
        return [
            Due(partition=0, profile=profile, scenario=scenario)
            for scenario in sorted(self._replica.scenarios)
        ]

    def _due_owed(self, now_ms: int, most: int) -> list[Due]:
        due: list[Place] = []
        while self._owed and len(due) < most and self._owed[0][0] <= now_ms:
            due_ms, place = heapq.heappop(self._owed)
            if self._owed_from.get(place) == due_ms:
                del self._owed_from[place]
                due.append(place)
        return [found for found in self._found(due) if self._still_owed(found)]

    def _still_owed(self, due: Due) -> bool:
        listing = due.profile.lists[due.scenario]
        return listing.owed or listing.generated_at < self._wrong_before_ms

    def _found(self, places: Iterable[Place]) -> list[Due]:
        found = []
        for place in places:
            if place.partition in self._store.owned:
                profile = self._store.get(place.partition, place.user_id)
                if profile is not None and place.scenario in profile.lists:
                    found.append(
                        Due(partition=place.partition, profile=profile, scenario=place.scenario)
                    )
        return found

    def _note(self, partition: int, profile: Profile) -> None:
        if profile.user_id == DEFAULT_USER:
            return
        for scenario, listing in profile.lists.items():
            place = Place(partition, profile.user_id, scenario)
            if listing.owed:
                self._owe(place, self._allowed_ms(scenario, listing.generated_at))
            if not self._in_order:
                made = (listing.generated_at, profile.newest_ms)
                self._noted[place] = max(made, self._noted.get(place, made))
            else:
                self._staleness.published(
                    place, generated_ms=listing.generated_at, active_ms=profile.newest_ms
                )

    def _put_in_order(self) -> None:
        for place, (generated_ms, active_ms) in sorted(
            self._noted.items(), key=lambda entry: entry[1][0]
        ):
            self._staleness.published(place, generated_ms=generated_ms, active_ms=active_ms)
        self._noted, self._in_order = {}, True

    @property
    def _wrong_before_ms(self) -> int:
        """Before when lists were made that show what may be forbidden now, or have expired."""
        return max(self._sweep_ms, self._expired_ms)

    def _shortest_ms(self) -> tuple[int, int]:
        """Return how old lists may become, and when they expire: the shortest of all scenarios."""
        policies = self._replica.policies
        lists = [policies.effective(name).policy.toplist for name in self._replica.scenarios]
        lists = lists or [ListPolicy()]
        return (
            1000 * min(made.refresh_s for made in lists),
            1000 * min(made.expires_s for made in lists),
        )


DEFAULT_EVERY_MS = 100
SWEEP_WAIT_MS = 5
# A wrong list is to be gone within a minute: its interval takes half of that, the sweep the rest.
WRONG_WAIT_MS = 30_000
