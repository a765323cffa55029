"""How long a user had been known goes out with each event."""

import msgspec

from stream_rec.statistics.facts import ESTABLISHED_MS
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
