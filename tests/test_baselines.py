import numpy as np
import pytest

from stream_rec.baselines import TOP, Baselines, gain
from stream_rec.errors import ConfigurationError

ITEMS = [f"i{number}" for number in range(30)]


def test_the_item_everyone_takes_leads_the_list_of_a_user_never_seen():
    yardsticks = Baselines(ITEMS)
    for user in range(5):
        yardsticks.learn(f"u{user}", "i7")
    ranks = yardsticks.ranks("stranger", "i7")
    assert set(ranks) == set(yardsticks.names)
    assert set(ranks.values()) == {0}


def test_a_standing_list_does_not_see_what_came_after_the_users_last_event():
    yardsticks = Baselines(ITEMS)
    yardsticks.learn("ann", "i0")
    before = yardsticks.ranks("ann", "i9")
    for user in range(8):
        yardsticks.learn(f"u{user}", "i9")
    assert yardsticks.ranks("ann", "i9") == before
    yardsticks.learn("ann", "i1")
    assert yardsticks.ranks("ann", "i9")["popularity-128"] == 0


def test_what_follows_the_users_last_item_comes_first_by_co_visitation_only():
    yardsticks = Baselines(ITEMS)
    for user in range(3):
        yardsticks.learn(f"pair{user}", "i3")
        yardsticks.learn(f"pair{user}", "i4")
    for user in range(9):
        yardsticks.learn(f"crowd{user}", "i20")
    yardsticks.learn("ann", "i3")
    ranks = yardsticks.ranks("ann", "i4")
    assert ranks["co-visitation"] == 0
    assert ranks["popularity-512"] == 1


def test_consumed_items_leave_the_lists_unless_users_repeat():
    for exclude in (True, False):
        yardsticks = Baselines(ITEMS, exclude_consumed=exclude)
        yardsticks.learn("ann", "i5")
        assert yardsticks.consumed("ann", "i5")
        assert not yardsticks.consumed("ann", "i6")
        ranks = yardsticks.ranks("ann", "i5")
        assert (set(ranks.values()) == {None}) is exclude
        if not exclude:
            assert ranks["own-latest"] == 0


def test_an_item_outside_the_catalogue_is_a_miss_and_teaches_nothing():
    yardsticks = Baselines(ITEMS)
    yardsticks.learn("ann", "unheard of")
    assert not yardsticks.consumed("ann", "unheard of")
    assert set(yardsticks.ranks("ann", "unheard of").values()) == {None}


def test_popularity_keeps_its_order_over_the_rescaling_of_its_counts():
    yardsticks = Baselines(ITEMS)
    rng = np.random.default_rng(3)
    rows = rng.integers(0, len(ITEMS), 5500)  # the shortest half-life rescales after about 5,100
    for number, row in enumerate(rows):
        yardsticks.learn(f"u{number % 50}", ITEMS[int(row)])
    fading = np.exp2(-np.arange(len(rows))[::-1] / 128)
    best = np.argsort(-np.bincount(rows, fading, len(ITEMS)))
    for place, row in enumerate(best[: TOP + 1]):
        rank = yardsticks.ranks("newcomer", ITEMS[int(row)])["popularity-128"]
        assert rank == (place if place < TOP else None)


def test_too_small_a_catalogue_is_refused():
    with pytest.raises(ConfigurationError):
        Baselines(ITEMS[:TOP])


def test_gain_falls_with_the_place():
    gains = [gain(place) for place in range(TOP + 1)]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] == 0.0
