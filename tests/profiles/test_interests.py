import pytest

from stream_rec.items import Item
from stream_rec.policy import policy_of
from stream_rec.profiles.history import Interaction, Understood
from stream_rec.profiles.interests import interests
from stream_rec.profiles.profile import Profile

SHOP = {
    "fan": Item(item_id="fan", categories=("Home", "Fans"), tags=("quiet",), brand="Acme"),
    "pan": Item(item_id="pan", categories=("Home",), brand="Bolt"),
    "bare": Item(item_id="bare"),
}
FADELESS = policy_of({"profile": {"half_life_events": [1000], "half_life_days": 36500}})


def user(*past: tuple[str, str]) -> Profile:
    history = tuple(
        Interaction(number, 0, number, item_id, event_type, "default")
        for number, (item_id, event_type) in enumerate(past)
    )
    return Profile("u", history=history)


def test_an_items_weight_is_shared_among_its_labels_of_one_kind() -> None:
    found = interests(user(("fan", "click")), SHOP.get, FADELESS, now_ms=0)
    assert found["category", "Home"] == pytest.approx(0.5)
    assert found["category", "Fans"] == pytest.approx(0.5)
    assert found["tag", "quiet"] == pytest.approx(1.0)
    assert found["brand", "Acme"] == pytest.approx(1.0)


def test_interests_add_up_over_items_and_the_strongest_comes_first() -> None:
    found = interests(user(("fan", "click"), ("pan", "purchase")), SHOP.get, FADELESS, now_ms=0)
    assert found["category", "Home"] == pytest.approx(3.5, abs=0.01)
    assert next(iter(found)) == ("category", "Home")


def test_what_was_refused_is_a_negative_interest() -> None:
    found = interests(user(("pan", "dislike")), SHOP.get, FADELESS, now_ms=0)
    assert found == {("category", "Home"): -2.0, ("brand", "Bolt"): -2.0}


def test_strangers_and_bare_items_say_nothing() -> None:
    assert interests(user(("bare", "click"), ("x", "click")), SHOP.get, FADELESS, now_ms=0) == {}


def test_what_the_catalogue_learns_later_counts_for_the_past() -> None:
    profile = user(("late", "click"))
    assert interests(profile, SHOP.get, FADELESS, now_ms=0) == {}
    shop = SHOP | {"late": Item(item_id="late", tags=("new",))}
    assert interests(profile, shop.get, FADELESS, now_ms=0) == {("tag", "new"): 1.0}


def test_a_new_policy_counts_for_all_of_the_past() -> None:
    profile = user(("pan", "view"))
    weighed = policy_of({"signals": {"weights": {"view": 5}}})
    assert interests(profile, SHOP.get, weighed, now_ms=0)["category", "Home"] == 5.0


def test_what_reviews_are_about_is_an_interest_and_aspects_have_a_sign_of_their_own() -> None:
    understood = Understood(aspects=(("noise", -0.5),), tags=("Puzzle", "Story"))
    review = Interaction(
        0, 1, 0, "stranger", "review", "default", sentiment=1.0, understood=understood
    )
    found = interests(Profile("u", history=(review,)), SHOP.get, FADELESS, now_ms=0)
    assert found == {("topic", "Puzzle"): 0.5, ("topic", "Story"): 0.5, ("aspect", "noise"): -0.5}
