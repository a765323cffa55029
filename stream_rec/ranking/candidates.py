"""Candidates of one list: the union of what every expert puts first, without what may not be shown.

Compiled code over one user at a time; `gather` also leaves the user's links in the dense arrays,
where features are read from them, and `clear` takes everything back.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_rec.experts.co_visitation import spread_following, spread_links
from stream_rec.experts.leaders import best_of_all, best_of_some
from stream_rec.profiles.consumed import BLOOM_BITS, PROBES
from stream_rec.statistics.item_index import find_row

FREE, BARRED, CHOSEN = 0, 1, 2
MOST = 640  # candidates of one list


class Heaps(NamedTuple):
    """Room for the leaders of one expert at a time."""

    rows: NDArray[np.int32]
    keys: NDArray[np.float32]


class Similar(NamedTuple):
    """Similarities of all items to the users who have a vector, by text and by other modalities."""

    text: NDArray[np.float32]  # (users with a vector, items)
    text_of: NDArray[np.int32]  # (users,) row of `text`, -1 for none
    other: NDArray[np.float32]  # (users with another vector, items) the best of all modalities
    other_of: NDArray[np.int32]


@njit(cache=True, nogil=True)
def gather(view, users, user, similar, dense, heaps, chosen):  # type: ignore[no-untyped-def]
    """Choose the candidates of one user.

    Returns how many there are, and how many rows `touched` and `after` hold.
    """
    _bar(view, users, user, dense.mark)
    count = 0
    for row in view.top:
        count = _admit(view, users, user, row, dense.mark, chosen, count)
    touched = _spread(view, users, user, dense)
    count, after = _admit_linked(view, users, user, touched, dense, heaps, chosen, count)
    if similar.text_of[user] >= 0:
        scores = similar.text[similar.text_of[user]]
        count = _admit_best(view, users, user, scores, _TEXT, dense, heaps, chosen, count)
    if similar.other_of[user] >= 0:
        scores = similar.other[similar.other_of[user]]
        count = _admit_best(view, users, user, scores, _OTHER, dense, heaps, chosen, count)
    count = _admit_categories(view, users, user, dense, chosen, count)
    if users.repeats[user]:
        for entry in range(users.start[user], users.start[user + 1]):
            if users.taken[entry]:
                row = users.rows[entry]
                count = _admit(view, users, user, row, dense.mark, chosen, count)
    return count, touched, after


@njit(cache=True, nogil=True)
def clear(view, users, user, dense, gathered, chosen):  # type: ignore[no-untyped-def]
    """Leave the dense arrays zero again; `gathered` is what `gather` returned."""
    _, touched, after = gathered
    for place in range(touched):
        dense.linked[dense.touched[place]] = 0.0
    for place in range(after):
        dense.following[dense.after[place]] = 0.0
    for row in chosen:
        dense.mark[row] = FREE
    _bar(view, users, user, dense.mark, FREE)


@njit(cache=True, nogil=True)
def _bar(view, users, user, mark, value=BARRED):  # type: ignore[no-untyped-def]
    for entry in range(users.start[user], users.start[user + 1]):
        if users.barred[entry]:
            mark[users.rows[entry]] = value
    for place in range(users.hash_start[user], users.hash_start[user + 1]):
        row = find_row(view.slot_hash, view.slot_row, users.hashes[place])
        if row >= 0:
            mark[row] = value


@njit(cache=True, nogil=True)
def _in_filter(hashed, bloom):  # type: ignore[no-untyped-def]
    low, high = hashed & np.uint64(0xFFFFFFFF), (hashed >> np.uint64(32)) | np.uint64(1)
    for probe in range(PROBES):
        place = (low + np.uint64(probe) * high) % np.uint64(BLOOM_BITS)
        if not (bloom[place >> np.uint64(3)] >> np.uint8(place & np.uint64(7))) & 1:
            return False
    return True


@njit(cache=True, nogil=True)
def _admit(view, users, user, row, mark, chosen, count):  # type: ignore[no-untyped-def]
    """Take one item among the candidates, unless it is one or must not be."""
    if mark[row] != FREE or not view.allowed[row] or count == chosen.shape[0]:
        return count
    for place in range(users.bloom_start[user], users.bloom_start[user + 1]):
        if _in_filter(view.hashes[row], users.blooms[place]):
            return count
    mark[row] = CHOSEN
    chosen[count] = row
    return count + 1


@njit(cache=True, nogil=True)
def _spread(view, users, user, dense):  # type: ignore[no-untyped-def]
    """Spread the links of the newest sources over the dense arrays; return how many rows have any."""
    touched, gap = 0, 0
    for entry in range(users.start[user], users.start[user + 1]):
        if not users.taken[entry]:
            continue
        pull, row = users.pull[entry], users.rows[entry]
        if pull > 0.0:
            near = np.float32(_NEAR**gap) if gap < _NEAR_SOURCES else np.float32(0.0)
            factors = (pull * near, pull * np.float32(_WIDE**gap))
            touched = spread_links(
                view.links, view.counts, row, factors, dense.linked, dense.touched, touched
            )
        gap += 1
        if gap == _WIDE_SOURCES:
            break
    return touched


@njit(cache=True, nogil=True)
def newest_taken(users, user):  # type: ignore[no-untyped-def]
    """Return the row of the user's newest consumed item, -1 for none."""
    for entry in range(users.start[user], users.start[user + 1]):
        if users.taken[entry]:
            return users.rows[entry]
    return np.int32(-1)


