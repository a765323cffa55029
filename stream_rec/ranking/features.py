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
def history_length(start, taken, user):  # type: ignore[no-untyped-def]
    """Return how many items the user took, as far as the history goes."""
    length = 0
    for entry in range(start[user], start[user + 1]):
        length += taken[entry]
    return length


@njit(cache=True, nogil=True)
def describe(view, users, user, similar, dense, chosen, told):  # type: ignore[no-untyped-def]
    """Write the features of one user's candidates, group by group."""
    features = told.features
    _tell_trends(view, chosen, features)
    _tell_links(dense.linked, dense.following, chosen, features)
    _tell_similar(view, users, user, similar, chosen, features)
    _tell_labels(view, users, user, dense.interest, chosen, features)
    _tell_price(view, users, user, chosen, features)
    _tell_own(users, user, chosen, features)
    _tell_push(view.matrix, users, user, chosen, told.push)


@njit(cache=True, nogil=True)
def _tell_trends(view, chosen, features):  # type: ignore[no-untyped-def]
    decayed, newcomers, counts = view.decayed, view.newcomers, view.counts
    last_seen_ms, rated, ratings = view.last_seen_ms, view.rating_count, view.rating_sum
    floor = np.float32(1e-2)
    for place in range(chosen.shape[0]):
        row = chosen[place]
        features[place, Feature.POPULAR_100] = np.log(decayed[row, 0] + floor)
        features[place, Feature.POPULAR_500] = np.log(decayed[row, 1] + floor)
        features[place, Feature.POPULAR_2000] = np.log(decayed[row, 2] + floor)
        features[place, Feature.POPULAR_16000] = np.log(decayed[row, 3] + floor)
        features[place, Feature.NEWCOMERS] = np.log(newcomers[row] + floor)
        count = counts[row]
        features[place, Feature.COUNT] = np.log1p(np.float32(count))
        features[place, Feature.NEVER_SEEN] = count == 0
        features[place, Feature.RARELY_SEEN] = count < 5
        since = np.float32(_NEVER)
        if count > 0:
            passed = max(view.now_ms - last_seen_ms[row], 0.0) * view.events_per_ms
            since = min(np.float32(passed), since)
        features[place, Feature.SINCE] = np.log1p(since)
        above = ratings[row] * 1e-3 - view.rating_mean * rated[row]
        features[place, Feature.RATING] = above / (rated[row] + 5.0)


@njit(cache=True, nogil=True)
def _tell_links(linked, following, chosen, features):  # type: ignore[no-untyped-def]
    for place in range(chosen.shape[0]):
        row = chosen[place]
        features[place, Feature.LINKED] = np.log(linked[row, 0] + np.float32(1e-4))
        features[place, Feature.LINKED_WIDE] = np.log(linked[row, 1] + np.float32(1e-4))
        features[place, Feature.FOLLOWING] = np.log(following[row] + np.float32(1e-3))


@njit(cache=True, nogil=True)
def _tell_similar(view, users, user, similar, chosen, features):  # type: ignore[no-untyped-def]
    matrix, text, other = view.matrix, similar.text, similar.other
    text_of, other_of = similar.text_of[user], similar.other_of[user]
    wide, last = _user_vector(matrix, users, user), _newest_vector(matrix, users, user)
    for place in range(chosen.shape[0]):
        row = chosen[place]
        features[place, Feature.LIKE_NEAR] = text[text_of, row] if text_of >= 0 else 0.0
        features[place, Feature.LIKE_OTHER] = other[other_of, row] if other_of >= 0 else 0.0
        features[place, Feature.LIKE_WIDE] = 0.0
        features[place, Feature.LIKE_LAST] = 0.0
        if row < matrix.shape[0]:
            features[place, Feature.LIKE_WIDE] = dot(matrix[row], wide)
            features[place, Feature.LIKE_LAST] = dot(matrix[row], last)


@njit(cache=True, nogil=True)
def _tell_own(users, user, chosen, features):  # type: ignore[no-untyped-def]
    """Tell how often and how lately the user took each item, and how much history there is."""
    start, end, rows, taken = users.start[user], users.start[user + 1], users.rows, users.taken
    length = history_length(users.start, taken, user)
    for place in range(chosen.shape[0]):
        count, newest, gap = 0, 0, 0
        if users.repeats[user]:
            for entry in range(start, end):
                gap += taken[entry]
                if taken[entry] and rows[entry] == chosen[place]:
                    count += 1
                    newest = gap if newest == 0 else newest
        features[place, Feature.OWN_COUNT] = np.log1p(np.float32(count))
        features[place, Feature.OWN_RECENCY] = 1.0 / newest if newest > 0 else 0.0
        features[place, Feature.HISTORY] = np.log1p(np.float32(length))
        features[place, Feature.HISTORY_NONE] = length == 0
        features[place, Feature.HISTORY_SHORT] = 0 < length < 3
        features[place, Feature.HISTORY_MIDDLE] = 3 <= length < 10
        features[place, Feature.HISTORY_LONG] = length >= 10


