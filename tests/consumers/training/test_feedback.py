"""What an event teaches, by the policy."""

from typing import Any

import pytest

from consumers.training.feedback import MOST_CHARACTERS, feedback_of, weight_of
from stream_rec.events import Event
from stream_rec.policy import Signals


def event(event_type: str = "click", **more: Any) -> Event:
    return Event(event_id="e", event_type=event_type, user_id="u", item_id="i", timestamp=7, **more)


def test_stronger_signals_count_more() -> None:
    weights = [weight_of(event(kind), Signals()) for kind in ("view", "click", "purchase")]
    assert weights == sorted(weights)
    assert weight_of(event("dislike"), Signals()) < 0
    assert feedback_of(event("impression"), Signals()) is None


@pytest.mark.parametrize(("rating", "weight"), [(5.0, 1.0), (4.0, 0.5), (3.0, 0.25), (1.0, 0.25)])
def test_what_was_taken_and_not_liked_still_tells_of_a_need(rating: float, weight: float) -> None:
    assert weight_of(event("review", rating=rating), Signals()) == weight


@pytest.mark.parametrize(
    ("neutral", "stars", "kept"),
    [(3.0, (1, 2, 3, 4, 5), (0, 0.25, 0.5, 0.75, 1)), (5.5, (1, 5, 6, 10), (0, 0.375, 0.625, 1))],
)
def test_ratings_are_kept_by_where_the_shop_s_scale_has_its_middle(
    neutral: float, stars: tuple[float, ...], kept: tuple[float, ...]
) -> None:
    signals = Signals(rating_neutral=neutral)
    found = [feedback_of(event("review", rating=rating), signals) for rating in stars]
    assert [feedback.rating for feedback in found if feedback] == list(kept)
    unrated = feedback_of(event("review"), signals)
    assert unrated is not None
    assert unrated.rating is None


def test_where_the_policy_avoids_it_what_was_not_liked_takes_no_part() -> None:
    signals = Signals(negative_review="avoid")
    assert weight_of(event("review", rating=1.0), signals) == -1.0
    assert weight_of(event("review", rating=5.0), signals) == 1.0


def test_words_of_a_review_are_kept_up_to_a_length() -> None:
    found = feedback_of(event("review", rating=4.0, title="Good", text="x" * 9999), Signals())
    assert found is not None
    assert found.text.startswith("Good. x")
    assert len(found.text) == MOST_CHARACTERS
    found = feedback_of(event("review", rating=4.0, text="x"), Signals(review_text=False))
    assert found is not None
    assert found.text == ""
