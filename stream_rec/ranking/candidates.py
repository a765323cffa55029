"""Candidates of one list: the union of what every expert puts first, without what may not be shown.

Compiled code over one user at a time; `gather` also leaves the user's links in the dense arrays,
where features are read from them, and `clear` takes everything back. A function is called once per
expert, never once per item: passing a view along costs more than looking at an item.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.vectors import dot_of_bytes
from stream_rec.compiled import kernel
from stream_rec.experts.co_visitation import spread_following, spread_links
from stream_rec.experts.leaders import (
    BARRED,
    CHOSEN,
    FREE,
    best_of_all,
    best_of_some,
    sum_of_exponentials,
)
from stream_rec.profiles.consumed import BLOOM_BITS, PROBES
from stream_rec.statistics.item_index import find_row

SHARP = 12.0  # cosines times this are the logarithms of what a text expert believes
MOST = 512  # candidates of one list


class Heaps(NamedTuple):
    """Room for the leaders of one expert at a time."""

    rows: NDArray[np.int32]
    keys: NDArray[np.float32]
    best_rows: NDArray[np.int32]  # the few best of the co-visited
    best_keys: NDArray[np.float32]


def heaps() -> Heaps:
    """Return room for the expert that puts most items forward."""
    most = max(_LINKED, _FOLLOWING, _TEXT, _OTHER, _TOWER)
    return Heaps(
        np.empty(most, np.int32),
        np.empty(most, np.float32),
        np.empty(_BEST, np.int32),
        np.empty(_BEST, np.float32),
    )


class Similar(NamedTuple):
    """Similarities of all items to the users who have a vector, by text and by other modalities."""

    text: NDArray[np.float32]  # (users with a vector, items)
    text_of: NDArray[np.int32]  # (users,) row of `text`, -1 for none
    other: NDArray[np.float32]  # (users with another vector, items) the best of all modalities
    other_of: NDArray[np.int32]
    tower: NDArray[np.float32]  # (users, dimension) unit vectors, or zero
    tower_matrix: NDArray[np.float32]  # (capacity, dimension), no rows where no tower serves
    tower_small: NDArray[np.int8]  # the same in bytes
    tower_worth: NDArray[np.float32]


class Gathered(NamedTuple):
    """What was met while candidates were chosen."""

    chosen: int  # candidates
    touched: int  # rows with links
    after: int  # rows that followed the newest item
    linked_sum: float  # of all links
    most_similar: float  # by text, of what may be shown
    text_log_sum: float  # logarithm of the sum of exp(SHARP * cosine) over the catalogue


@kernel
def gather(view, users, user, similar, dense, heaps, chosen):  # type: ignore[no-untyped-def]
    """Choose the candidates of one user; see `Gathered` for what comes back."""
    mark, allowed = dense.mark, view.allowed
    _bar(view, users, user, mark, BARRED)
    filters = users.blooms[users.bloom_start[user] : users.bloom_start[user + 1]]
    door = (allowed, view.hashes, filters, mark)
    count = _admit(door, view.top, chosen, 0)
    touched, linked_sum = _spread(view, users, user, dense)
    some, rows, keys = dense.touched[:touched], heaps.rows[:_LINKED], heaps.keys[:_LINKED]
    held = best_of_some(some, dense.linked, allowed, mark, rows, keys)
    best = best_of_some(rows[:held], dense.linked, allowed, mark, heaps.best_rows, heaps.best_keys)
    count = _admit(door, rows[:held], chosen, count)
    count = _admit_near(door, view, (heaps.best_rows[:best], _NEAR_LINKED), chosen, count)
    newest, after = newest_taken(users, user, _NEWEST), 0
    if newest.shape[0] > 0:
        known = (view.following, view.counts, view.newcomers_credits)
        after = spread_following(known, newest[0], dense.following, dense.after)
        some, rows, keys = dense.after[:after], heaps.rows[:_FOLLOWING], heaps.keys[:_FOLLOWING]
        held = best_of_some(some, dense.following, allowed, mark, rows, keys)
        count = _admit(door, rows[:held], chosen, count)
        count = _admit_near(door, view, (newest, _NEAR_NEWEST), chosen, count)
    most_similar, text_log_sum = np.float32(-1.0), np.log(view.known)
    if similar.text_of[user] >= 0:
        scores, rows = similar.text[similar.text_of[user]], heaps.rows[:_TEXT]
        keys = heaps.keys[:_TEXT]
        held = best_of_all(scores, allowed, mark, rows, keys)
        text_log_sum = np.log(sum_of_exponentials(scores, SHARP))
        most_similar = keys[:held].max() if held > 0 else most_similar
        count = _admit(door, rows[:held], chosen, count)
    if similar.other_of[user] >= 0:
        rows, keys = heaps.rows[:_OTHER], heaps.keys[:_OTHER]
        held = best_of_all(similar.other[similar.other_of[user]], allowed, mark, rows, keys)
        count = _admit(door, rows[:held], chosen, count)
    held = _category_leaders(view, users, user, heaps.rows)
    count = _admit(door, heaps.rows[:held], chosen, count)
    if users.repeats[user]:
        own = slice(users.start[user], users.start[user + 1])
        count = _admit(door, users.rows[own][users.taken[own]], chosen, count)
    if similar.tower_matrix.shape[0] > 0 and newest.shape[0] > 0:
        rows, keys, towered = heaps.rows[:_TOWER], heaps.keys[:_TOWER], dense.towered
        _compare_known(view.counts, similar, user, towered)
        held = best_of_all(towered[: view.hashes.shape[0]], allowed, mark, rows, keys)
        count = _admit(door, rows[:held], chosen, count)
    return Gathered(count, touched, after, linked_sum, float(most_similar), text_log_sum)


@kernel
def _compare_known(counts, similar, user, out):  # type: ignore[no-untyped-def]
    """Write the cosine, by the tower, of a user with each item that anybody took; -1 for others."""
    vector, small, worth = similar.tower[user], similar.tower_small, similar.tower_worth
    for row in range(out.shape[0]):
        out[row] = np.float32(-1.0)
        if row < worth.shape[0] and row < counts.shape[0] and counts[row] > 0:
            out[row] = worth[row] * dot_of_bytes(small[row], vector)


@kernel
def clear(view, users, user, dense, gathered, chosen):  # type: ignore[no-untyped-def]
    """Leave the dense arrays zero again; `gathered` is what `gather` returned."""
    linked, following, mark = dense.linked, dense.following, dense.mark
    for row in dense.touched[: gathered.touched]:
        linked[row] = 0.0
    for row in dense.after[: gathered.after]:
        following[row] = 0.0
    for row in chosen:
        mark[row] = FREE
    _bar(view, users, user, mark, FREE)


@kernel
def newest_taken(users, user, most):  # type: ignore[no-untyped-def]
    """Return the rows of the user's newest consumed items, at most so many, newest first."""
    taken, rows = users.taken, users.rows
    out, found = np.empty(most, np.int32), 0
    for entry in range(users.start[user], users.start[user + 1]):
        if found == most:
            break
        if taken[entry]:
            out[found] = rows[entry]
            found += 1
    return out[:found]


