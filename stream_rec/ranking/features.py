"""Features of candidates: what the re-ranker reads of each. The one place where a feature is added.

A feature is a member of `Feature`, a line in one of the groups below, and a centre and scale beside
the start weights; those go by name, so a new feature starts with the weight zero.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.vectors import add_weighted, dot, six_dots
from stream_rec.compiled import kernel
from stream_rec.experts.labels import add_liking, clear_liking, match
from stream_rec.ranking.candidates import SHARP, newest_taken


class Feature(IntEnum):
    """Columns of the feature matrix."""

    POPULAR_100 = 0  # logarithms of decayed events, by half-life in events
    POPULAR_500 = 1
    POPULAR_2000 = 2
    POPULAR_16000 = 3
    LINKED = 4  # logarithm of shrunk co-visitation
    FOLLOWING = 5  # the same of what came right after the newest item
    LIKE_NEAR = 6  # cosines: to the user's fast fading vector
    LIKE_LAST = 7  # to the newest item
    COUNT = 8
    NEVER_SEEN = 9
    RARELY_SEEN = 10
    SINCE = 11  # logarithm of the events since anybody took it
    OWN_COUNT = 12
    OWN_RECENCY = 13
    NEAR_LINKED = 14  # co-visitation of its neighbours by text
    NEAR_POPULAR = 15  # their popularity
    LIKE_WIDE = 16  # cosine to the user's slowly fading vector
    LIKE_MOST = 17  # the largest cosine to one of the newest items
    LIKE_GAP = 18  # how far below the most similar item
    MIXTURE = 19  # logarithm of a fixed mixture of popularity, co-visitation and text
    TOKENS_LIKED = 20
    TOKENS_POPULAR = 21
    HISTORY_NONE = 22
    HISTORY_SHORT = 23
    HISTORY_MIDDLE = 24
    HISTORY_LONG = 25
    NOVELTY = 26  # share of events on items nobody took before
    TEXT_LIKELY = 27  # logarithm of the text expert's distribution over the catalogue
    LIKE_OTHER = 28  # cosine in the best of the other modalities
    LIKE_TOWER = 29  # cosines where the tower of an adapter puts items: to the fast fading vector
    TOWER_LAST = 30  # to the newest item
    TOWER_MOST = 31  # the largest to one of the newest items
    TOWER_GAP = 32  # how far LIKE_TOWER is below that of the most similar candidate


class Told(NamedTuple):
    """What `describe` writes: features, and how much refused items push each candidate away."""

    features: NDArray[np.float32]  # (candidates, features)
    push: NDArray[np.float32]  # (candidates,)


@kernel
def describe(view, users, user, similar, dense, gathered, chosen, told):  # type: ignore[no-untyped-def]
    """Write the features of one user's candidates, group by group."""
    features = told.features
    _tell_trends(view, chosen, features)
    _tell_links(view, dense, chosen, features)
    _tell_similar(view, users, user, similar, gathered, chosen, features)
    _tell_tower(users, user, similar, chosen, features)
    _tell_likely(view, dense, gathered, chosen, features)
    _tell_tokens(view, users, user, dense.liking, chosen, features)
    length = _tell_own(users, user, chosen, features)
    _tell_push(view.matrix, users, user, chosen, told.push)
    return length


@kernel
def _tell_trends(view, chosen, features):  # type: ignore[no-untyped-def]
    decayed, counts, last_seen_ms = view.decayed, view.counts, view.last_seen_ms
    floor = np.float32(1e-2)
    for place in range(chosen.shape[0]):
        row = chosen[place]
        features[place, Feature.POPULAR_100] = np.log(decayed[row, 0] + floor)
        features[place, Feature.POPULAR_500] = np.log(decayed[row, 1] + floor)
        features[place, Feature.POPULAR_2000] = np.log(decayed[row, 2] + floor)
        features[place, Feature.POPULAR_16000] = np.log(decayed[row, 3] + floor)
        count = counts[row]
        features[place, Feature.COUNT] = np.log1p(np.float32(count))
        features[place, Feature.NEVER_SEEN] = count == 0
        features[place, Feature.RARELY_SEEN] = count < 5
        since = np.float32(_NEVER)
        if count > 0:
            passed = max(view.now_ms - last_seen_ms[row], 0.0) * view.events_per_ms
            since = min(np.float32(passed), since)
        features[place, Feature.SINCE] = np.log1p(since)
        features[place, Feature.NOVELTY] = view.novelty


