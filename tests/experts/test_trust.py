"""What newcomers say is bounded by what established users bear out."""

import numpy as np
import pytest

from stream_rec.experts.trust import credits_of
from stream_rec.items import Item
from stream_rec.policy import Trust
from stream_rec.replica import Replica
from stream_rec.statistics.facts import ESTABLISHED_MS, FactsBuilder
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics

START_MS, STEP_MS = 1_700_000_000_000, 1_000
ITEMS = [f"i{number}" for number in range(20)]
TRUST = Trust(tenure_events=1_500.0, allowance=1.0)


def shop(*more: tuple[str, int], established: float = 0.5) -> Statistics:
    """Return 2,000 events, each item taken alike by newcomers and others, and some among them.

    Those are spread over the time of the last 400.
    """
    statistics, rng = Statistics(ItemIndex(ITEMS)), np.random.default_rng(1)
    builder = FactsBuilder()
    for number in range(2_000):
        item_id = ITEMS[int(rng.integers(len(ITEMS)))]
        tenure_ms = ESTABLISHED_MS if rng.random() < established else 0
        builder.count(item_id, START_MS + STEP_MS * number, None, False, tenure_ms=tenure_ms)
    for number, (item_id, tenure_ms) in enumerate(more):
        at_ms = START_MS + STEP_MS * (1_600 + 400 * number // len(more))
        builder.count(item_id, at_ms, None, False, tenure_ms=tenure_ms)
    statistics.fold(builder.build("w"))
    return statistics


def credits(statistics: Statistics, trust: Trust = TRUST) -> dict[str, float]:
    """Return the credit of each item by its id."""
    found = credits_of(statistics, trust, now_ms=statistics.newest_ms).everybody
    return dict(zip(statistics.items.ids, found.tolist(), strict=True))


def worth(statistics: Statistics, item_id: str) -> float:
    """Return how many recent events of an item are believed."""
    entry = statistics.decayed.entry(500.0, now_ms=statistics.newest_ms)
    recent = statistics.decayed.at(entry, len(ITEMS), now_ms=statistics.newest_ms)
    return float(recent[statistics.items.row(item_id)]) * credits(statistics)[item_id]


def test_items_that_all_take_alike_keep_nearly_everything() -> None:
    found = credits(shop())
    assert min(found.values()) > 0.75
    assert sum(value == 1.0 for value in found.values()) >= len(ITEMS) // 2


def test_what_newcomers_alone_take_counts_as_much_as_the_established_bear_out() -> None:
    pushed = [("new", 0)] * 40
    found = credits(shop(*pushed))
    # Nobody established takes it, so 40 come to one event of theirs, and what fades into the past.
    assert 1.0 / 40 < found["new"] < 4.0 / 40
    taken_by_all = [("new", 0), ("new", ESTABLISHED_MS)] * 20
    assert credits(shop(*taken_by_all))["new"] == 1.0


def test_many_new_accounts_on_an_old_item_leave_it_where_it_was() -> None:
    honest, attacked = shop(), shop(*[("i3", 0)] * 40)
    before, after = worth(honest, "i3"), worth(attacked, "i3")
    assert after < 1.4 * before
    assert after / credits(attacked)["i3"] > 1.5 * before  # without the bound


def test_flood_cannot_sink_an_item_below_what_is_said_without_it() -> None:
    found = [worth(shop(*[("i3", 0)] * pushes), "i3") for pushes in (0, 40, 120)]
    assert found == sorted(found)


def test_larger_allowance_lets_new_items_rise_faster() -> None:
    statistics = shop(*[("new", 0)] * 40)
    found = [
        credits(statistics, Trust(tenure_events=1_500.0, allowance=n))["new"] for n in (0, 1, 9)
    ]
    assert found == sorted(found)
    assert found[0] > 0.0
    assert found[2] > 3 * found[1]


@pytest.mark.parametrize("established", [0.0, 0.02])
def test_where_hardly_anybody_is_established_everybody_counts(established: float) -> None:
    statistics = shop(*[("new", 0)] * 40, established=established)
    assert set(credits(statistics).values()) == {1.0}


def test_no_tenure_asked_trusts_everybody() -> None:
    statistics = shop(*[("new", 0)] * 40)
    assert set(credits(statistics, Trust(tenure_events=0.0)).values()) == {1.0}
    assert len(credits_of(Statistics(ItemIndex()), TRUST, now_ms=0).everybody) == 0


def test_who_is_a_newcomer_depends_on_the_half_life_that_is_asked() -> None:
    # Known for 1,700 events of the stream: long against 1,500, short against 9,000.
    statistics = shop(*[("new", 1_700 * STEP_MS)] * 40)
    assert credits(statistics, Trust(tenure_events=1_500.0))["new"] == 1.0
    assert credits(statistics, Trust(tenure_events=9_000.0))["new"] < 0.5


def test_newcomers_bear_what_is_left_out_of_everybodys_events() -> None:
    statistics = shop(*[("i3", 0)] * 40)
    found, row = (
        credits_of(statistics, TRUST, now_ms=statistics.newest_ms),
        statistics.items.row("i3"),
    )
    entry = statistics.decayed.entry(500.0, now_ms=statistics.newest_ms)
    every, settled = (
        float(counts.at(entry, len(ITEMS), now_ms=statistics.newest_ms)[row])
        for counts in (statistics.decayed, statistics.settled)
    )
    believed = settled + (every - settled) * float(found.newcomers[row])
    assert believed == pytest.approx(every * float(found.everybody[row]), rel=1e-5)
    assert 0.0 < found.newcomers[row] < found.everybody[row] < 1.0
    assert ((found.newcomers == 1.0) == (found.everybody == 1.0)).all()


def test_a_new_policy_holds_for_leaders_of_categories_too() -> None:
    replica = Replica()
    for number, item_id in enumerate([*ITEMS, "new"]):
        category = "pushed" if item_id in ("i3", "new") else f"other {number % 4}"
        replica.put_item(Item(item_id=item_id, categories=(category,)))
    replica.put_policy("*", 0, {"trust": {"tenure_events": 0}})
    statistics = shop(*[("new", 0)] * 200)
    replica.statistics = Statistics.from_bytes(statistics.to_bytes(), replica.items)
    now_ms, row = statistics.newest_ms, replica.items.row("new")
    code = int(replica.catalogue.categories.codes[row, 0])
    leader = [int(replica.views.items(replica, now_ms=now_ms).category_top[code, 0])]
    replica.put_policy("*", 1, {"trust": {"tenure_events": 1_500}})
    leader.append(int(replica.views.items(replica, now_ms=now_ms).category_top[code, 0]))
    assert leader == [row, replica.items.row("i3")]
