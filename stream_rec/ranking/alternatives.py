"""After a bad review the need remains: which other items would meet it, or what then to keep away.

An item's need is read from its categories, the rarer the more telling, and from its text, brand
apart: another brand's is the better alternative. Where the review's phrase names what was wrong, or
the language model has found it there, an item whose own words promise the opposite comes first and
one that repeats it last.

Knows catalogue, vectors and profiles; not scores, and not how a list is put together.
"""

from collections import OrderedDict
from collections.abc import Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue, Labels
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.policy import Signals
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.lexicon import words
from stream_rec.profiles.profile import Profile
from stream_rec.profiles.signals import is_negative
from stream_rec.statistics.item_index import ItemIndex

REMEMBERED = 3  # the newest interactions that are looked at for complaints


class Complaint(NamedTuple):
    """A bad review or refusal among the newest interactions; `age` 0 is the newest of all."""

    row: int
    past: Interaction
    age: int

    @property
    def fading(self) -> float:
        """What is left of it: half after each further interaction."""
        return float(0.5**self.age)


class Neighbours(NamedTuple):
    """Items of one need, the closest first; `need` from 0 to 1."""

    rows: NDArray[np.int32]  # (n,)
    need: NDArray[np.float32]  # (n,)


def complaints(profile: Profile, signals: Signals, items: ItemIndex) -> list[Complaint]:
    """Return what the user was unhappy with lately, newest first.

    A skip says too little; an item taken up again since is forgiven.
    """
    found: list[Complaint] = []
    for age, past in enumerate(profile.history[: -REMEMBERED - 1 : -1]):
        if past.event_type in _PLAIN and past.rating is None and past.sentiment is None:
            continue
        if is_negative(past, signals):
            later = profile.history[len(profile.history) - age :]
            forgiven = any(again.item_id == past.item_id for again in later)
            row = -1 if forgiven else items.row(past.item_id)
            if row >= 0:
                found.append(Complaint(row, past, age))
    return found


@dataclass(slots=True)
class Needs:
    """The neighbours in need of the items complained of lately, kept while little has changed.

    They are found anew when more than one in a hundred items or vectors has changed, so they may
    name an item that is not recommendable any more.
    """

    _kept: OrderedDict[int, tuple[int, Neighbours]] = field(default_factory=OrderedDict)

    def of(self, row: int, catalogue: Catalogue, vectors: VectorTable | None) -> Neighbours:
        """Return the items that meet the need of one item."""
        state = catalogue.changes + (0 if vectors is None else vectors.changes)
        found = self._kept.get(row)
        if found is None or abs(state - found[0]) > catalogue.count // 100:
            found = (state, neighbours(row, catalogue, vectors))
            self._kept[row] = found
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(row)
        return found[1]


def neighbours(row: int, catalogue: Catalogue, vectors: VectorTable | None) -> Neighbours:
    """Find the recommendable items closest in need to one item, at most `DEEPEST` of them."""
    rows = len(catalogue.items)
    if row >= len(catalogue.known):
        return Neighbours(np.zeros(0, np.int32), np.zeros(0, np.float32))
    labels = _shared(catalogue.categories, row, rows, catalogue.count)
    likeness = _likeness(row, rows, vectors)
    if labels is not None and likeness is not None:
        need = 0.5 * labels + 0.5 * likeness
    elif likeness is not None:
        need = likeness
    else:
        need = np.zeros(rows, np.float32) if labels is None else labels
    brand = catalogue.brands.codes[row, 0]
    if brand >= 0:
        need = need * np.where(
            catalogue.brands.codes[:rows, 0] == brand, _SAME_BRAND, np.float32(1)
        )
    need[~catalogue.recommendable[:rows]] = 0.0
    need[row] = 0.0
    found = np.flatnonzero(need >= _LEAST_NEED)
    if len(found) > DEEPEST:
        found = found[np.argpartition(-need[found], DEEPEST)[:DEEPEST]]
    found = found[np.argsort(-need[found], kind="stable")]
    return Neighbours(found.astype(np.int32), need[found].astype(np.float32))


def remedied(
    near: Neighbours, phrase: str | None, catalogue: Catalogue, titles: "TitleWords"
) -> NDArray[np.float32]:
    """Return the need that each neighbour meets once the complaint's words are heeded, (n,)."""
    if phrase is None:
        return near.need
    said = words(phrase, limit=_PHRASE_WORDS)
    wrong = {word for word in said if word in _OPPOSITES}
    if not wrong:
        return near.need
    right = frozenset().union(*(_OPPOSITES[word] for word in wrong))
    change = [_heeded(titles.of(int(row), catalogue), wrong, right) for row in near.rows]
    heeded: NDArray[np.float32] = np.maximum(near.need + np.array(change, np.float32), 0.0)
    return heeded


