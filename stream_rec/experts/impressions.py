"""The candidates of the newest lists as they were described then, to learn from what comes next.

What a user takes is an answer to the list shown, so its features are frozen at that moment (it also
spares describing candidates twice). Forgotten lists cost nothing but the work of describing anew.
All lists lie one behind the other in one ring of fixed size: arrays of their own, of other sizes,
freed in another order than they were made, leave holes in a heap that grow for hours.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.profiles.profile import Profile


class Impression(NamedTuple):
    """One list's candidates; half precision is enough for features and halves the memory."""

    events_applied: int  # of the profile that the list was made from
    rows: NDArray[np.int32]  # (candidates,)
    features: NDArray[np.float16]  # (candidates, features)
    history: int


class Impressions:
    """The newest list of each of the users who were served last, `most` candidates in all."""

    def __init__(self, most: int = 700_000) -> None:
        self._most = most
        self._rows = np.empty(0, np.int32)
        self._features = np.empty((0, 0), np.float16)
        self._next = 0  # where the next list begins; all that lies behind it is older
        self._newest: OrderedDict[tuple[str, str], _Kept] = OrderedDict()  # oldest first

    def __len__(self) -> int:
        return len(self._newest)

    def keep(
        self,
        profile: Profile,
        scenario: str,
        *,
        rows: NDArray[np.int32],
        features: NDArray[np.float32],
        history: int,
    ) -> None:
        """Remember the list made from a profile, in place of the user's older one."""
        if not len(self._rows):
            self._rows = np.empty(self._most, np.int32)
            self._features = np.empty((self._most, features.shape[1]), np.float16)
        key, count = (profile.user_id, scenario), len(rows)
        self._newest.pop(key, None)
        start = self._room(max(count, _LEAST))
        stop = start + count
        self._rows[start:stop], self._features[start:stop] = rows, features
        self._newest[key] = _Kept(profile.events_applied, start, stop, history)

    def forget(self, user_id: str, scenarios: Iterable[str]) -> None:
        """Drop a user's lists."""
        for scenario in scenarios:
            self._newest.pop((user_id, scenario), None)

    def find(self, profile: Profile, scenario: str) -> Impression | None:
        """Return the list made from this very profile, if remembered; valid until the next one."""
        kept = self._newest.get((profile.user_id, scenario))
        if kept is None or kept.events_applied != profile.events_applied:
            return None
        part = slice(kept.start, kept.stop)
        return Impression(kept.events_applied, self._rows[part], self._features[part], kept.history)

    def _room(self, count: int) -> int:
        """Return where so many candidates fit; lists that lie there are forgotten."""
        if self._next + count > self._most:
            self._forget(self._next, self._most)
            self._next = 0
        start, self._next = self._next, self._next + count
        self._forget(start, self._next)
        return start

    def _forget(self, start: int, stop: int) -> None:
        """Forget what begins in a part of the ring that comes next: the oldest lists there are."""
        while self._newest and start <= next(iter(self._newest.values())).start < stop:
            self._newest.popitem(last=False)


class _Kept(NamedTuple):
    events_applied: int
    start: int
    stop: int
    history: int


_LEAST = 64  # places that a list takes, so that short ones are not remembered without number
