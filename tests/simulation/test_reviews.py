"""Simulated reviews: ratings follow hidden quality, words follow the rating, and they vary."""

from random import Random
from statistics import correlation, mean

import pytest

from stream_rec.profiles.phrases import telling_phrase
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.simulation.aspects import ASPECTS
from stream_rec.simulation.catalogue import make_products
from stream_rec.simulation.departments import KINDS
from stream_rec.simulation.reviews import Review, aspect_clause, write_review
from stream_rec.simulation.shop import Shop


@pytest.fixture(scope="module")
def written() -> list[tuple[float, Review]]:
    rng = Random(5)
    products = make_products(rng, count=600, newcomers=0)
    reviews = []
    for _ in range(3000):
        product = rng.choice(products)
        quality = mean(product.quality.values())
        reviews.append((quality, write_review(rng, product, {})))
    return reviews


def test_rating_follows_hidden_quality(written: list[tuple[float, Review]]) -> None:
    assert correlation([q for q, _ in written], [r.rating for _, r in written]) > 0.8
    assert {review.rating for _, review in written} == {1, 2, 3, 4, 5}


def test_words_follow_the_rating(written: list[tuple[float, Review]]) -> None:
    judge = Sentiment()
    told = [r for _, r in written if r.text and r.rating != 3]
    right = [
        ((judge.predict(r.text, r.title) or 0.0) > 0) == (r.rating > 3)
        for r in told
        if abs(judge.predict(r.text, r.title) or 0.0) > 0
    ]
    assert len(right) > 0.9 * len(told)
    assert mean(right) > 0.85


def test_reviews_vary_and_some_are_stars_alone(written: list[tuple[float, Review]]) -> None:
    texts = [review.text for _, review in written if review.text]
    assert 0.02 < 1 - len(texts) / len(written) < 0.2
    assert len(set(texts)) > 0.85 * len(texts)
    for text in texts:
        assert "{" not in text
        assert text[0].isupper()
        assert text[-1] in ".!"


def test_bad_reviews_name_what_is_bad(written: list[tuple[float, Review]]) -> None:
    bad = [r for _, r in written if r.rating <= 2 and r.text]
    assert mean(telling_phrase(r.text, side=-1) is not None for r in bad) > 0.9


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_clause_is_filled_in(kind: object) -> None:
    rng = Random(6)
    for product in make_products(rng, count=200, newcomers=0):
        if product.kind is not kind:
            continue
        for aspect in product.quality:
            clause = aspect_clause(rng, product, aspect)
            assert "{" not in clause
            assert len(clause) < 80


def test_what_is_said_of_an_aspect_is_true() -> None:
    shop = Shop(8)
    quality = {product.item_id: product for product in shop.products}
    checked = 0
    for event in shop.events(6000, 1_763_790_285_123, 1000):
        product = quality[event["item_id"]]
        for aspect, value in product.quality.items():
            said = ASPECTS[aspect].bad if value > 0 else ASPECTS[aspect].good
            false = [clause.format(part=product.kind.aspects[aspect]) for clause in said]
            checked += "text" in event
            assert not any(clause in event.get("text", "").lower() for clause in false)
    assert checked > 300
