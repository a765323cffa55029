"""How long a user had been known goes out with each event."""

import msgspec
import numpy as np
import pytest

from stream_rec.events import DAY_MS
from stream_rec.policy import Trust
from stream_rec.profiles.history import HISTORY, LINK_WINDOW
from stream_rec.statistics.facts import ESTABLISHED_MS, FactsBuilder
from stream_rec.statistics.statistics import LEAST_TENURE
from tests.agreement import linked
from tests.test_erasure import Forgetting
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
    assert result.facts.tenure_ms.tolist() == [FIRST_MS]  # longer than any tenure asked


MINUTE_MS = 60_000


def established() -> Forgetting:
    """Return a bench of a shop that established users keep busy: an event a second for an hour."""
    bench, facts = Forgetting(), FactsBuilder()
    for second in range(3_600):
        at_ms = FIRST_MS + 1_000 * second
        facts.count(f"i{second % 9}", at_ms, None, False, tenure_ms=ESTABLISHED_MS)
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
        flags = dict(zip(result.facts.target.tolist(), result.facts.newcomer, strict=True))
        assert flags[result.facts.items.index("i2")] == (user == "ann")
    assert linked(bench.replica.statistics, "following") == {("i1", "i2"): (2, 1)}


def test_links_of_newcomers_are_taken_back_as_newcomers() -> None:
    """Late events that make the user an established one leave nothing behind but their own."""
    bench = established()
    bench.replica.put_policy("*", 0, {"trust": {"tenure_events": 180}})
    late = bench.arrival(item_id="i0", event_type="impression", timestamp=FIRST_MS - DAY_MS)
    between = [
        bench.arrival(item_id=f"i{number}", timestamp=FIRST_MS + 1 + number)
        for number in range(3, 3 + LINK_WINDOW)
    ]
    bench.take(bench.arrival(item_id="i1"), bench.arrival(item_id="i2", timestamp=FIRST_MS + 99))
    assert linked(bench.replica.statistics, "links") == {
        ("i1", "i2"): (2048, 2048),
        ("i2", "i1"): (1024, 1024),
    }
    bench.take(late, *between)
    for table in ("links", "following"):
        assert ("i1", "i2") not in linked(bench.replica.statistics, table)
        for (row, to), (weight, part) in linked(bench.replica.statistics, table).items():
            assert weight > 0
            assert part == (weight if "i2" in (row, to) else 0)


@pytest.mark.parametrize("erased", [False, True])
def test_what_was_never_linked_is_not_taken_back_when_the_past_is_gone(erased: bool) -> None:
    """Nor can it be made to look as if it had been linked, by what falls out of the history."""
    bench = Forgetting()
    items = ["x", "x", "x", "h", "x"]  # the last one came too often to be linked again
    bench.take(
        *(bench.arrival(item_id=item, timestamp=FIRST_MS + at) for at, item in enumerate(items))
    )
    assert ("h", "x") not in linked(bench.replica.statistics, "following")
    if erased:
        bench.take(bench.erasure(timestamp=FIRST_MS + 1))
    else:
        skips = range(100, 100 + HISTORY - 3)
        bench.take(*(bench.arrival(event_type="skip", timestamp=FIRST_MS + at) for at in skips))
    bench.take(bench.arrival(item_id="late", timestamp=FIRST_MS + 3))
    assert min(weight for weight, _ in linked(bench.replica.statistics, "following").values()) >= 0
    assert min(weight for weight, _ in linked(bench.replica.statistics, "links").values()) >= 0


@pytest.mark.parametrize("seed", range(12))
def test_newcomers_part_of_a_link_is_never_more_than_all_of_it(seed: int) -> None:
    """Whatever comes late, dated back, falls out of histories or is erased, cut anywhere."""
    bench, rng = established(), np.random.default_rng(seed)
    bench.replica.put_policy("*", 0, {"trust": {"tenure_events": 180}})
    kinds = ("click", "click", "click", "skip", "dislike", "impression")
    parts = 0
    for batch in range(40):
        arrivals = []
        for _ in range(int(rng.integers(1, 12))):
            at_ms = FIRST_MS + 10_000 * batch + int(rng.integers(-400_000, 20_000))
            item, kind = f"i{rng.integers(4 + seed)}", str(rng.choice(kinds))
            user = f"u{rng.integers(3)}"
            arrivals.append(bench.arrival(user, item_id=item, event_type=kind, timestamp=at_ms))
        bench.take(*arrivals)
        if seed % 3 == 0 and batch % 10 == 9:
            bench.take(bench.erasure("u0", timestamp=FIRST_MS + 10_000 * batch - 200_000))
        for table in ("links", "following"):
            for weight, part in linked(bench.replica.statistics, table).values():
                assert 0 <= part <= weight
                parts += part
    assert parts > 0


@pytest.mark.parametrize("append_ms", [None, FIRST_MS + 3_600_000])
def test_a_clock_that_runs_ahead_makes_nobody_established(append_ms: int | None) -> None:
    bench, hour_ms = established(), 3_600_000
    bench.replica.put_policy("*", 0, {"trust": {"tenure_events": 180}})
    tenure_ms, ahead_ms = bench.replica.newcomer_ms, FIRST_MS + hour_ms + DAY_MS - 1
    result = bench.take(
        bench.arrival(timestamp=FIRST_MS + hour_ms, append_ms=append_ms),
        bench.arrival(item_id="i2", timestamp=ahead_ms, append_ms=append_ms),
    )
    assert result.facts is not None
    believed = append_ms is None  # only the broker knows better
    assert (bench.replica.statistics.newest_ms == ahead_ms) == believed
    assert result.facts.tenure_ms.tolist() == [0, DAY_MS - 1 if believed else 0]
    assert result.facts.newcomer.tolist() == [True, not believed]
    assert believed or bench.replica.newcomer_ms == tenure_ms
    assert bench.profiles[0, "ann"].history[-1].timestamp == ahead_ms


def test_nobody_is_a_newcomer_while_hardly_anybody_is_established() -> None:
    bench = Bench()
    assert bench.replica.policies.effective("*").policy.trust == Trust()
    bench.take(bench.arrival(), bench.arrival(item_id="i2", timestamp=FIRST_MS + 1))
    assert bench.replica.newcomer_ms == 0.0
    assert not bench.replica.statistics.links.links().newcomers.any()
    known = established()
    assert known.replica.newcomer_ms > 0.0
    known.replica.put_policy("*", 0, {"trust": {"tenure_events": 0}})
    assert known.replica.newcomer_ms == 0.0
