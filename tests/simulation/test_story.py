"""Nora's story: contract-true events that build up one need and then regret one purchase."""

import msgspec
import pytest

from stream_rec.events import parse_event
from stream_rec.profiles.phrases import telling_phrase
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.simulation.shop import Shop
from stream_rec.simulation.story import ASPECT, NEED, PROTAGONIST, story

START_MS = 1_763_790_285_123


@pytest.mark.parametrize("seed", range(6))
def test_story_is_one_need_one_purchase_and_a_true_bad_review(seed: int) -> None:
    shop = Shop(seed)
    products = {product.item_id: product for product in shop.products}
    scenes = story(shop, START_MS, 2000)
    for number, scene in enumerate(scenes):
        kind = "review" if scene.topic == "reviews" else "click"
        value = msgspec.json.encode(scene.record)
        event = parse_event(value, key=PROTAGONIST.encode(), kind=kind, source="t-0-0")
        assert event.timestamp == START_MS + 2000 * number
        product = products[event.item_id]
        assert (product.kind.name, product.use) == NEED
    *looks, review = scenes
    assert len({scene.record["item_id"] for scene in looks}) >= 4
    assert review.record["event_type"] == "review"
    assert products[review.record["item_id"]].quality[ASPECT] < 0
    assert looks[-1].record["event_type"] == "purchase"
    assert looks[-1].record["item_id"] == review.record["item_id"]


def test_review_is_understood_and_quotable() -> None:
    review = story(Shop(), START_MS, 1)[-1].record
    assert review["text"].endswith(", but the fan is unbearable.")
    assert telling_phrase(review["text"], side=-1) == "the fan is unbearable"
    assert (Sentiment().predict("the fan is unbearable") or 0) < -0.2


def test_quieter_alternatives_of_the_same_need_are_in_the_shop() -> None:
    shop = Shop()
    met = {scene.record["item_id"] for scene in story(shop, START_MS, 1)}
    quiet = [
        product
        for product in shop.products
        if (product.kind.name, product.use) == NEED
        and product.item_id not in met
        and product.quality[ASPECT] > 0.2
    ]
    assert len(quiet) >= 2


def test_nobody_else_bears_the_protagonists_name() -> None:
    assert PROTAGONIST not in {shopper.user_id for shopper in Shop().shoppers()}
