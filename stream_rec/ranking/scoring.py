"""Score the candidates of a batch of lists, and learn from what users took.

Requests become columns, one matrix product compares their users with the whole catalogue, compiled
code chooses and describes candidates, and each scenario's re-ranker scores them. Scoring changes
nothing; only `learn` does, and only re-rankers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rec.compiled import kernel
from stream_rec.experts.impressions import Impression
from stream_rec.experts.text import user_vectors
from stream_rec.experts.views import TEXT, TOWER, Knowledge, Views
from stream_rec.policy import Policy
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.candidates import MOST, SHARP, Similar, clear, gather, heaps
from stream_rec.ranking.features import Feature, Told, describe
from stream_rec.ranking.reranker import Reranker
from stream_rec.ranking.users import Request, Users, read_users

__all__ = [
    "EXPERTS",
    "Example",
    "Request",
    "Scored",
    "expert_scores",
    "learn",
    "score",
    "shares_of",
]

EXPERTS = (
    "popularity", "co_visitation", "markov", "text", "other_modality", "repeats", "category",
    "tower",
)  # fmt: skip


class Scorer(Knowledge, Protocol):
    """The parts of a replica that scoring reads, and the re-rankers that learning changes."""

    views: Views
    rerankers: dict[str, Reranker]

    def reranker(self, scenario: str) -> Reranker:
        """Return the scenario's re-ranker, or a fresh one that nothing holds yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The candidates of one list, in no order; what must not be shown is not among them."""

    rows: NDArray[np.int32]  # (candidates,)
    scores: NDArray[np.float32]  # (candidates,)
    features: NDArray[np.float32]  # (candidates, features)
    history: int  # items the user took, as far as the history goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What a user took, with the profile as it was just before; None for a user never seen."""

    profile: Profile | None
    scenario: str
    policy: Policy
    item_id: str
    timestamp: int


def score(known: Scorer, requests: Sequence[Request], *, now_ms: int) -> list[Scored]:
    """Score every list of a batch; `now_ms` is the stream's own time."""
    found = _described(known, requests, now_ms)
    out: list[Scored | None] = [None] * len(requests)
    for scenario in dict.fromkeys(request.scenario for request in requests):
        places = [place for place, request in enumerate(requests) if request.scenario == scenario]
        network = known.reranker(scenario)
        for place, scores in zip(places, _scores(network, found, places), strict=True):
            one = found[place]
            if requests[place].profile is None:
                scores = network.newcomers.ranked(scores, one.features)
            _keep(known.views, requests[place], one)
            out[place] = Scored(
                rows=one.rows, scores=scores, features=one.features, history=one.history
            )
    return [scored for scored in out if scored is not None]


def _scores(
    network: Reranker, found: Sequence["_Found"], places: Sequence[int]
) -> list[NDArray[np.float32]]:
    """Score the lists at some places with one network, all candidates in one product."""
    together = [found[place] for place in places]
    lengths = [len(one.rows) for one in together]
    new = np.array([newness(one.history) for one in together], np.float32)
    features, push = together[0].batch
    if len(together) < len(found):
        features = np.concatenate([one.features for one in together])
        push = np.concatenate([one.push for one in together])
    scores = _adjusted(network, Told(features, push), np.repeat(new, lengths))
    return np.split(scores, np.cumsum(lengths)[:-1])