def complaint_words(past: Interaction) -> str | None:
    """Return the words of a complaint: its phrase, and a word for each aspect found to be blamed.

    >>> from stream_rec.profiles.history import Understood
    >>> blamed = Understood(aspects=(("comfort", -0.5), ("sound", 0.4)))
    >>> complaint_words(Interaction(0, 1, 0, "i", "review", "default", understood=blamed))
    'uncomfortable'
    """
    understood = past.understood
    aspects = () if understood is None else understood.aspects
    found = [_BLAMED[name] for name, strength in aspects if strength < 0 and name in _BLAMED]
    return " ".join(filter(None, (past.phrase, *found))) or None


def _heeded(own: Set[str], wrong: Set[str], right: Set[str]) -> float:
    return _REMEDY * bool(own & right) - _REPEATED * bool(own & wrong)


@dataclass(slots=True)
class TitleWords:
    """The words of items' titles, tags and categories, for as long as the catalogue stays."""

    _changes: int = -1
    _kept: dict[int, frozenset[str]] = field(default_factory=dict)

    def of(self, row: int, catalogue: Catalogue) -> frozenset[str]:
        """Return the lower-case words that an item is described with."""
        if self._changes != catalogue.changes:
            self._changes, self._kept = catalogue.changes, {}
        found = self._kept.get(row)
        if found is None:
            parts = (
                catalogue.title(row) or "",
                *catalogue.tags.names_of(row),
                *catalogue.categories.names_of(row),
            )
            found = frozenset(words(" ".join(parts), limit=_TITLE_WORDS))
            self._kept[row] = found
        return found


def _shared(labels: Labels, row: int, rows: int, items: int) -> NDArray[np.float32] | None:
    """The share of an item's labels that others carry, each label counting by its rarity."""
    own = labels.codes[row]
    own = own[own >= 0]
    telling = np.zeros(len(labels.names) + 1, np.float32)  # the last stands for no label
    telling[own] = np.log(max(items, 1) / np.maximum(labels.items_with[own], 1)).clip(0.0)
    total = float(telling.sum())
    if total < _LEAST_TELLING:
        return None
    shared: NDArray[np.float32] = telling[labels.codes[:rows]].sum(1) / np.float32(total)
    return shared


def _likeness(row: int, rows: int, vectors: VectorTable | None) -> NDArray[np.float32] | None:
    if vectors is None or not vectors.has(row):
        return None
    within = min(rows, len(vectors.present))
    alike = np.zeros(rows, np.float32)
    alike[:within] = vectors.matrix[:within] @ vectors.matrix[row]
    return np.maximum(alike, 0.0)


def _opposites() -> dict[str, frozenset[str]]:
    """Words of complaint and the words that promise the opposite."""
    table: dict[str, frozenset[str]] = {}
    for line in _ASPECTS.strip().splitlines():
        wrong, right = (frozenset(side.split()) for side in line.split("|"))
        for word in wrong:
            table[word] = table.get(word, frozenset()) | right
    return table


_ASPECTS = """
loud noisy noise whine whines buzzing rattles squeaks | quiet silent noiseless silence whisper
flimsy fragile broke breaks broken wobbly cracked bends | sturdy durable solid rugged reinforced
heavy bulky clunky huge | light lightweight compact slim portable
tiny small cramped short | large big xl spacious long
big large | compact small mini
slow sluggish laggy lag | fast quick rapid turbo
dim dark | bright
blurry fuzzy grainy | sharp hd 4k clear
overpriced expensive pricey | budget affordable value
cheap cheaply | premium professional quality fancy luxury
uncomfortable stiff hard scratchy itchy | comfortable soft ergonomic padded cushioned
leak leaks leaked leaking | waterproof sealed leakproof
hot overheats sweaty | cooling breathable ventilated
cold | warm insulated heated
rusty rusted | stainless
battery | rechargeable mains corded
cable cord wire tangled | wireless cordless bluetooth
complicated confusing difficult | simple easy beginner
boring repetitive | exciting varied
tinny muddy | bass studio hifi
bland tasteless | flavor flavour spicy rich
sticky messy | nonstick clean
smell smelly stinks | odorless unscented fresh
"""
_OPPOSITES = _opposites()
_BLAMED = {
    "noise": "noise", "build": "flimsy", "weight": "heavy", "price": "overpriced",
    "comfort": "uncomfortable", "ease of use": "complicated", "speed": "slow", "smell": "smell",
    "picture": "blurry", "sound": "tinny", "taste": "bland", "cleaning": "messy",
    "gameplay": "boring",
}  # fmt: skip
_PLAIN = frozenset({"view", "click", "like", "bookmark", "cart", "purchase", "skip"})
DEEPEST = 100
_MOST_KEPT = 2048
_LEAST_NEED = 0.3
_LEAST_TELLING = 0.1  # labels that nearly every item carries name no need
_SAME_BRAND = np.float32(0.85)
_REMEDY, _REPEATED = 0.3, 0.4
_PHRASE_WORDS, _TITLE_WORDS = 30, 60
