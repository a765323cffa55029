"""The profiles that a worker keeps in memory: those read or written last, at a bounded size.

A profile grows with its user's events to some fifteen times what a newcomer's takes, so a bound on
their number would let a process grow for days. What counts is the events that they remember.
Knows no disk.
"""

from collections import OrderedDict

from stream_rec.profiles.profile import Profile


class HotProfiles:
    """As many profiles as `most` of twenty events take; the least recently used one goes first."""

    def __init__(self, most: int) -> None:
        self._room = most * (EVENTS + OVERHEAD)
        self._taken = 0
        self._kept: OrderedDict[tuple[int, str], Profile] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, partition: int, user_id: str) -> Profile | None:
        """Return a profile if it is here, which makes it the last one to go."""
        found = self._kept.get((partition, user_id))
        if found is not None:
            self._kept.move_to_end((partition, user_id))
        return found

    def keep(self, partition: int, profile: Profile) -> None:
        """Take a profile in, in place of the user's older one."""
        self.drop(partition, profile.user_id)
        self._kept[partition, profile.user_id] = profile
        self._taken += _size(profile)
        while self._taken > self._room:
            _, gone = self._kept.popitem(last=False)
            self._taken -= _size(gone)

    def drop(self, partition: int, user_id: str) -> None:
        """Forget one profile, if it is here."""
        gone = self._kept.pop((partition, user_id), None)
        if gone is not None:
            self._taken -= _size(gone)

    def drop_partition(self, partition: int) -> None:
        """Forget the profiles of a partition."""
        for place in [place for place in self._kept if place[0] == partition]:
            self.drop(*place)


def _size(profile: Profile) -> int:
    return len(profile.history) + OVERHEAD


EVENTS = 20
OVERHEAD = 8  # events that take as much as the rest of a profile: marks, hashes, names
