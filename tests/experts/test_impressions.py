"""What users were shown last."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.experts.impressions import Impressions
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.scoring import Example, learn, score
from tests.ranking.shop import NOW_MS, busy_shop, happened, profile_of, request


def _keep(impressions: Impressions, user_id: str, *, events: int = 1, count: int = 1) -> None:
    impressions.keep(
        Profile(user_id, events_applied=events),
        "default",
        rows=np.full(count, events, np.int32),
        features=np.full((count, 2), events, np.float32),
        history=events,
    )


def test_a_list_made_from_another_profile_is_not_what_was_shown() -> None:
    impressions = Impressions()
    _keep(impressions, "u", events=3)
    assert impressions.find(Profile("u", events_applied=3), "default") is not None
    assert impressions.find(Profile("u", events_applied=4), "default") is None
    assert impressions.find(Profile("u", events_applied=3), "evening") is None


def test_the_lists_served_last_are_remembered_and_short_ones_take_room_too() -> None:
    impressions = Impressions(most=128)
    for name in ("a", "b", "a", "c"):
        _keep(impressions, name)
    assert len(impressions) == 2
    assert impressions.find(Profile("b", events_applied=1), "default") is None
    assert impressions.find(Profile("a", events_applied=1), "default") is not None


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 300), st.booleans()), max_size=60),
    st.integers(300, 900),
)
def test_what_is_remembered_is_what_was_kept_last(
    told: list[tuple[int, int, bool]], most: int
) -> None:
    impressions, newest = Impressions(most=most), dict[str, tuple[int, int]]()
    for number, (user, count, erased) in enumerate(told):
        name = f"u{user}"
        if erased:
            impressions.forget(name, ["default"])
            newest.pop(name, None)
        else:
            _keep(impressions, name, events=number, count=count)
            newest[name] = (number, count)
            assert impressions.find(Profile(name, events_applied=number), "default") is not None
        found = 0
        for name, (events, count) in newest.items():
            shown = impressions.find(Profile(name, events_applied=events), "default")
            if shown is not None:
                found += max(count, 64)
                assert shown.rows.tolist() == [events] * count
                assert (shown.features == events).all()
                assert shown.features.shape == (count, 2)
        assert found <= most


def test_learning_from_what_was_shown_is_learning_from_the_same_described_anew() -> None:
    asked, weights = request(profile_of(happened("novel-1"))), []
    example = Example(
        profile=asked.profile,
        scenario="default",
        policy=asked.policy,
        item_id="novel-3",
        timestamp=NOW_MS,
    )
    for shown in (True, False):
        replica = busy_shop()
        replica.views.catch_up(replica, most=1000)
        if shown:
            score(replica, [asked], now_ms=NOW_MS)
            assert len(replica.views.impressions) == 1
        learn(replica, [example] * 3, now_ms=NOW_MS)
        weights.append(replica.rerankers["default"].weights)
    assert weights[0] == pytest.approx(weights[1], abs=2e-3)


def test_newcomers_are_described_once_for_all() -> None:
    replica = busy_shop()
    asked = request()
    examples = [
        Example(
            profile=None,
            scenario="default",
            policy=asked.policy,
            item_id=f"novel-{number}",
            timestamp=NOW_MS,
        )
        for number in range(12)
    ]
    learn(replica, examples, now_ms=NOW_MS)
    assert replica.rerankers["default"].examples == 12
