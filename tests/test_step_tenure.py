"""How long a user had been known goes out with each event."""

import msgspec

from stream_rec.policy import Trust
from stream_rec.statistics.facts import ESTABLISHED_MS, FactsBuilder
from stream_rec.statistics.statistics import LEAST_TENURE
from tests.test_step import FIRST_MS, Bench


def test_facts_tell_how_long_the_user_of_an_event_had_been_known() -> None:
    bench = Bench()
    bench.take(bench.arrival(event_type="impression"), bench.arrival("bob"))
    late = bench.take(
        bench.arrival(item_id="i2", timestamp=FIRST_MS + 5_000),
        bench.arrival("bob", item_id="i3", timestamp=FIRST_MS - 1_000),
        bench.arrival("bob", item_id="i4", timestamp=FIRST_MS + 1_000),
        bench.arrival("cay", item_id="i5", timestamp=FIRST_MS + 9_000),
    )
    assert late.facts is not None
    assert late.facts.tenure_ms.tolist() == [5_000, 0, 2_000, 0]
    assert bench.profiles[0, "bob"].since_ms == FIRST_MS - 1_000


def test_who_was_known_before_first_times_were_kept_is_no_newcomer() -> None:
    bench = Bench()
    bench.take(bench.arrival())
    old = msgspec.structs.replace(bench.profiles[0, "ann"], since_ms=0)
    bench.profiles[0, "ann"] = old
    result = bench.take(bench.arrival(item_id="i2"))
    assert result.facts is not None
    assert result.facts.tenure_ms.tolist() == [ESTABLISHED_MS]


MINUTE_MS = 60_000


def established() -> Bench:
    """Return a bench of a shop that established users keep busy: an event a second for an hour."""
    bench, facts = Bench(), FactsBuilder()
    for second in range(3_600):
        at_ms = FIRST_MS + 1_000 * second
        facts.add(f"i{second % 9}", at_ms, None, False, [], tenure_ms=ESTABLISHED_MS)
    bench.replica.statistics.fold(facts.build("w"))
    return bench


def test_links_of_newcomers_are_told_from_those_of_others() -> None:
    bench = established()
    bench.replica.put_policy("*", 0, {"trust": {"tenure_events": 180}})
    tenure_ms = bench.replica.newcomer_ms
    assert tenure_ms == LEAST_TENURE * MINUTE_MS  # 180 events of one a second
    for late, user in ((0, "ann"), (int(tenure_ms), "bob")):
        result = bench.take(
            bench.arrival(user, item_id="i1"),
            bench.arrival(user, item_id="i1", timestamp=FIRST_MS + late),  # not counted, but linked
            bench.arrival(user, item_id="i2", timestamp=FIRST_MS + late),
        )
        assert result.facts is not None
        linked = dict(zip(result.facts.target.tolist(), result.facts.newcomer, strict=True))
        assert linked[result.facts.items.index("i2")] == (user == "ann")
    row, to = (bench.replica.items.row(item) for item in ("i1", "i2"))
    statistics = bench.replica.statistics
    assert statistics.newcomers_following.row(row) == {to: 1}
    assert statistics.following.row(row) == {to: 2}


def test_nobody_is_a_newcomer_while_hardly_anybody_is_established() -> None:
    bench = Bench()
    assert bench.replica.policies.effective("*").policy.trust == Trust()
    bench.take(bench.arrival(), bench.arrival(item_id="i2", timestamp=FIRST_MS + 1))
    assert bench.replica.newcomer_ms == 0.0
    assert not bench.replica.statistics.newcomers_links.links().weight.any()
    known = established()
    assert known.replica.newcomer_ms > 0.0
    known.replica.put_policy("*", 0, {"trust": {"tenure_events": 0}})
    assert known.replica.newcomer_ms == 0.0