@kernel
def _tell_links(view, dense, chosen, features):  # type: ignore[no-untyped-def]
    """Tell the co-visitation of each item, and that of its neighbours by text."""
    linked, following, decayed = dense.linked, dense.following, view.decayed
    near, cosines = view.near, view.near_cosine
    for place in range(chosen.shape[0]):
        row = chosen[place]
        features[place, Feature.LINKED] = np.log(linked[row] + np.float32(1e-4))
        features[place, Feature.FOLLOWING] = np.log(following[row] + np.float32(1e-3))
        links, popular, weights = np.float32(0.0), np.float32(0.0), np.float32(1e-3)
        for rank in range(near.shape[1]):
            neighbour = near[row, rank]
            if neighbour < 0:
                break
            weight = cosines[row, rank] * cosines[row, rank]
            links += weight * linked[neighbour]
            popular += weight * decayed[neighbour, _MIDDLE]
            weights += weight
        features[place, Feature.NEAR_LINKED] = np.log(links / weights + np.float32(1e-4))
        features[place, Feature.NEAR_POPULAR] = np.log(popular / weights + np.float32(1e-2))


@kernel
def _tell_similar(view, users, user, similar, gathered, chosen, features):  # type: ignore[no-untyped-def]
    text, other = similar.text, similar.other
    text_of, other_of = similar.text_of[user], similar.other_of[user]
    for place in range(chosen.shape[0]):
        row = chosen[place]
        near = text[text_of, row] if text_of >= 0 else np.float32(0.0)
        features[place, Feature.LIKE_NEAR] = near
        features[place, Feature.LIKE_GAP] = near - gathered.most_similar if text_of >= 0 else 0.0
        features[place, Feature.LIKE_OTHER] = other[other_of, row] if other_of >= 0 else 0.0
        features[place, Feature.LIKE_WIDE] = 0.0
        features[place, Feature.LIKE_LAST] = 0.0
        features[place, Feature.LIKE_MOST] = 0.0
    matrix, newest = view.matrix, newest_taken(users, user, _NEWEST)
    if newest.shape[0] == 0 or matrix.shape[0] == 0:
        return
    six, cosines = np.zeros((1 + _NEWEST, matrix.shape[1]), np.float32), np.empty(6, np.float32)
    _user_vector(matrix, users, user, six[0])
    for gap in range(newest.shape[0]):
        add_weighted(matrix, newest[gap], np.float32(1.0), six[1 + gap])
    small, worth = view.small, view.small_worth
    for place in range(chosen.shape[0]):
        six_dots(small, chosen[place], six, cosines)
        cosines *= worth[chosen[place]]
        features[place, Feature.LIKE_WIDE] = cosines[0]
        features[place, Feature.LIKE_LAST] = cosines[1]
        features[place, Feature.LIKE_MOST] = max(cosines[1:].max(), np.float32(0.0))


@kernel
def _tell_tower(users, user, similar, chosen, features):  # type: ignore[no-untyped-def]
    """Tell how the tower sees each item; nothing, which is zeros, without a tower or a past."""
    for place in range(chosen.shape[0]):
        features[place, Feature.LIKE_TOWER] = 0.0
        features[place, Feature.TOWER_LAST] = 0.0
        features[place, Feature.TOWER_MOST] = 0.0
        features[place, Feature.TOWER_GAP] = 0.0
    matrix, newest = similar.tower_matrix, newest_taken(users, user, _NEWEST)
    if matrix.shape[0] == 0 or newest.shape[0] == 0:
        return
    six, cosines = np.zeros((1 + _NEWEST, matrix.shape[1]), np.float32), np.empty(6, np.float32)
    six[0] = similar.tower[user]
    for gap in range(newest.shape[0]):
        add_weighted(matrix, newest[gap], np.float32(1.0), six[1 + gap])
    small, worth, highest = similar.tower_small, similar.tower_worth, np.float32(-1.0)
    for place in range(chosen.shape[0]):
        row = chosen[place]
        if row < worth.shape[0]:
            six_dots(small, row, six, cosines)
            cosines *= worth[row]
            features[place, Feature.LIKE_TOWER] = cosines[0]
            features[place, Feature.TOWER_LAST] = cosines[1]
            features[place, Feature.TOWER_MOST] = max(cosines[1:].max(), np.float32(0.0))
        highest = max(highest, features[place, Feature.LIKE_TOWER])
    for place in range(chosen.shape[0]):
        features[place, Feature.TOWER_GAP] = features[place, Feature.LIKE_TOWER] - highest