@njit(cache=True, nogil=True)
def _tell_price(view, users, user, chosen, features):  # type: ignore[no-untyped-def]
    """Tell how far a price is from what the user usually pays, in logarithms; 0 if unknown."""
    prices, rows, weights = view.price, users.rows, users.wide
    total, weight = np.float32(0.0), np.float32(0.0)
    for entry in range(users.start[user], users.start[user + 1]):
        price = prices[rows[entry]]
        if price >= 0.0 and weights[entry] > 0.0:
            total += weights[entry] * np.log1p(price)
            weight += weights[entry]
    for place in range(chosen.shape[0]):
        price = prices[chosen[place]]
        features[place, Feature.PRICE_GAP] = 0.0
        if weight > 0.0 and price >= 0.0:
            features[place, Feature.PRICE_GAP] = abs(np.log1p(price) - total / weight)


@njit(cache=True, nogil=True)
def _tell_labels(view, users, user, interest, chosen, features):  # type: ignore[no-untyped-def]
    """Tell the user's interest in an item's labels, averaged by how telling each label is."""
    kinds = (
        (view.categories, view.category_telling, interest[0]),
        (view.tags, view.tag_telling, interest[1]),
        (view.brands, view.brand_telling, interest[2]),
    )
    own = slice(users.start[user], users.start[user + 1])
    weights = np.ones(chosen.shape[0], np.float32)
    features[:, Feature.LABELS] = 0.0
    for kind in range(3):
        codes, telling, liking = kinds[kind]
        _add_interest(codes, users.rows[own], users.wide[own], liking)
        _match(codes, (telling, liking), chosen, features[:, Feature.LABELS], weights)
        _clear_interest(codes, users.rows[own], liking)
    for place in range(chosen.shape[0]):
        features[place, Feature.LABELS] /= weights[place]


@njit(cache=True, nogil=True)
def _add_interest(codes, rows, weights, liking):  # type: ignore[no-untyped-def]
    for entry in range(rows.shape[0]):
        for column in range(codes.shape[1]):
            code = codes[rows[entry], column]
            if code < 0:
                break
            liking[code] += weights[entry]


@njit(cache=True, nogil=True)
def _clear_interest(codes, rows, liking):  # type: ignore[no-untyped-def]
    for entry in range(rows.shape[0]):
        for column in range(codes.shape[1]):
            code = codes[rows[entry], column]
            if code < 0:
                break
            liking[code] = 0.0


@njit(cache=True, nogil=True)
def _match(codes, weighing, chosen, totals, weights):  # type: ignore[no-untyped-def]
    telling, liking = weighing
    for place in range(chosen.shape[0]):
        for column in range(codes.shape[1]):
            code = codes[chosen[place], column]
            if code < 0:
                break
            liked = min(max(liking[code], np.float32(-_MOST_LIKING)), np.float32(_MOST_LIKING))
            totals[place] += telling[code] * liked
            weights[place] += telling[code]


@njit(cache=True, nogil=True)
def _tell_push(matrix, users, user, chosen, push):  # type: ignore[no-untyped-def]
    """Tell how strongly the most similar refused item pushes each candidate away."""
    push[:] = 0.0
    for entry in range(users.start[user], users.start[user + 1]):
        refused, strength = users.rows[entry], users.push[entry]
        if strength <= 1e-3 or refused >= matrix.shape[0]:
            continue
        for place in range(chosen.shape[0]):
            if chosen[place] < matrix.shape[0]:
                near = strength * dot(matrix[chosen[place]], matrix[refused])
                push[place] = max(push[place], near)


@njit(cache=True, nogil=True)
def _user_vector(matrix, users, user):  # type: ignore[no-untyped-def]
    """Return the user's slowly fading vector, of length one, or zero."""
    out = np.zeros(matrix.shape[1], np.float32)
    for entry in range(users.start[user], users.start[user + 1]):
        if abs(users.wide[entry]) > 1e-2:
            add_weighted(matrix, users.rows[entry], users.wide[entry], out)
    return out / (np.sqrt(dot(out, out)) + np.float32(1e-9))


@njit(cache=True, nogil=True)
def _newest_vector(matrix, users, user):  # type: ignore[no-untyped-def]
    """Return the vector of the newest consumed item, or zero."""
    out = np.zeros(matrix.shape[1], np.float32)
    last = newest_taken(users.start, users.taken, users.rows, user)
    if last >= 0:
        add_weighted(matrix, last, np.float32(1.0), out)
    return out


_NEVER = 1e5  # events since an item that was never consumed
_MOST_LIKING = 3.0