@kernel
def _bar(view, users, user, mark, value):  # type: ignore[no-untyped-def]
    """Mark what may not be shown, as far as it is known item by item."""
    rows, barred = users.rows, users.barred
    for entry in range(users.start[user], users.start[user + 1]):
        if barred[entry]:
            mark[rows[entry]] = value
    slot_hash, slot_row, hashes = view.slot_hash, view.slot_row, users.hashes
    for place in range(users.hash_start[user], users.hash_start[user + 1]):
        row = find_row(slot_hash, slot_row, hashes[place])
        if row >= 0:
            mark[row] = value


@kernel
def _admit(door, rows, chosen, count):  # type: ignore[no-untyped-def]
    """Take items among the candidates, unless they are there or must not be; return how many."""
    allowed, hashes, filters, mark = door
    for row in rows:
        if mark[row] != FREE or not allowed[row] or count == chosen.shape[0]:
            continue
        if filters.shape[0] > 0 and _in_filters(hashes[row], filters):
            continue
        mark[row] = CHOSEN
        chosen[count] = row
        count += 1
    return count


@kernel
def _in_filters(hashed, filters):  # type: ignore[no-untyped-def]
    """Return whether any Bloom filter holds a hash; probes as in `profiles.consumed.probes`."""
    low, high = hashed & np.uint64(0xFFFFFFFF), (hashed >> np.uint64(32)) | np.uint64(1)
    for number in range(filters.shape[0]):
        hits = 0
        for probe in range(PROBES):
            place = (low + np.uint64(probe) * high) % np.uint64(BLOOM_BITS)
            byte = filters[number, place >> np.uint64(3)]
            hits += (byte >> np.uint8(place & np.uint64(7))) & 1
        if hits == PROBES:
            return True
    return False


@kernel
def _admit_near(door, view, sources, chosen, count):  # type: ignore[no-untyped-def]
    """Take the nearest neighbours by text of some items; return how many candidates there are."""
    near = view.near
    rows, most = sources
    for row in rows:
        neighbours = near[row, :most]
        count = _admit(door, neighbours[neighbours >= 0], chosen, count)
    return count


@kernel
def _spread(view, users, user, dense):  # type: ignore[no-untyped-def]
    """Spread the links of the newest sources; return how many rows have any, and their sum."""
    taken, rows, pulls = users.taken, users.rows, users.pull
    linked, touched = dense.linked, dense.touched
    known = (view.links, view.counts, view.newcomers_credits)
    found, gap = 0, 0
    for entry in range(users.start[user], users.start[user + 1]):
        if not taken[entry]:
            continue
        if pulls[entry] > 0.0:
            factor = pulls[entry] * np.float32(_FADING**gap)
            found = spread_links(known, rows[entry], factor, linked, touched, found)
        gap += 1
        if gap == _SOURCES:
            break
    total = 0.0
    for row in touched[:found]:
        total += linked[row]
    return found, total


@kernel
def _category_leaders(view, users, user, out):  # type: ignore[no-untyped-def]
    """Write the leaders of the categories of the newest liked items; return how many."""
    categories, leaders = view.categories, view.category_top
    asked, count = 0, 0
    for entry in range(users.start[user], users.start[user + 1]):
        if users.near[entry] <= 0.0:
            continue
        row = users.rows[entry]
        for column in range(categories.shape[1]):
            code = categories[row, column]
            if code < 0 or asked == _CATEGORIES:
                break
            if code >= leaders.shape[0] or leaders[code, 0] < 0:
                continue
            for rank in range(leaders.shape[1]):
                if leaders[code, rank] >= 0:
                    out[count] = leaders[code, rank]
                    count += 1
            asked += 1
    return count


_LINKED = 80  # by co-visitation
_FOLLOWING = 40  # by what came right after the newest item
_TEXT = 60
_OTHER = 40
_TOWER = 60
_CATEGORIES = 3
_BEST, _NEAR_LINKED = 10, 5  # neighbours by text of what is co-visited most
_NEWEST, _NEAR_NEWEST = 3, 12  # and of the newest items
_FADING, _SOURCES = 0.7, 12  # what each older source of links counts
