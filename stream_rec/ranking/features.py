"""Features of candidates: what the re-ranker reads of each. The one place where a feature is added.

A feature is a member of `Feature`, a line in `describe`, and a centre and scale in `SCALES`; the
re-ranker's start weights name features, so a new one starts with the weight zero.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_rec.catalogue.vectors import add_weighted, dot
from stream_rec.ranking.candidates import newest_taken


class Feature(IntEnum):
    """Columns of the feature matrix."""

    POPULAR_100 = 0
    POPULAR_500 = 1
    POPULAR_2000 = 2
    POPULAR_16000 = 3
    NEWCOMERS = 4
    LINKED = 5
    LINKED_WIDE = 6
    FOLLOWING = 7
    LIKE_NEAR = 8
    LIKE_LAST = 9
    LIKE_WIDE = 10
    LIKE_OTHER = 11
    COUNT = 12
    NEVER_SEEN = 13
    RARELY_SEEN = 14
    SINCE = 15
    OWN_COUNT = 16
    OWN_RECENCY = 17
    LABELS = 18
    PRICE_GAP = 19
    RATING = 20
    HISTORY = 21
    HISTORY_NONE = 22
    HISTORY_SHORT = 23
    HISTORY_MIDDLE = 24
    HISTORY_LONG = 25


class Told(NamedTuple):
    """What `describe` writes: features, and how much refused items push each candidate away."""

    features: NDArray[np.float32]  # (candidates, features)
    push: NDArray[np.float32]  # (candidates,)


@njit(cache=True, nogil=True)
def history_length(users, user):  # type: ignore[no-untyped-def]
    """Return how many items the user took, as far as the history goes."""
    taken = 0
    for entry in range(users.start[user], users.start[user + 1]):
        taken += users.taken[entry]
    return taken


@njit(cache=True, nogil=True)
def describe(view, users, user, similar, dense, chosen, told):  # type: ignore[no-untyped-def]
    """Write the features of one user's candidates."""
    features, push = told
    length = history_length(users, user)
    wide, last = _user_vector(view, users, user), newest_taken(users, user)
    _add_interest(view, users, user, dense.interest, np.float32(1.0))
    price = _usual_price(view, users, user)
    text_of, other_of = similar.text_of[user], similar.other_of[user]
    for place in range(chosen.shape[0]):
        row, x = chosen[place], features[place]
        _tell_trend(view, row, x)
        x[Feature.LINKED] = np.log(dense.linked[row, 0] + np.float32(1e-4))
        x[Feature.LINKED_WIDE] = np.log(dense.linked[row, 1] + np.float32(1e-4))
        x[Feature.FOLLOWING] = np.log(dense.following[row] + np.float32(1e-3))
        x[Feature.LIKE_NEAR] = similar.text[text_of, row] if text_of >= 0 else 0.0
        x[Feature.LIKE_OTHER] = similar.other[other_of, row] if other_of >= 0 else 0.0
        x[Feature.LIKE_LAST] = x[Feature.LIKE_WIDE] = 0.0
        if row < view.matrix.shape[0]:
            vector = view.matrix[row]
            x[Feature.LIKE_WIDE] = dot(vector, wide)
            if 0 <= last < view.matrix.shape[0]:
                x[Feature.LIKE_LAST] = dot(vector, view.matrix[last])
        x[Feature.OWN_COUNT] = x[Feature.OWN_RECENCY] = 0.0
        if users.repeats[user]:
            _tell_own(users, user, row, x)
        x[Feature.LABELS] = _label_match(view, row, dense.interest)
        x[Feature.PRICE_GAP] = 0.0
        if price > 0.0 and view.price[row] >= 0.0:
            x[Feature.PRICE_GAP] = abs(np.log1p(view.price[row]) - price)
        x[Feature.HISTORY] = np.log1p(np.float32(length))
        x[Feature.HISTORY_NONE] = length == 0
        x[Feature.HISTORY_SHORT] = 0 < length < 3
        x[Feature.HISTORY_MIDDLE] = 3 <= length < 10
        x[Feature.HISTORY_LONG] = length >= 10
        push[place] = _push(view, users, user, row)
    _add_interest(view, users, user, dense.interest, np.float32(0.0))


