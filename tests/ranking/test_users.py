"""What kernels read of users."""

import numpy as np
import pytest

from stream_rec.events import DAY_MS
from stream_rec.item_hash import item_hash
from stream_rec.policy import policy_of
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.users import Request, read_users
from tests.ranking.shop import NOW_MS, happened, profile_of, request, shop

ITEMS = shop().items


def _users(*requests: Request):  # type: ignore[no-untyped-def]
    return read_users(ITEMS, requests, now_ms=NOW_MS)


def _reading(profile: Profile, how: dict[str, object]) -> Request:
    return Request(profile=profile, scenario="default", policy=policy_of({"profile": how}))


def test_interactions_come_newest_first_and_strangers_are_left_out() -> None:
    profile = profile_of(happened("novel-1"), happened("never named"), happened("kettle-2"))
    users = _users(request(), request(profile))
    assert users.start.tolist() == [0, 0, 2]
    assert users.rows.tolist() == [ITEMS.row("kettle-2"), ITEMS.row("novel-1")]


def test_weights_fade_with_each_interaction_by_both_half_lives() -> None:
    profile = profile_of(*[happened(f"novel-{number}") for number in range(6)])
    users = _users(_reading(profile, {"half_life_events": [5, 30]}))
    assert users.near[5] / users.near[0] == pytest.approx(0.5, rel=1e-3)
    assert users.wide[5] / users.wide[0] == pytest.approx(2 ** (-5 / 30), rel=1e-3)


def test_what_was_refused_pushes_and_is_no_source() -> None:
    users = _users(request(profile_of(happened("novel-1", "dislike"))))
    assert users.near[0] < 0 < users.push[0]
    assert users.pull[0] == 0
    assert users.barred[0]


def test_of_a_bad_review_the_need_remains_unless_the_policy_avoids_it() -> None:
    bad = profile_of(happened("novel-1", "review", rating=1.0))
    users = _users(
        request(bad, signals={"negative_review": "alternatives"}),
        request(bad, signals={"negative_review": "avoid"}),
    )
    assert users.near[0] > 0 > users.near[1]
    assert users.pull[0] > 0 == users.pull[1]
    assert (users.push > 0).all()


def test_consumed_items_are_barred_unless_they_may_come_again() -> None:
    past = profile_of(happened("novel-1"))
    users = _users(
        request(past),
        request(past, list={"exclude": {"consumed": False}}),
        request(past, list={"exclude": {"cooldown_days": 1}}),
        request(past, list={"exclude": {"consumed": False, "cooldown_days": 1}}),
    )
    assert users.barred.tolist() == [True, False, True, False], "a cooldown is one of `consumed`"
    assert users.repeats.tolist() == [False, True, True, True]


def test_a_cooldown_ends() -> None:
    past = profile_of(happened("novel-1"), until_ms=NOW_MS - 2 * DAY_MS)
    users = _users(request(past, list={"exclude": {"cooldown_days": 1}}))
    assert not users.barred[0]


def test_a_policy_that_reads_less_history_reads_the_newest() -> None:
    past = profile_of(happened("novel-1"), happened("novel-2"), happened("novel-3"))
    users = _users(_reading(past, {"history": 2}))
    assert users.rows.tolist() == ITEMS.rows(["novel-3", "novel-2"]).tolist()


def test_what_a_policy_does_not_weigh_bars_as_long_as_it_is_remembered() -> None:
    past = [happened("novel-1"), happened("novel-2", "skip"), happened("novel-3")]
    asked = request(
        profile_of(*past, until_ms=NOW_MS - DAY_MS),
        profile={"history": 1},
        list={"exclude": {"cooldown_days": 1}},
    )
    assert _users(asked).hashes.tolist() == [item_hash("novel-2")], "novel-1 is a minute too old"


def test_nobody_has_columns_of_length_zero() -> None:
    users = _users(request())
    assert len(users.rows) == 0
    assert users.near.dtype == np.float32
