import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.events import DAY_MS
from stream_rec.policy import ProfilePolicy, Signals
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile
from stream_rec.profiles.signals import is_negative, opinion_of, weight, weights


def took(
    event_type: str = "review",
    rating: float | None = None,
    sentiment: float | None = None,
    timestamp: int = 0,
) -> Interaction:
    return Interaction(timestamp, 1, 0, "i", event_type, "default", rating, sentiment)


@pytest.mark.parametrize(
    ("event_type", "worth"),
    [("click", 1.0), ("purchase", 3.0), ("dislike", -2.0), ("impression", 0.0), ("played", 1.0)],
)
def test_an_event_without_an_opinion_is_worth_what_the_policy_says(
    event_type: str, worth: float
) -> None:
    assert weight(took(event_type), Signals()) == worth


@pytest.mark.parametrize(
    ("rating", "worth"), [(5, 1.0), (4, 0.5), (3, 0.0), (2, -0.5), (1, -1.0), (100, 1.0)]
)
def test_a_rating_scales_by_its_distance_from_neutral(rating: float, worth: float) -> None:
    assert weight(took(rating=rating), Signals()) == worth


def test_neutral_is_what_the_policy_says() -> None:
    ten_stars = Signals(rating_neutral=5.5)
    assert weight(took(rating=3), ten_stars) == -1.0
    assert not is_negative(took(rating=6), ten_stars)


def test_a_bad_rating_of_a_purchase_is_bad_and_one_of_a_dislike_does_not_make_it_good() -> None:
    assert weight(took("purchase", rating=1), Signals()) == -3.0
    assert weight(took("dislike", rating=1), Signals()) == -2.0


def test_words_alone_decide_a_review_without_a_rating() -> None:
    assert weight(took(sentiment=-0.8), Signals()) == pytest.approx(-0.8)
    assert is_negative(took(sentiment=-0.1), Signals())
    assert opinion_of(took(), Signals()) is None


def test_words_have_the_smaller_say_beside_a_rating() -> None:
    assert weight(took(rating=5, sentiment=-1.0), Signals()) == pytest.approx(0.4)
    assert weight(took(rating=3, sentiment=-1.0), Signals()) < 0


def test_a_policy_may_leave_words_out() -> None:
    deaf = Signals(review_text=False)
    assert weight(took(rating=5, sentiment=-1.0), deaf) == 1.0
    assert opinion_of(took(sentiment=-1.0), deaf) is None


@given(st.none() | st.floats(-1e6, 1e6), st.none() | st.floats(-1, 1), st.sampled_from("ab"))
def test_no_event_is_worth_more_than_its_type(
    rating: float | None, sentiment: float | None, event_type: str
) -> None:
    signals = Signals(weights={"a": -3.0, "b": 2.0, "other": 1.0})
    worth = weight(took(event_type, rating, sentiment), signals)
    assert abs(worth) <= abs(signals.weight(event_type)) + 1e-9


def test_weights_fade_by_events_and_by_days_newest_first() -> None:
    profile = Profile("u", history=tuple(took("click", timestamp=day * DAY_MS) for day in range(3)))
    reading = ProfilePolicy(half_life_events=(1.0, 2.0), half_life_days=1.0)
    found = weights(profile, Signals(), reading, now_ms=2 * DAY_MS)
    assert found.shape == (2, 3)
    assert found[0] == pytest.approx([1.0, 0.5 * 0.5, 0.25 * 0.25])
    assert found[1] == pytest.approx([1.0, 0.5**0.5 * 0.5, 0.5 * 0.25])


def test_only_as_much_history_is_read_as_the_policy_allows() -> None:
    history = (took("purchase"), took("click"), took("view"))
    found = weights(Profile("u", history=history), Signals(), ProfilePolicy(history=2), now_ms=0)
    assert found.shape[1] == 2
    assert found[0, 0] == np.float32(0.3)


def test_an_event_from_the_future_does_not_count_more_than_one_of_now() -> None:
    profile = Profile("u", history=(took("click", timestamp=10 * DAY_MS),))
    assert weights(profile, Signals(), ProfilePolicy(), now_ms=0)[0, 0] == 1.0


def test_a_user_without_history_has_no_weights() -> None:
    assert weights(Profile("u"), Signals(), ProfilePolicy(), now_ms=0).shape == (2, 0)