@kernel
def _tell_likely(view, dense, gathered, chosen, features):  # type: ignore[no-untyped-def]
    """Tell what the text expert, and a fixed mixture of three experts, give each item."""
    linked, decayed = dense.linked, view.decayed
    total, log_sum = gathered.linked_sum, np.float32(gathered.text_log_sum)
    sure = min(1.0, 2.0 * total) / total if total > 0.0 else 0.0
    for place in range(chosen.shape[0]):
        row = chosen[place]
        sharpened = np.float32(SHARP) * features[place, Feature.LIKE_NEAR]
        text = np.exp(sharpened - log_sum)
        features[place, Feature.TEXT_LIKELY] = np.log(text + np.float32(1e-7))
        mixture = (
            _POPULAR * decayed[row, _MIDDLE] / (view.middle_mass + 1e-9)
            + _TEXT * text
            + _LINKED * sure * linked[row]
        )
        features[place, Feature.MIXTURE] = np.log(np.float32(mixture + 1e-7))


@kernel
def _tell_tokens(view, users, user, liking, chosen, features):  # type: ignore[no-untyped-def]
    """Tell how well an item's tokens fit the user, and how popular they are with everybody."""
    own = slice(users.start[user], users.start[user + 1])
    rows, weights = users.rows[own], users.liking[own].copy()
    for gap in range(weights.shape[0]):
        weights[gap] *= np.float32(_TOKEN_FADING**gap)
    add_liking(view.tokens, rows, weights, liking)
    match(view.tokens, view.token_telling, liking, chosen, features[:, Feature.TOKENS_LIKED])
    clear_liking(view.tokens, rows, liking)
    trend = view.token_trend
    for place in range(chosen.shape[0]):
        row = chosen[place]
        told = row < trend.shape[0]
        features[place, Feature.TOKENS_POPULAR] = trend[row] if told else np.float32(0.0)


@kernel
def _tell_own(users, user, chosen, features):  # type: ignore[no-untyped-def]
    """Tell how often and how lately the user took each item; return the length of the history."""
    start, end, rows, taken = users.start[user], users.start[user + 1], users.rows, users.taken
    length = 0
    for entry in range(start, end):
        length += taken[entry]
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
        features[place, Feature.HISTORY_NONE] = length == 0
        features[place, Feature.HISTORY_SHORT] = 0 < length < 3
        features[place, Feature.HISTORY_MIDDLE] = 3 <= length < 10
        features[place, Feature.HISTORY_LONG] = length >= 10
    return length


@kernel
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


@kernel
def _user_vector(matrix, users, user, out):  # type: ignore[no-untyped-def]
    """Write the user's slowly fading vector, of length one, or zero."""
    rows, weights = users.rows, users.wide
    for entry in range(users.start[user], users.start[user + 1]):
        if abs(weights[entry]) > 1e-2:
            add_weighted(matrix, rows[entry], weights[entry], out)
    out /= np.sqrt(dot(out, out)) + np.float32(1e-9)


_NEVER = 1e5  # events since an item that was never consumed
_NEWEST = 5  # with the user's vector, six
_MIDDLE = 2  # column of the half-life of 2,000 events
_POPULAR, _TEXT, _LINKED = 0.1, 0.3, 0.6  # the fixed mixture
_TOKEN_FADING = 0.9