@njit(cache=True, nogil=True)
def _tell_trend(view, row, x):  # type: ignore[no-untyped-def]
    floor = np.float32(1e-2)
    x[Feature.POPULAR_100] = np.log(view.decayed[row, 0] + floor)
    x[Feature.POPULAR_500] = np.log(view.decayed[row, 1] + floor)
    x[Feature.POPULAR_2000] = np.log(view.decayed[row, 2] + floor)
    x[Feature.POPULAR_16000] = np.log(view.decayed[row, 3] + floor)
    x[Feature.NEWCOMERS] = np.log(view.newcomers[row] + floor)
    count = view.counts[row]
    x[Feature.COUNT] = np.log1p(np.float32(count))
    x[Feature.NEVER_SEEN] = count == 0
    x[Feature.RARELY_SEEN] = count < 5
    since = np.float32(_NEVER)
    if count > 0:
        passed = max(view.now_ms - view.last_seen_ms[row], 0.0) * view.events_per_ms
        since = min(np.float32(passed), since)
    x[Feature.SINCE] = np.log1p(since)
    x[Feature.RATING] = 0.0
    if view.rating_count[row] > 0:
        total = view.rating_sum[row] * 1e-3 - view.rating_mean * view.rating_count[row]
        x[Feature.RATING] = total / (view.rating_count[row] + 5.0)


@njit(cache=True, nogil=True)
def _tell_own(users, user, row, x):  # type: ignore[no-untyped-def]
    count, newest, gap = 0, 0, 0
    for entry in range(users.start[user], users.start[user + 1]):
        if users.taken[entry]:
            gap += 1
            if users.rows[entry] == row:
                count += 1
                newest = gap if newest == 0 else newest
    x[Feature.OWN_COUNT] = np.log1p(np.float32(count))
    x[Feature.OWN_RECENCY] = np.float32(1.0) / newest if newest > 0 else np.float32(0.0)


@njit(cache=True, nogil=True)
def _user_vector(view, users, user):  # type: ignore[no-untyped-def]
    """Return the user's slowly fading vector, of length one, or zero."""
    out = np.zeros(view.matrix.shape[1], np.float32)
    for entry in range(users.start[user], users.start[user + 1]):
        if abs(users.wide[entry]) > 1e-2:
            add_weighted(view.matrix, users.rows[entry], users.wide[entry], out)
    return out / (np.sqrt(dot(out, out)) + np.float32(1e-9))


@njit(cache=True, nogil=True)
def _usual_price(view, users, user):  # type: ignore[no-untyped-def]
    """Return the faded mean of the logarithms of the prices of what the user liked, 0 for none."""
    total, weights = np.float32(0.0), np.float32(0.0)
    for entry in range(users.start[user], users.start[user + 1]):
        price, weight = view.price[users.rows[entry]], users.wide[entry]
        if price >= 0.0 and weight > 0.0:
            total += weight * np.log1p(price)
            weights += weight
    return total / weights if weights > 0.0 else np.float32(0.0)


@njit(cache=True, nogil=True)
def _add_interest(view, users, user, interest, factor):  # type: ignore[no-untyped-def]
    """Add the user's interest in labels to the dense arrays, or with factor 0 clear them."""
    for entry in range(users.start[user], users.start[user + 1]):
        row, weight = users.rows[entry], users.wide[entry]
        for kind, codes in enumerate((view.categories, view.tags, view.brands)):
            for column in range(codes.shape[1]):
                code = codes[row, column]
                if code < 0:
                    break
                interest[kind, code] = factor * (interest[kind, code] + weight)


@njit(cache=True, nogil=True)
def _label_match(view, row, interest):  # type: ignore[no-untyped-def]
    """Return the user's interest in an item's labels, averaged by how telling each label is."""
    total, weights = np.float32(0.0), np.float32(1.0)
    codes_of = (view.categories, view.tags, view.brands)
    telling_of = (view.category_telling, view.tag_telling, view.brand_telling)
    for kind in range(3):
        codes = codes_of[kind]
        for column in range(codes.shape[1]):
            code = codes[row, column]
            if code < 0:
                break
            telling = telling_of[kind][code]
            total += telling * min(max(interest[kind, code], np.float32(-3.0)), np.float32(3.0))
            weights += telling
    return total / weights


@njit(cache=True, nogil=True)
def _push(view, users, user, row):  # type: ignore[no-untyped-def]
    """Return how strongly the most similar refused item pushes a candidate away."""
    worst = np.float32(0.0)
    for entry in range(users.start[user], users.start[user + 1]):
        refused = users.rows[entry]
        if users.push[entry] > 1e-3 and max(row, refused) < view.matrix.shape[0]:
            near = dot(view.matrix[row], view.matrix[refused])
            worst = max(worst, users.push[entry] * near)
    return worst


_NEVER = 1e5  # events since an item that was never consumed
