"""The candidates of the newest lists as they were described then, to learn from what comes next.

What a user takes is an answer to the list shown, so its features are frozen at that moment (it also
spares describing candidates twice). Forgotten lists cost nothing but the work of describing anew.
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
    """The newest list of each of the users who were served last, at most so many."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._newest: OrderedDict[tuple[str, str], Impression] = OrderedDict()

    def __len__(self) -> int:
        return len(self._newest)

    def keep(self, user_id: str, scenario: str, impression: Impression) -> None:
        """Remember a list, in place of the user's older one."""
        self._newest[user_id, scenario] = impression
        self._newest.move_to_end((user_id, scenario))
        if len(self._newest) > self._most:
            self._newest.popitem(last=False)

    def forget(self, user_id: str, scenarios: Iterable[str]) -> None:
        """Drop a user's lists."""
        for scenario in scenarios:
            self._newest.pop((user_id, scenario), None)

    def find(self, profile: Profile, scenario: str) -> Impression | None:
        """Return the list that was made from this very profile, if it is remembered."""
        found = self._newest.get((profile.user_id, scenario))
        return found if found and found.events_applied == profile.events_applied else None
