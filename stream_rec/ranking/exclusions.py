"""Which given items a list may show to one user, as candidates are chosen for all users at once.

For the few items that come from elsewhere than the candidates: pins, alternatives, back-fill.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.events import DAY_MS
from stream_rec.profiles.signals import is_negative
from stream_rec.ranking.users import Request


def showable(
    catalogue: Catalogue, request: Request, rows: NDArray[np.int32], *, now_ms: int
) -> NDArray[np.bool_]:
    """Return which rows are recommendable and not excluded for this user by the policy."""
    allowed = catalogue.recommendable[rows]
    profile, exclude = request.profile, request.policy.toplist.exclude
    if profile is None:
        return allowed
    ids, hashes = catalogue.items.ids, catalogue.items.hashes[rows]
    barred: set[str] = set()
    if exclude.disliked:
        allowed &= ~profile.disliked.holds(hashes)
        signals = request.policy.signals
        barred |= {past.item_id for past in profile.history if is_negative(past, signals)}
    if exclude.consumed and exclude.cooldown_days is None:
        allowed &= ~profile.consumed.holds(hashes)
    elif exclude.consumed:
        since_ms = now_ms - (exclude.cooldown_days or 0.0) * DAY_MS
        barred |= {
            past.item_id for past in profile.history if past.consuming and past.timestamp > since_ms
        }
    if barred:
        allowed &= np.array([ids[row] not in barred for row in rows], np.bool_)
    return allowed