@njit(cache=True, nogil=True)
def _admit_linked(view, users, user, touched, dense, heaps, chosen, count):  # type: ignore[no-untyped-def]
    rows, keys = heaps.rows[:_LINKED], heaps.keys[:_LINKED]
    held = best_of_some(dense.touched[:touched], dense.linked[:, 0], view.allowed, dense.mark, rows, keys)
    for place in range(held):
        count = _admit(view, users, user, rows[place], dense.mark, chosen, count)
    last, after = newest_taken(users, user), 0
    if last >= 0:
        after = spread_following(
            view.following, view.counts, last, dense.following, dense.after
        )
        rows, keys = heaps.rows[:_FOLLOWING], heaps.keys[:_FOLLOWING]
        held = best_of_some(
            dense.after[:after], dense.following, view.allowed, dense.mark, rows, keys
        )
        for place in range(held):
            count = _admit(view, users, user, rows[place], dense.mark, chosen, count)
    return count, after


@njit(cache=True, nogil=True)
def _admit_best(view, users, user, scores, most, dense, heaps, chosen, count):  # type: ignore[no-untyped-def]
    rows, keys = heaps.rows[:most], heaps.keys[:most]
    held = best_of_all(scores, view.allowed, dense.mark, rows, keys)
    for place in range(held):
        count = _admit(view, users, user, rows[place], dense.mark, chosen, count)
    return count


@njit(cache=True, nogil=True)
def _admit_categories(view, users, user, dense, chosen, count):  # type: ignore[no-untyped-def]
    """Take the leaders of the categories of the newest liked items."""
    asked = 0
    for entry in range(users.start[user], users.start[user + 1]):
        if users.near[entry] <= 0.0:
            continue
        row = users.rows[entry]
        for column in range(view.categories.shape[1]):
            code = view.categories[row, column]
            if code < 0:
                break
            if code >= view.category_top.shape[0] or view.category_top[code, 0] < 0:
                continue
            for leader in view.category_top[code]:
                if leader >= 0:
                    count = _admit(view, users, user, leader, dense.mark, chosen, count)
            asked += 1
            if asked == _CATEGORIES:
                return count
    return count


_LINKED = 120  # by co-visitation
_FOLLOWING = 40  # by what came right after the newest item
_TEXT = 100
_OTHER = 40
_CATEGORIES = 4
_NEAR, _NEAR_SOURCES = 0.7, 20
_WIDE, _WIDE_SOURCES = 0.93, 20
LARGEST_HEAP = max(_LINKED, _FOLLOWING, _TEXT, _OTHER)
