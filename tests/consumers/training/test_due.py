"""When rounds are due: by events, by time, by drift, and after a kill."""

import pytest

from consumers.training.due import (
    FEWEST,
    FEWEST_OF_A_HEAD,
    FEWEST_OF_ITS_OWN,
    INTERRUPTED,
    MOST_ATTEMPTS,
    MOST_HEADS,
    PATIENCE,
    REST,
    TOWER_EVERY_EVENTS,
    Due,
    begin,
    end,
    next_round,
    sharing,
)
from consumers.training.memory import Memory
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.policy import AdapterPolicy, Gate

NOW = 10**12
POLICY = AdapterPolicy(every_events=5000)


def remembered(events: int, scenario: str = "default") -> Memory:
    memory = Memory()
    for at in range(events):
        memory.take(scenario, Feedback(user_id=f"u{at // 5}", item_id=f"i{at % 7}", timestamp=at))
    memory.start_clocks(NOW - 1000 * 3600)
    return memory


def due(memory: Memory, policy: AdapterPolicy = POLICY, **more: object) -> Due | None:
    options: dict[str, object] = {"trying": False, "now_ms": NOW} | more
    return next_round(memory, "default", policy, **options)  # type: ignore[arg-type]


def test_tower_comes_often_and_the_adapter_by_policy() -> None:
    memory = remembered(1200)
    found = due(memory)
    assert found is not None
    assert found.kind == "tower"
    memory.clock("default", "adapter").events = 5000
    memory.clock("default", "tower").events = 50
    found = due(memory)
    assert found is not None
    assert (found.kind, found.reason) == ("adapter", "5000 events")


def test_champion_gets_a_new_tower_before_a_rival_is_trained() -> None:
    memory = remembered(1200)
    memory.clock("default", "adapter").events = 5000
    memory.clock("default", "tower").events = 3000
    found = due(memory)
    assert found is not None
    assert found.kind == "tower"
    end(memory, found, begin(memory, found, now_ms=NOW), took_s=9.0)
    found = due(memory)
    assert found is not None
    assert found.kind == "adapter"


@pytest.mark.parametrize(
    ("scenario", "fewest"), [("default", FEWEST), ("kitchen", FEWEST_OF_ITS_OWN)]
)
def test_scenario_with_little_learns_nothing_of_its_own(scenario: str, fewest: int) -> None:
    for events, wanted in ((fewest - 1, None), (fewest, "tower")):
        memory = remembered(events, scenario)
        found = next_round(memory, scenario, POLICY, trying=False, now_ms=NOW)
        assert (found and found.kind) == wanted


def test_frozen_policy_learns_nothing() -> None:
    assert due(remembered(6000), AdapterPolicy(method="frozen")) is None


def test_while_a_version_is_tried_there_is_no_rival_and_for_long_no_other_champion() -> None:
    memory = remembered(1200)
    policy = AdapterPolicy(gate=Gate(shadow_events=1000))
    memory.clock("default", "adapter").events = 50_000
    memory.clock("default", "tower").events = int(PATIENCE * 1000) - 1
    assert due(memory, policy, trying=True) is None
    memory.clock("default", "tower").events += 1
    found = due(memory, policy, trying=True)
    assert found is not None
    assert found.kind == "tower"


def test_tower_rests_in_proportion_to_what_it_took() -> None:
    memory = remembered(1200)
    found = due(memory)
    assert found is not None
    end(memory, found, begin(memory, found, now_ms=NOW), took_s=100.0)
    memory.clock("default", "tower").events = TOWER_EVERY_EVENTS
    assert due(memory, now_ms=NOW + int(1000 * REST * 100) - 1) is None
    assert due(memory, now_ms=NOW + int(1000 * REST * 100)) is not None


def test_time_and_drift_ask_for_an_adapter_when_there_is_something_new() -> None:
    memory = remembered(1200)
    memory.clock("default", "tower").events = 0
    by_time = AdapterPolicy(every_events=10**6, every_s=60.0)
    found = due(memory, by_time)
    assert found is not None
    assert found.reason == "3600 s"
    never = AdapterPolicy(every_events=10**6)
    assert due(memory, never) is None
    memory.clock("default", "adapter").drifted = True
    found = due(memory, never)
    assert found is not None
    assert found.reason == "drift"
    assert due(memory, AdapterPolicy(every_events=10**6, on_drift=False)) is None
    memory.clock("default", "adapter").events = 3
    assert due(memory, never) is None
    assert due(memory, by_time) is None


def test_interrupted_round_is_tried_again_but_not_for_ever() -> None:
    memory = remembered(5000)
    memory.clock("default", "tower").events = 0
    for _ in range(MOST_ATTEMPTS - 1):
        found = due(memory)
        assert found is not None
        assert found.kind == "adapter"
        begin(memory, found, now_ms=NOW)  # and killed: `end` never comes
        found = due(memory)
        assert found is not None
        assert found.reason == INTERRUPTED
    begin(memory, found, now_ms=NOW)
    assert due(memory) is None
    memory.clock("default", "adapter").events = 5000
    assert due(memory) is not None


def test_round_that_begins_knows_what_the_last_one_knew_that_ended() -> None:
    memory = remembered(5000)
    memory.offsets = {"clicks-0": 5000}
    found = Due(scenario="default", kind="adapter", reason="")
    begun = begin(memory, found, now_ms=NOW)
    assert (begun.since_ms, begun.newest_ms, begun.before) == (-1, 4999, {})
    end(memory, found, begun, took_s=1.0)
    memory.offsets = {"clicks-0": 7000}
    for _ in range(2):  # the first is killed
        begun = begin(memory, found, now_ms=NOW)
        assert (begun.since_ms, begun.before) == (4999, {"clicks-0": 5000})
        assert begun.offsets == {"clicks-0": 7000}


def test_the_largest_scenarios_share_the_adapter_of_default_and_no_other() -> None:
    memory, sizes = Memory(), {f"s{number}": FEWEST_OF_A_HEAD + number for number in range(6)}
    for scenario, events in (sizes | {"small": FEWEST_OF_A_HEAD - 1}).items():
        for at in range(events):
            memory.take(scenario, Feedback(user_id=f"{scenario}-{at}", item_id="i", timestamp=at))
    adapter = Due(scenario="default", kind="adapter", reason="test")
    found = sharing(memory, adapter)
    assert list(found) == ["s5", "s4", "s3", "s2"][:MOST_HEADS]
    assert len(found["s5"]) == FEWEST_OF_A_HEAD + 5
    assert sharing(memory, Due(scenario="default", kind="tower", reason="test")) == {}
    assert sharing(memory, Due(scenario="s5", kind="adapter", reason="test")) == {}
