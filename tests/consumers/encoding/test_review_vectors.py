import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from consumers.encoding.review_vectors import ReviewVectors
from stream_rec.items import Item, item_text, text_hash

DIALECTS = Path(__file__).parents[2] / "aliases"
BARE = Item(item_id="bare", categories=("Strings",))


OFFSETS = itertools.count()


def review(item_id: str, text: str) -> Any:
    record = {"event_id": text, "user_id": "u", "item_id": item_id, "timestamp": 1, "text": text}
    return stored(b"u", json.dumps(record).encode())


def stored(key: bytes, value: bytes) -> Any:
    return SimpleNamespace(key=key, value=value, partition=0, offset=next(OFFSETS))


def by_length(texts: Sequence[str]) -> NDArray[np.float32]:
    """Texts of even length point east, others north."""
    return np.array([[1, 0] if len(text) % 2 == 0 else [0, 1] for text in texts], np.float32)


@pytest.fixture
def reviews() -> ReviewVectors:
    read = ReviewVectors(2)
    read.take_item("bare", BARE)
    read.take_item("titled", Item(item_id="titled", title="Six strings"))
    return read


def test_item_without_words_stands_at_the_mean_of_its_reviews(reviews: ReviewVectors) -> None:
    for text in ("even", "odd"):
        reviews.take_review(review("bare", text))
    assert reviews.encode(10, by_length) == 2
    ((item_id, hashed, vector),) = reviews.grown()
    assert (item_id, hashed) == ("bare", text_hash(item_text(BARE)))
    assert vector == pytest.approx([2**-0.5, 2**-0.5])


def test_item_with_words_of_its_own_and_strangers_are_passed_over(reviews: ReviewVectors) -> None:
    reviews.take_review(review("titled", "even"))
    reviews.take_review(review("stranger", "even"))
    assert len(reviews) == 0


def test_review_that_is_read_again_counts_once(reviews: ReviewVectors) -> None:
    twice = review("bare", "even")
    for record in (twice, review("bare", "odd"), twice):
        reviews.take_review(record)
    assert len(reviews) == 2


def test_unreadable_review_is_left_to_the_recommender(reviews: ReviewVectors) -> None:
    reviews.take_review(stored(b"u", b"{"))
    assert len(reviews) == 0


def test_mean_is_written_again_only_when_reviews_grew_by_a_tenth(reviews: ReviewVectors) -> None:
    written = 0
    for number in range(100):
        reviews.take_review(review("bare", "x" * number))
        reviews.encode(1, by_length)
        written += len(list(reviews.grown()))
    assert 20 < written < 40


def test_first_reviews_of_all_items_come_before_the_second_of_any(reviews: ReviewVectors) -> None:
    reviews.take_item("other", Item(item_id="other", categories=("Strings",)))
    for item_id, text in (("bare", "1"), ("bare", "22"), ("bare", "333"), ("other", "4444")):
        reviews.take_review(review(item_id, text))
    read: list[str] = []

    def noted(texts: Sequence[str]) -> NDArray[np.float32]:
        read.extend(texts)
        return by_length(texts)

    assert reviews.encode(2, noted) == 2
    assert read == ["1", "4444"]
    reviews.encode(9, noted)
    assert read[2:] == ["22", "333"]


def test_an_item_reviewed_without_end_costs_no_more_than_a_hundred_readings(
    reviews: ReviewVectors,
) -> None:
    for number in range(300):
        reviews.take_review(review("bare", "x" * number))
    assert len(reviews) == 100


def test_withdrawn_item_has_no_mean(reviews: ReviewVectors) -> None:
    reviews.take_review(review("bare", "even"))
    reviews.take_item("bare", None)
    reviews.encode(1, by_length)
    assert not list(reviews.grown())


@pytest.mark.parametrize("dialect", ["segment", "metarank", "amazon_reviews", "gorse"])
@pytest.mark.parametrize("form", ["auto", "set", "native"])
def test_reviews_are_read_in_the_dialect_of_the_events(dialect: str, form: str) -> None:
    read = ReviewVectors(2, form=dialect if form == "set" else form)
    for item_id in ("i9", "9", "B0A1"):
        read.take_item(item_id, Item(item_id=item_id))
    user = b"AGKHLEW2SOWHNMFQIJGBECAF7INQ" if dialect == "amazon_reviews" else b"u1"
    for line in (DIALECTS / f"{dialect}.jsonl").read_bytes().splitlines():
        read.take_review(stored(user, line))
    assert len(read) == (0 if form == "native" else 1)
