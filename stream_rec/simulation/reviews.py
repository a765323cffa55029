"""Reviews as simulated shoppers write them: a rating, a headline and a few sentences.

Rating and words follow the product's hidden quality in what the shopper cares about. Does not know
when or why the review is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from stream_rec.simulation.aspects import ASPECTS
from stream_rec.simulation.catalogue import Product


class Review(NamedTuple):
    """What a shopper says of a product; words are empty where only stars were given."""

    rating: int
    title: str
    text: str


def write_review(rng: Random, product: Product, cares: Mapping[str, float]) -> Review:
    """Rate a product by what the shopper cares about, and say why."""
    weights = {aspect: cares.get(aspect, 1.0) for aspect in product.quality}
    felt = sum(weights[a] * product.quality[a] for a in weights) / sum(weights.values())
    rating = max(1, min(5, round(3.1 + 2.6 * felt + rng.gauss(0, 0.5))))
    if rng.random() < SILENT:
        return Review(rating, "", "")
    named = _named(rng, product, weights, rating)
    return Review(rating, _title(rng, product, named, rating), _text(rng, product, named, rating))


def aspect_clause(rng: Random, product: Product, aspect: str) -> str:
    """Say in one clause whether a product is good or bad in one aspect."""
    said = ASPECTS[aspect].good if product.quality[aspect] > 0 else ASPECTS[aspect].bad
    return rng.choice(said).format(part=product.kind.aspects[aspect])


def _named(rng: Random, product: Product, weights: Mapping[str, float], rating: int) -> list[str]:
    """Choose the aspects to name: what is felt most, first what explains the rating."""
    felt = {a: weights[a] * product.quality[a] + rng.gauss(0, 0.2) for a in weights}
    ordered = sorted(felt, key=lambda aspect: -abs(felt[aspect]))
    if rating != MIDDLE:
        side = 1 if rating > MIDDLE else -1
        ordered.sort(key=lambda aspect: product.quality[aspect] * side <= 0)
        if product.quality[ordered[0]] * side <= 0:
            return []  # nothing to point at: mood alone
    elif len(ordered) > 1:
        best = max(ordered, key=lambda aspect: product.quality[aspect])
        worst = min(ordered, key=lambda aspect: product.quality[aspect])
        return [best, worst]
    explaining = sum(product.quality[a] * (rating - MIDDLE) > 0 for a in ordered)
    against = rng.random() < 0.4  # praise with a grumble, or a grumble with praise
    count = min(explaining, rng.choice((1, 1, 2)))
    named = ordered[:count]
    if against and explaining < len(ordered):
        named.append(ordered[explaining])
    return named


def _title(rng: Random, product: Product, named: list[str], rating: int) -> str:
    if not named or rating == MIDDLE or rng.random() < 0.25:
        return rng.choice(_HEADLINES[rating])
    aspect = ASPECTS[named[0]]
    said = aspect.praise if product.quality[named[0]] > 0 else aspect.blame
    return rng.choice(said).format(part=product.kind.aspects[named[0]])


def _text(rng: Random, product: Product, named: list[str], rating: int) -> str:
    sentences = []
    if not named or rng.random() < 0.55:
        sentences.append(rng.choice(_OPENINGS[rating]))
    if rng.random() < 0.35:
        sentences.append(rng.choice(_CIRCUMSTANCES))
    clauses = [(product.quality[a] > 0, aspect_clause(rng, product, a)) for a in named]
    sentences += _joined(rng, clauses)
    if rng.random() < 0.4:
        sentences.append(rng.choice(_CLOSINGS[rating]))
    filled = (sentence.format(noun=product.kind.said, use=product.use) for sentence in sentences)
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in filled)


def _joined(rng: Random, clauses: list[tuple[bool, str]]) -> list[str]:
    """Join clauses into sentences, with a turn where good meets bad."""
    if len(clauses) < 2:
        return [f"{clause}." for _, clause in clauses]
    (first_good, first), (second_good, second) = clauses[:2]
    if first_good == second_good:
        said = rng.choice((f"{first} and {second}.", f"{first}. Also, {second}."))
    elif second_good:
        said = rng.choice((f"{first}, although {second}.", f"{second}, but {first}."))
    else:
        said = rng.choice((f"{first}, but {second}.", f"{first}. Sadly, {second}."))
    rest = [
        f"{'On the bright side' if good else 'On the other hand'}, {clause}."
        for good, clause in clauses[2:]
    ]
    return [said, *rest]


SILENT = 0.08
"""Share of ratings given without a word."""
MIDDLE = 3

_HEADLINES = {
    1: ("Do not buy", "Waste of money", "Terrible", "Sent it back"),
    2: ("Disappointed", "Not for me", "Expected better", "Poor value"),
    3: ("It is all right", "Mixed feelings", "Average", "So and so"),
    4: ("Good buy", "Happy with it", "Well done", "Nearly perfect"),
    5: ("Love it", "Perfect", "The best I have had", "Highly recommended"),
}
_OPENINGS = {
    1: (
        "What a waste of money.",
        "I regret buying this {noun}.",
        "This {noun} went straight back.",
        "A terrible {use} {noun}.",
        "Avoid this one.",
    ),
    2: (
        "I expected more of this {noun}.",
        "A disappointing {noun}.",
        "I wanted to like it.",
        "Not what the pictures promised.",
        "This {noun} and I did not become friends.",
    ),
    3: (
        "An average {noun}.",
        "It does the job.",
        "Some light and some shade.",
        "I am of two minds about this {noun}.",
        "A passable {use} {noun}.",
    ),
    4: (
        "A good {noun} for the money.",
        "I am happy with this {noun}.",
        "A very good {use} {noun}.",
        "Better than I expected.",
        "A solid choice.",
    ),
    5: (
        "I love this {noun}.",
        "The best {noun} I have owned.",
        "A perfect {use} {noun}.",
        "Worth every cent.",
        "I would buy it again tomorrow.",
    ),
}
_CIRCUMSTANCES = (
    "I have had it for a month now.",
    "It was a present from my sister.",
    "It replaces one that served me for ten years.",
    "I use it nearly every day.",
    "It arrived on a Tuesday, well packed.",
    "I read a test of {use} gear first.",
    "My neighbour has the same one.",
    "I compared three before I chose this {noun}.",
)
_CLOSINGS = {
    1: ("I want my money back.", "Never again.", "Stay away.", "It is in the bin."),
    2: (
        "I shall look for another one.",
        "It went back.",
        "I cannot recommend it.",
        "There must be something better.",
    ),
    3: ("You could do worse.", "Wait for a discount.", "I have not made up my mind."),
    4: ("Recommended.", "I would buy it again.", "Nearly five stars.", "My family likes it too."),
    5: ("Highly recommended!", "Five stars.", "You will not regret it.", "I told all my friends."),
}
