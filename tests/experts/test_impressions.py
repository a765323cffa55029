"""What users were shown last."""

import numpy as np
import pytest

from stream_rec.experts.impressions import Impression, Impressions
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.scoring import Example, learn, score
from tests.ranking.shop import NOW_MS, busy_shop, happened, profile_of, request


def _impression(events: int) -> Impression:
    return Impression(events, np.zeros(1, np.int32), np.zeros((1, 2), np.float16), 1)


def test_a_list_made_from_another_profile_is_not_what_was_shown() -> None:
    impressions = Impressions()
    impressions.keep("u", "default", _impression(3))
    assert impressions.find(Profile("u", events_applied=3), "default") is not None
    assert impressions.find(Profile("u", events_applied=4), "default") is None
    assert impressions.find(Profile("u", events_applied=3), "evening") is None


def test_no_more_users_are_remembered_than_agreed() -> None:
    impressions = Impressions(most=2)
    for name in ("a", "b", "a", "c"):
        impressions.keep(name, "default", _impression(1))
    assert len(impressions) == 2
    assert impressions.find(Profile("b", events_applied=1), "default") is None
    assert impressions.find(Profile("a", events_applied=1), "default") is not None


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