def _adjusted(network: Reranker, told: Told, new: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score candidates, (candidates,), and put right what examples cannot teach."""
    scores = network.scores(told.features, new)
    scores -= np.float32(_PUSH) * told.push
    # An item outside the candidates teaches nothing, and those are mostly items that nobody took
    # yet, so what is learned underrates them: the more, the more often something new is taken.
    unseen = told.features[:, Feature.NEVER_SEEN] * told.features[:, Feature.NOVELTY]
    scores += np.float32(_UNSEEN) * unseen
    return scores


def learn(known: Scorer, examples: Sequence[Example], *, now_ms: int) -> None:
    """Teach each scenario's re-ranker what was taken; the facts of it must not be folded yet.

    An example whose item is not among its candidates teaches nothing.
    """
    for example, shown in zip(examples, _shown(known, examples, now_ms), strict=True):
        places = np.flatnonzero(shown.rows == known.items.row(example.item_id))
        if len(places) == 1:
            network = known.rerankers.setdefault(example.scenario, known.reranker(example.scenario))
            features = shown.features.astype(np.float32, copy=False)
            if example.profile is None and isinstance(shown, _Found):
                new = np.full(len(features), newness(shown.history), np.float32)
                scores = _adjusted(network, Told(features, shown.push), new)
                network.newcomers.learn(scores, features, int(places[0]))
            network.learn(features, int(places[0]), newness(shown.history))


def _keep(views: Views, request: Request, found: "_Found") -> None:
    if request.profile is not None:
        views.impressions.keep(
            request.profile,
            request.scenario,
            rows=found.rows,
            features=found.features,
            history=found.history,
        )


def _shown(known: Scorer, examples: Sequence[Example], now_ms: int) -> list["Impression | _Found"]:
    """Return what each user was shown; what is not remembered is described anew."""
    shown: dict[tuple[str, str], Impression | _Found] = {}
    asked: dict[tuple[str, str], Request] = {}
    keys = []
    for number, example in enumerate(examples):
        profile, scenario = example.profile, example.scenario
        key = ("", scenario) if profile is None else (str(number), scenario)
        keys.append(key)
        kept = None if profile is None else known.views.impressions.find(profile, scenario)
        if kept is not None:
            shown[key] = kept
        else:
            asked[key] = Request(profile=profile, scenario=scenario, policy=example.policy)
    described = _described(known, list(asked.values()), now_ms)
    shown.update(zip(asked, described, strict=True))
    return [shown[key] for key in keys]


def newness(history: int) -> float:
    """Return 1 for a user without history, falling to 0 with the fifth item.

    >>> newness(0), newness(2), newness(9)
    (1.0, 0.6, 0.0)
    """
    return 1.0 - min(1.0, history / 5.0)


def expert_scores(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each expert's distribution over the candidates, (candidates, experts).

    Every column sums to one, or is zero where the expert knows nothing.
    """
    out = np.empty((len(features), len(EXPERTS)), np.float32)
    _expert_scores(features, _COLUMNS, _FLOORS, np.float32(SHARP), out)
    return out


@kernel
def _expert_scores(features, columns, floors, sharp, out):  # type: ignore[no-untyped-def]
    for expert in range(out.shape[1]):
        column = columns[expert]
        highest, lowest = np.float32(-np.inf), np.float32(np.inf)
        for row in range(out.shape[0]):
            highest = max(highest, features[row, column])
            lowest = min(lowest, features[row, column])
        total = np.float32(0.0)
        for row in range(out.shape[0]):
            value = features[row, column]
            if floors[expert] > 0.0:  # a logarithm of what the expert counts
                value = np.exp(value) - floors[expert]
            elif floors[expert] < 0.0:  # a cosine; zeros alone say nothing
                silent = highest == 0.0 and lowest == 0.0
                value = np.float32(0.0) if silent else np.exp(sharp * (value - highest))
            out[row, expert] = value if value >= np.float32(1e-5) else np.float32(0.0)
            total += out[row, expert]
        for row in range(out.shape[0]):
            out[row, expert] /= max(total, np.float32(1e-9))


def shares_of(scored: Scored, places: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return what each expert says for some candidates, (places, experts), rows of sum one."""
    shares: NDArray[np.float32] = expert_scores(scored.features)[places] * _MIXTURE
    total = shares.sum(1, keepdims=True)
    shares[total[:, 0] <= 0.0] = _MIXTURE * (np.arange(len(EXPERTS)) == 0)
    shares /= np.maximum(shares.sum(1, keepdims=True), np.float32(1e-9))
    return shares


class _Found(NamedTuple):
    rows: NDArray[np.int32]
    features: NDArray[np.float32]
    push: NDArray[np.float32]
    history: int
    batch: Told  # of all lists together, one after the other


def _described(known: Scorer, requests: Sequence[Request], now_ms: int) -> list[_Found]:
    """Choose and describe the candidates of every request."""
    if not requests:
        return []
    view = known.views.items(known, now_ms=now_ms)
    users = read_users(known.items, requests, now_ms=now_ms)
    similar = _similar(known, users)
    dense = known.views.scratch.dense(len(known.items), len(view.token_telling))
    rows = np.empty(MOST * len(requests), np.int32)
    told = Told(np.empty((len(rows), len(Feature)), np.float32), np.empty(len(rows), np.float32))
    ends, history = np.zeros((2, len(requests)), np.int64)
    _describe_all(view, users, similar, dense, heaps(), (rows, told, ends, history))
    whole = Told(told.features[: ends[-1]], told.push[: ends[-1]])
    found, start = [], 0
    for end, length in zip(ends.tolist(), history.tolist(), strict=True):
        part = slice(start, end)
        found.append(_Found(rows[part], told.features[part], told.push[part], length, whole))
        start = end
    return found


def _similar(known: Scorer, users: Users) -> Similar:
    """Compare every user who has a vector with every item, by text and by other modalities."""
    items, count = len(known.items), len(users.start) - 1
    text, text_of = np.zeros((0, 0), np.float32), np.full(count, -1, np.int32)
    other, other_of = np.zeros((0, 0), np.float32), np.full(count, -1, np.int32)
    tower, placed = np.zeros((count, 1), np.float32), _NO_TOWER
    for name, table in known.vectors.items():
        table.reserve(items)
        vectors = user_vectors(table, users.start, users.rows, users.near)
        if name == TOWER:
            tower, placed = vectors, (table.matrix, table.small, table.small_worth)
            continue
        those = np.flatnonzero(vectors.any(1))
        if not len(those):
            continue
        if name == TEXT:
            text = known.views.scratch.similar(len(those), items)
            np.matmul(vectors[those], table.matrix[:items].T, out=text)
            text_of[those] = np.arange(len(those))
        else:
            if not len(other):
                other = np.full((count, items), -1.0, np.float32)
            other_of[those] = those
            other[those] = np.maximum(other[those], vectors[those] @ table.matrix[:items].T)
    return Similar(text, text_of, other, other_of, tower, *placed)


@kernel
def _describe_all(view, users, similar, dense, heaps, out):  # type: ignore[no-untyped-def]
    rows, told, ends, history = out
    start = 0
    for user in range(users.start.shape[0] - 1):
        gathered = gather(view, users, user, similar, dense, heaps, rows[start : start + MOST])
        end = start + gathered.chosen
        chosen = rows[start:end]
        part = Told(told.features[start:end], told.push[start:end])
        length = describe(view, users, user, similar, dense, gathered, chosen, part)
        clear(view, users, user, dense, gathered, chosen)
        history[user], ends[user] = length, end
        start = end


_NO_TOWER = (
    np.zeros((0, 1), np.float32),
    np.zeros((0, 1), np.int8),
    np.zeros(0, np.float32),
)
_UNSEEN = 0.5
_PUSH = 4.0  # how far below others a near copy of a refused item falls, in units of score
# Of each expert: its feature, and how it is read: the floor under a logarithm, -1 for a cosine.
_COLUMNS = np.array(
    [
        Feature.POPULAR_2000, Feature.LINKED, Feature.FOLLOWING, Feature.LIKE_NEAR,
        Feature.LIKE_OTHER, Feature.OWN_RECENCY, Feature.TOKENS_LIKED, Feature.LIKE_TOWER,
    ]
)  # fmt: skip
_FLOORS = np.array([1e-2, 1e-4, 1e-3, -1.0, -1.0, 0.0, 0.0, -1.0], np.float32)
_MIXTURE = np.array([0.1, 0.5, 0.2, 0.3, 0.3, 0.5, 0.05, 0.3], np.float32)
