"""Which given items a list may show to one user, as candidates are chosen for all users at once.

For the few items that come from elsewhere than the candidates: pins, alternatives, back-fill.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.ranking.users import Request, bars


def showable(
    catalogue: Catalogue, request: Request, rows: NDArray[np.int32], *, now_ms: int
) -> NDArray[np.bool_]:
    """Return which rows are recommendable and not excluded for this user by the policy."""
    allowed = catalogue.recommendable[rows]
    profile, exclude = request.profile, request.policy.toplist.exclude
    if profile is None:
        return allowed
    ids, hashes = catalogue.items.ids, catalogue.items.hashes[rows]
    if exclude.disliked:
        allowed &= ~profile.disliked.holds(hashes)
    if exclude.consumed and exclude.cooldown_days is None:
        allowed &= ~profile.consumed.holds(hashes)
    barred = {past.item_id for past in profile.history if bars(past, request.policy, now_ms=now_ms)}
    if barred:
        allowed &= np.array([ids[row] not in barred for row in rows], np.bool_)
    return allowed
