"""Why an item stands in a list, in words: what the user did with another item, or a plain fact.

Extractive: every reason rests on the user's own interactions, which it names as evidence, on a
phrase of their review, or on what rule, catalogue or statistics say. Nothing is invented, and no
cause is claimed beyond what is counted: "often chosen with" is a link in the statistics, "similar
to" a likeness of vectors. Knows how items are linked and described, not how they were scored.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.vectors import VectorTable, dot
from stream_rec.compiled import kernel, lane_kernel
from stream_rec.events import DAY_MS, NOT_CONSUMING
from stream_rec.policy import Signals
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile
from stream_rec.profiles.signals import is_negative
from stream_rec.ranking.alternatives import Complaint
from stream_rec.statistics.co_visitation import UNIT, link
from stream_rec.statistics.statistics import Statistics
from stream_rec.toplist import Reason

Kind = Literal[
    "because_you_reviewed",
    "because_you_purchased",
    "because_you_carted",
    "because_you_bookmarked",
    "because_you_liked",
    "because_you_viewed",
    "because_you_chose",  # any other type of event
    "again",  # the user has taken this very item before
    "alternative_after_bad_review",
    "popular_now",
    "new_in_catalogue",
    "explored",
    "pinned",
    "from_catalogue",  # nothing better is known
]
KINDS: tuple[str, ...] = get_args(Kind)
EVIDENCE = 8  # the newest liked items that are looked at


class Known(Protocol):
    """What reasons look things up in."""

    catalogue: Catalogue
    statistics: Statistics
    vectors: dict[str, VectorTable]


class Past(NamedTuple):
    """The newest items that a user took and did not dislike, newest first, and their rows."""

    interactions: list[Interaction]
    rows: list[int]


class Support(NamedTuple):
    """The past items that speak most for one listed item; places in the past are -1 for none."""

    linked: int  # the one linked to it most
    links: float  # weight of that link, one following event being 1
    alike: int  # the one most like it
    likeness: float  # cosine
    akin: int  # the one that shares the rarest label with it
    kind: int  # of that label: category, tag, brand
    code: int  # of that label


def past_of(profile: Profile | None, signals: Signals, row_of: Callable[[str], int]) -> Past:
    """Return what reasons may rest on; `row_of` gives the row of an item id, -1 for a stranger."""
    past = Past([], [])
    if profile is None:
        return past
    for interaction in reversed(profile.history):
        if interaction.event_type in NOT_CONSUMING:
            continue
        plain = interaction.rating is None and interaction.sentiment is None
        row = row_of(interaction.item_id)
        if row < 0 or row in past.rows or (not plain and is_negative(interaction, signals)):
            continue
        past.interactions.append(interaction)
        past.rows.append(row)
        if len(past.rows) == EVIDENCE:
            break
    return past


def supports(
    listed: Sequence[Sequence[int]], pasts: Sequence[Past], shop: Known
) -> list[list[Support]]:
    """Find the evidence for every item of every list of a batch in one pass."""
    ends = np.cumsum([len(rows) for rows in listed])
    past_ends = np.cumsum([len(past.rows) for past in pasts])
    items = np.fromiter((row for rows in listed for row in rows), np.int32)
    sources = np.fromiter((row for past in pasts for row in past.rows), np.int32)
    catalogue, vectors = shop.catalogue, shop.vectors.get("text")
    kinds = (catalogue.categories, catalogue.tags, catalogue.brands)
    places = np.full((len(items), 5), -1, np.int32)  # linked, alike, akin, kind, code
    strengths = np.zeros((len(items), 2), np.float32)
    _support(
        (items, ends, sources, past_ends),
        (shop.statistics.links.pool, _NO_VECTORS if vectors is None else vectors.matrix),
        tuple(labels.codes for labels in kinds),
        tuple(labels.items_with for labels in kinds),
        catalogue.count // 2,
        (places, strengths),
    )
    found = [
        Support(linked, links / UNIT, alike, likeness, akin, kind, code)
        for (linked, alike, akin, kind, code), (links, likeness) in zip(
            places.tolist(), strengths.tolist(), strict=True
        )
    ]
    return [found[end - len(rows) : end] for rows, end in zip(listed, ends.tolist(), strict=True)]


class Listed(NamedTuple):
    """One item of a list as far as its reason needs it."""

    row: int
    behaviour: float  # share of the experts on co-visitation and other experts of who takes what
    words: float  # share of text and other modalities
    popular: float
    age_ms: int | None  # since publication
    seen: int  # how often it was taken


def reason(item: Listed, past: Past, support: Support, catalogue: Catalogue) -> Reason:
    """Say why an item of a list stands there, where no rule or chance put it."""
    if item.row in past.rows:
        took = past.interactions[past.rows.index(item.row)]
        verb = _ACTS.get(took.event_type, _OTHER_ACT)[1]
        return Reason(kind="again", text=f"You {verb} it before", evidence=(took.item_id,))
    by_links = support.linked >= 0 and support.links >= _LEAST_LINKS
    by_words = support.alike >= 0 and support.likeness >= _LEAST_LIKENESS
    if by_links and (item.behaviour >= item.words or not by_words):
        how = "Often chosen by those who chose"
        return _because(past, support.linked, how, catalogue)
    if by_words:
        same = support.akin == support.alike
        how = f'Also in "{_label(support, catalogue)}", similar to' if same else "Similar to"
        return _because(past, support.alike, how, catalogue)
    if support.akin >= 0 and item.popular < _MOSTLY:
        return _because(past, support.akin, f'Also in "{_label(support, catalogue)}":', catalogue)
    if item.popular > 0.0 and item.seen >= _POPULAR_COUNT:
        return POPULAR
    if item.age_ms is not None and 0 <= item.age_ms <= _NEW_DAYS * DAY_MS:
        return NEW
    return POPULAR if item.popular > 0.0 and item.seen else FROM_CATALOGUE


def alternative_reason(complaint: Complaint, title: str) -> Reason:
    """Say that an item is offered instead of one that the user was unhappy with.

    >>> past = Interaction(0, 1, 0, "i9", "review", "default", 2.0, -0.8, "the fan is unbearable")
    >>> alternative_reason(Complaint(3, past, 0), "Loud monitor").text
    'An alternative to "Loud monitor": you wrote "the fan is unbearable"'
    """
    past = complaint.past
    if past.phrase:
        why = f'you wrote "{past.phrase}"'
    elif past.rating is not None:
        why = f"you rated it {past.rating:g}"
    elif past.event_type == "review":
        why = "your review of it was not a good one"
    else:
        why = _REFUSED.get(past.event_type, "you did not want it")
    return Reason(
        kind="alternative_after_bad_review",
        text=f'An alternative to "{title}": {why}',
        evidence=(past.item_id,),
    )


def name_of(row: int, catalogue: Catalogue) -> str:
    """Return how an item is called in a reason: its title, shortened, or its id."""
    title = catalogue.title(row) or catalogue.items.ids[row]
    return title if len(title) <= _NAME_CHARACTERS else title[: _NAME_CHARACTERS - 1].rstrip() + "…"


def _because(past: Past, place: int, how: str, catalogue: Catalogue) -> Reason:
    took = past.interactions[place]
    kind, verb = _ACTS.get(took.event_type, _OTHER_ACT)
    name = name_of(past.rows[place], catalogue)
    return Reason(kind=kind, text=f'{how} "{name}", which you {verb}', evidence=(took.item_id,))


def _label(support: Support, catalogue: Catalogue) -> str:
    kinds = (catalogue.categories, catalogue.tags, catalogue.brands)
    return kinds[support.kind].names[support.code]


@lane_kernel
def _support(lists, known, codes, items_with, most, out):  # type: ignore[no-untyped-def]
    items, ends, sources, past_ends = lists
    pool, matrix = known
    places, strengths = out
    for user in range(ends.shape[0]):
        first = past_ends[user - 1] if user > 0 else 0
        for item in range(ends[user - 1] if user > 0 else 0, ends[user]):
            row, fewest = items[item], np.int64(most)
            for source in range(first, past_ends[user]):
                other = sources[source]
                weight = np.float32(link(pool, other, row))
                if weight > strengths[item, 0]:
                    strengths[item, 0], places[item, 0] = weight, source - first
                if row < matrix.shape[0] and other < matrix.shape[0]:
                    cosine = dot(matrix[row], matrix[other])
                    if cosine > strengths[item, 1]:
                        strengths[item, 1], places[item, 1] = cosine, source - first
                for kind in range(3):
                    code = _rarest(codes[kind], row, other, items_with[kind], fewest)
                    if code >= 0:
                        fewest = items_with[kind][code]
                        places[item, 2], places[item, 3] = source - first, kind
                        places[item, 4] = code


@kernel
def _rarest(codes, row, other, items_with, fewest):  # type: ignore[no-untyped-def]
    """Return the label that both items carry and fewer than `fewest` items do, -1 for none."""
    best = -1
    for place in range(codes.shape[1]):
        code = codes[other, place]
        if code < 0:
            break
        if items_with[code] < fewest:
            for own in range(codes.shape[1]):
                if codes[row, own] < 0:
                    break
                if codes[row, own] == code:
                    best, fewest = code, items_with[code]
                    break
    return best


POPULAR = Reason(kind="popular_now", text="Popular now")
NEW = Reason(kind="new_in_catalogue", text="New in the catalogue")
PINNED = Reason(kind="pinned", text="Pinned here by a rule of the shop")
FROM_CATALOGUE = Reason(kind="from_catalogue", text="From the catalogue")
EXPLORED = Reason(kind="explored", text="Something else to try: shown to learn whether it is liked")
_ACTS = {
    "review": ("because_you_reviewed", "reviewed"),
    "purchase": ("because_you_purchased", "purchased"),
    "cart": ("because_you_carted", "put in your cart"),
    "bookmark": ("because_you_bookmarked", "bookmarked"),
    "like": ("because_you_liked", "liked"),
    "view": ("because_you_viewed", "viewed"),
    "click": ("because_you_viewed", "looked at"),
}
_OTHER_ACT = ("because_you_chose", "chose")
_REFUSED = {"dislike": "you disliked it", "hide": "you hid it", "skip": "you skipped it"}
_NO_VECTORS = np.zeros((0, 1), np.float32)
_LEAST_LINKS = 1.0
_LEAST_LIKENESS = 0.35
_MOSTLY = 0.7
_POPULAR_COUNT = 3
_NEW_DAYS = 30
_NAME_CHARACTERS = 60
