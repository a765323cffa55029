"""One list before it is put into words: scores, rules, variety, alternatives, exploration, pins.

Scores of candidates are their softmax probabilities times the factors of rules. They fall along a
list, except at pinned and explored places. Each step changes the list of the one before:

    score         candidates that no rule blocks, best first
    variety       the best, or the most varied of the best
    alternatives  after a bad review, up to three places from rank 2 on
    back-fill     popular items where candidates are too few
    exploration   some places show a little-known item instead
    pins          at their ranks; what stands there moves down

Knows candidates and the replica; not how candidates were scored, and no words.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.ranking.alternatives import Complaint, complaint_words, complaints, remedied
from stream_rec.ranking.derived import Derived
from stream_rec.ranking.diversity import DEPTH, likeness, varied
from stream_rec.ranking.exclusions import showable
from stream_rec.ranking.exploration import Exploration, arms_of
from stream_rec.ranking.rules import CompiledRules
from stream_rec.ranking.users import Request
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics


class Shop(Protocol):
    """The part of a replica that lists are made from."""

    items: ItemIndex
    catalogue: Catalogue
    statistics: Statistics
    vectors: dict[str, VectorTable]
    exploration: Exploration
    derived: Derived
    adapter_version: int


@dataclass(slots=True, eq=False)
class Place:
    """One item of a draft; `candidate` is its place among the scored, -1 for one from elsewhere."""

    row: int
    score: float
    candidate: int = -1
    instead: Complaint | None = None  # offered as an alternative to this
    pinned: bool = False
    arm: int = -1  # explored
    propensity: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Candidates that may be shown, best first; `index` is their place among the scored."""

    rows: NDArray[np.int32]  # (n,)
    scores: NDArray[np.float64]  # (n,)
    index: NDArray[np.int64]  # (n,)


