"""One user in a hundred is there to push an item: what that comes to in everybody else's lists.

`python -m benchmarks shilling` measures more; docs/robustness.md has the table and its causes.
"""

from functools import cache
from statistics import mean
from typing import Any

import pytest

from stream_rec.items import item_of
from stream_rec.simulation.shilling import PREFIX, WINDOW, Attack, Profile, attacked
from stream_rec.simulation.shop import Shop
from tests.attacked import SPARING, Harm, Lists, Played, beginning, harm, last_lists, middling

EVENTS, USERS, SEEDS = 4_000, 400, 2
MIDDLING = 0.5


@cache
def shop() -> tuple[Played, list[dict[str, Any]], Lists]:
    """Return an engine that has seen the beginning, the honest stream, and what it leads to."""
    made = Shop(3, items=300, users=USERS)
    items = [item_of(record) for record in made.catalogue()]
    stream = list(made.events(EVENTS, 1_700_000_000_000, 5_000))
    played = beginning(items, stream)
    return played, stream, last_lists(played, stream)


def attack(profile: Profile, share: float = 0.01) -> list[Harm]:
    """Return what an attack came to, once for each seed."""
    played, stream, before = shop()
    target = middling(stream, MIDDLING)
    found = []
    for seed in range(SEEDS):
        one = Attack(profile=profile, target=target, share=share, seed=seed)
        found.append(harm(before, last_lists(played, attacked(stream, one)), target))
    return found


@pytest.mark.parametrize("profile", ["random", "average", "bandwagon", "nuke", "flood"])
def test_one_attacker_in_a_hundred_hardly_moves_the_lists_of_others(profile: Profile) -> None:
    found = attack(profile)
    assert mean(one.rise for one in found) <= 2.0
    assert mean(one.touched for one in found) <= 0.01


@cache
def short_shop(tenure_events: float) -> tuple[Played, list[dict[str, Any]], Lists]:
    """Return a short stream, where an attack is a large part of what is known of its target."""
    made = Shop(5, items=300, users=700)
    items = [item_of(record) for record in made.catalogue()]
    stream = list(made.events(3_000, 1_700_000_000_000, 5_000))
    played = Played(items)
    played.replica.put_policy("*", 0, SPARING | {"trust": {"tenure_events": tenure_events}})
    played.play(stream, until=int(len(stream) * (1.0 - WINDOW)))
    return played, stream, last_lists(played, stream)


@pytest.mark.parametrize("profile", ["random", "average", "bandwagon"])
def test_new_accounts_push_an_item_as_far_as_established_users_bear_out(profile: Profile) -> None:
    rises, bounded = dict[float, Harm](), dict[float, int]()
    for tenure_events in (0.0, 1_000.0):
        played, stream, before = short_shop(tenure_events)
        target = middling(stream, MIDDLING)
        one = attacked(stream, Attack(profile=profile, target=target, share=0.05))
        twin = played.twin()
        twin.play(one, until=len(one))
        rises[tenure_events] = harm(before, twin.lists(), target)
        bounded[tenure_events] = twin.replica.sizes()["bounded_items"]
    assert bounded[0.0] == 0 < bounded[1_000.0]
    assert rises[1_000.0].shows < 0.5 * rises[0.0].shows
    assert rises[0.0].rise > 3.0  # there is something to hold up


def test_the_same_stream_leads_to_the_same_lists() -> None:
    played, stream, before = shop()
    assert harm(before, last_lists(played, stream), middling(stream, MIDDLING)).changed == 0.0


def test_a_beginning_that_was_played_before_changes_nothing() -> None:
    made = Shop(3, items=60, users=40)
    items = [item_of(record) for record in made.catalogue()]
    stream = list(made.events(500, 1_700_000_000_000, 5_000))
    assert last_lists(beginning(items, stream), stream) == last_lists(Played(items), stream)


def test_attackers_are_as_many_as_the_share_says_and_all_want_the_target() -> None:
    _, stream, _ = shop()
    target = middling(stream, MIDDLING)
    honest = {record["user_id"] for record in stream}
    for profile in ("random", "average", "bandwagon", "nuke"):
        mixed = attacked(stream, Attack(profile=profile, target=target, share=0.05))
        theirs = [record for record in mixed if record["user_id"].startswith(PREFIX)]
        assert [r for r in mixed if not r["user_id"].startswith(PREFIX)] == stream
        assert [r["timestamp"] for r in mixed] == sorted(r["timestamp"] for r in mixed)
        attackers = {record["user_id"] for record in theirs}
        assert len(attackers) == round(0.05 * len(honest))
        assert {r["user_id"] for r in theirs if r["item_id"] == target} == attackers
    flood = attacked(stream, Attack(profile="flood", target=target, share=0.05))
    assert len({r["user_id"] for r in flood if r["user_id"].startswith(PREFIX)}) == 1