@dataclass(slots=True)
class Drafting:
    """The making of one list; `now_ms` is the stream's own time, rules are read at `ruled_ms`."""

    shop: Shop
    request: Request
    now_ms: int
    ruled_ms: int = 0  # 0: the same
    rules: CompiledRules | None = field(init=False)

    def __post_init__(self) -> None:
        self.ruled_ms = self.ruled_ms or self.now_ms
        book = self.shop.derived.rules
        self.rules = book.compiled(self.request.policy.rules, self.shop.catalogue)

    def draft(
        self, rows: NDArray[np.int32], logits: NDArray[np.float32], rng: np.random.Generator
    ) -> list[Place]:
        """Return the places of the list, in order, from the scored rows of the user."""
        wanted = self.request.policy.toplist
        found = self._ruled(rows, logits)
        places = self._best(found)
        self._offer_alternatives(places, found)
        pins = self._pins()
        pinned = {row for _, row in pins}
        places = [place for place in places if place.row not in pinned][: wanted.size - len(pins)]
        if len(places) < wanted.size - len(pins):
            self._fill(places, pinned, wanted.size - len(pins))
        if wanted.exploration > 0.0:
            self._explore(places, found, pinned, rng)
        for index, row in pins:
            scores = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
            places.insert(index, Place(row, scores.get(row, 0.0), pinned=True))
        return places

    def _ruled(self, rows: NDArray[np.int32], logits: NDArray[np.float32]) -> Candidates:
        index = None
        if self.rules is not None and len(rows):
            index = np.flatnonzero(~self.rules.blocks(rows, now_ms=self.ruled_ms))
            rows, logits = rows[index], logits[index]
        if not len(rows):
            return Candidates(rows=rows, scores=np.zeros(0), index=np.zeros(0, np.int64))
        scores = np.exp(logits.astype(np.float64) - float(logits.max()))
        scores /= scores.sum()
        if self.rules is not None:
            scores *= np.exp(self.rules.log_factors(rows, now_ms=self.ruled_ms))
        order = _best_first(scores, self._depth())
        own = order if index is None else index[order]
        return Candidates(rows=rows[order], scores=scores[order], index=own)

    def _depth(self) -> int:
        """How many of the best candidates have a say: all where the policy reaches further down."""
        wanted = self.request.policy.toplist
        if wanted.exploration > 0.0 or self.request.policy.signals.negative_review == "avoid":
            return _ALL
        return max(wanted.size + _SPARE, DEPTH if wanted.diversity > 0.0 else 0)

    def _best(self, found: Candidates) -> list[Place]:
        wanted = self.request.policy.toplist
        most = wanted.size + _SPARE
        chosen = range(min(most, len(found.rows)))
        if wanted.diversity > 0.0 and len(found.rows) > wanted.size:
            depth = max(DEPTH, wanted.size + _SPARE)
            rows = found.rows[:depth]
            alike = likeness(rows, self.shop.vectors.get("text"), self.shop.catalogue)
            scores = np.log(np.maximum(found.scores[:depth], 1e-30))
            places = varied(scores, alike, size=wanted.size, strength=wanted.diversity)
            chosen = places.tolist()
        rows, scores, index = found.rows.tolist(), found.scores.tolist(), found.index.tolist()
        return [Place(rows[at], scores[at], index[at]) for at in chosen]

    def _offer_alternatives(self, places: list[Place], found: Candidates) -> None:
        request = self.request
        signals = request.policy.signals
        if request.profile is None or not request.profile.history:
            return
        unhappy = complaints(request.profile, signals, self.shop.items)
        if not unhappy:
            return
        if signals.negative_review == "avoid":
            self._avoid(places, found, unhappy)
            return
        slot = 0
        for complaint in unhappy:
            for row in self._alternatives_to(complaint, found, most=_OFFERED - complaint.age):
                if slot == _OFFERED:
                    return
                _lift(places, row, complaint, 2 * slot + 1)
                slot += 1

    def _alternatives_to(self, complaint: Complaint, found: Candidates, *, most: int) -> list[int]:
        """The best items of the same need: those that fit, and among them those of high score."""
        shop = self.shop
        near = shop.derived.needs.of(complaint.row, shop.catalogue, shop.vectors.get("text"))
        if not len(near.rows):
            return []
        allowed = showable(shop.catalogue, self.request, near.rows, now_ms=self.now_ms)
        if self.rules is not None:
            allowed &= ~self.rules.blocks(near.rows, now_ms=self.ruled_ms)
        words = complaint_words(complaint.past)
        need = remedied(near, words, shop.catalogue, shop.derived.titles)
        height = {int(row): 1.0 - at / len(found.rows) for at, row in enumerate(found.rows)}
        liked = np.array([height.get(int(row), 0.0) for row in near.rows], np.float32)
        worth = np.where(allowed, need + _SCORE_SAY * liked, -1.0)
        order = np.argsort(-worth, kind="stable")[:most]
        return [int(near.rows[at]) for at in order if worth[at] > 0.0]

    def _avoid(self, places: list[Place], found: Candidates, unhappy: list[Complaint]) -> None:
        """Take what resembles the items complained of down the list, and re-order it."""
        shop = self.shop
        taken = {place.row for place in places}
        more = zip(found.rows.tolist(), found.scores.tolist(), found.index.tolist(), strict=True)
        places += [Place(row, score, at) for row, score, at in more if row not in taken][:_REACH]
        for complaint in unhappy:
            near = shop.derived.needs.of(complaint.row, shop.catalogue, shop.vectors.get("text"))
            need = dict(zip(near.rows.tolist(), near.need.tolist(), strict=True))
            need[complaint.row] = 1.0
            for place in places:
                place.score *= float(np.exp(-_PUSH * complaint.fading * need.get(place.row, 0.0)))
        places.sort(key=lambda place: -place.score)

    def _pins(self) -> list[tuple[int, int]]:
        """The index and the row of each pin that this user may see, ascending."""
        pins = [] if self.rules is None else self.rules.pinned(now_ms=self.ruled_ms)
        if not pins:
            return []
        rows = np.array([pin.row for pin in pins], np.int32)
        allowed = showable(self.shop.catalogue, self.request, rows, now_ms=self.now_ms)
        found: dict[int, int] = {}
        index = -1
        for pin, may in zip(pins, allowed, strict=True):
            at = max(pin.rank - 1, index + 1)
            if may and pin.row not in found and at < self.request.policy.toplist.size:
                found[pin.row] = index = at
        return [(index, row) for row, index in found.items()]

    def _fill(self, places: list[Place], pinned: set[int], size: int) -> None:
        """Add the most popular of the items that may be shown; nothing scored them, so 0."""
        shop = self.shop
        rows = shop.derived.popular(shop.statistics, shop.catalogue, now_ms=self.now_ms)
        taken = {place.row for place in places} | pinned
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            allowed = showable(shop.catalogue, self.request, chunk, now_ms=self.now_ms)
            if self.rules is not None:
                allowed &= ~self.rules.blocks(chunk, now_ms=self.ruled_ms)
            for row in chunk[allowed].tolist():
                if len(places) == size:
                    return
                if row not in taken:
                    places.append(Place(row, 0.0))

    def _explore(
        self, places: list[Place], found: Candidates, pinned: set[int], rng: np.random.Generator
    ) -> None:
        """Let each place show an item of its own share of the other candidates, by chance.

        The shares are disjoint, so no item can come twice and every propensity is exact.
        """
        share = self.request.policy.toplist.exploration
        taken = {place.row for place in places} | pinned
        others = np.flatnonzero([row not in taken for row in found.rows.tolist()])
        counts = self.shop.statistics.counts
        hits = rng.random(len(places)) < share
        for at, place in enumerate(places):
            mine = others[at :: len(places)]
            if place.instead is not None or not len(mine):
                continue
            place.propensity = 1.0 - share
            if hits[at]:
                arms = arms_of(counts[found.rows[mine]], 1.0 - mine / len(found.rows))
                slot = self.shop.exploration.slot(mine, found.scores[mine], arms)
                drawn = slot.drawn(rng)
                spot = int(mine[drawn])
                places[at] = Place(
                    int(found.rows[spot]),
                    float(found.scores[spot]),
                    int(found.index[spot]),
                    arm=int(arms[drawn]),
                    propensity=share * float(slot.chances[drawn]),
                )


def _best_first(scores: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the places of the highest scores, descending."""
    if len(scores) <= 2 * most:
        return np.argsort(-scores, kind="stable")[:most]
    best = np.argpartition(scores, len(scores) - most)[len(scores) - most :]
    return best[np.argsort(-scores[best], kind="stable")]


def _lift(places: list[Place], row: int, complaint: Complaint, index: int) -> None:
    """Put an alternative at an index, or leave it where it stands when that is higher."""
    at = next((at for at, place in enumerate(places) if place.row == row), None)
    if at is not None and (at <= index or places[at].instead is not None):
        places[at].instead = places[at].instead or complaint
        return
    moved = Place(row, 0.0) if at is None else places.pop(at)
    index = min(index, len(places))
    moved.instead = complaint
    if places:
        moved.score = places[min(index, len(places) - 1)].score
    places.insert(index, moved)


_SPARE = 10  # candidates kept beyond the size, for those that pins take out
_OFFERED = 3  # places for alternatives after the newest complaint, one less for each older one
_SCORE_SAY = 0.2
_PUSH = 3.0
_REACH = 200
_CHUNK = 256
_ALL = 1 << 30
