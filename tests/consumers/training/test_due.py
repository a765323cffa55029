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
    TOWER_EVERY_EVENTS,
    TOWER_EVERY_S,
    Due,
    adapter_due,
    begin,
    end,
    sharing,
    tower_due,
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


def due(memory: Memory, kind: str, policy: AdapterPolicy = POLICY, **more: object) -> Due | None:
    options: dict[str, object] = {"trying": False, "now_ms": NOW} | more
    ask = tower_due if kind == "tower" else adapter_due
    return ask(memory, "default", policy, **options)  # type: ignore[arg-type]


def with_a_tower(events: int) -> Memory:
    """What is remembered when a tower has been made of it just now."""
    memory = remembered(events)
    found = due(memory, "tower")
    assert found is not None
    end(memory, found, begin(memory, found, now_ms=NOW), serves=True)
    return memory


def test_tower_comes_often_and_the_adapter_by_policy_and_neither_waits_for_the_other() -> None:
    memory = with_a_tower(1200)
    assert due(memory, "tower") is None
    assert due(memory, "adapter") is None
    memory.clock("default", "adapter").events = 5000
    memory.clock("default", "tower").events = TOWER_EVERY_EVENTS
    later = NOW + 10**6
    found = due(memory, "tower", now_ms=later), due(memory, "adapter", now_ms=later)
    assert found == (
        Due(scenario="default", kind="tower", reason="500 events"),
        Due(scenario="default", kind="adapter", reason="5000 events"),
    )


def test_first_adapter_waits_for_a_tower_which_does_not_wait_for_its_time() -> None:
    memory = remembered(1200)
    memory.clock("default", "adapter").events = 5000
    memory.clock("default", "tower").events = TOWER_EVERY_EVENTS - 1
    assert due(memory, "adapter") is None
    found = due(memory, "tower")
    assert found is not None
    assert found.reason == "an adapter follows"
    end(memory, found, begin(memory, found, now_ms=NOW), serves=True)
    assert due(memory, "tower") is None
    assert due(memory, "adapter") is not None


@pytest.mark.parametrize(
    ("scenario", "fewest"), [("default", FEWEST), ("kitchen", FEWEST_OF_ITS_OWN)]
)
def test_scenario_with_little_learns_nothing_of_its_own(scenario: str, fewest: int) -> None:
    for events, wanted in ((fewest - 1, None), (fewest, "tower")):
        memory = remembered(events, scenario)
        found = tower_due(memory, scenario, POLICY, trying=False, now_ms=NOW)
        assert (found and found.kind) == wanted


def test_frozen_policy_learns_nothing() -> None:
    frozen = AdapterPolicy(method="frozen")
    assert due(with_a_tower(6000), "tower", frozen) is None
    assert due(with_a_tower(6000), "adapter", frozen) is None


def test_while_a_version_is_tried_there_is_no_rival_and_for_long_no_other_champion() -> None:
    memory = with_a_tower(1200)
    policy = AdapterPolicy(gate=Gate(shadow_events=1000))
    memory.clock("default", "adapter").events = 50_000
    memory.clock("default", "tower").events = int(PATIENCE * 1000) - 1
    later = NOW + 10**6
    assert due(memory, "adapter", policy, trying=True, now_ms=later) is None
    assert due(memory, "tower", policy, trying=True, now_ms=later) is None
    memory.clock("default", "tower").events += 1
    assert due(memory, "tower", policy, trying=True, now_ms=later) is not None


def test_tower_comes_not_before_its_time() -> None:
    memory = with_a_tower(1200)
    memory.clock("default", "tower").events = TOWER_EVERY_EVENTS
    assert due(memory, "tower", now_ms=NOW + int(1000 * TOWER_EVERY_S) - 1) is None
    assert due(memory, "tower", now_ms=NOW + int(1000 * TOWER_EVERY_S)) is not None


def test_first_tower_that_kills_is_not_tried_for_ever_because_an_adapter_waits_for_it() -> None:
    memory = remembered(1200)
    memory.clock("default", "adapter").events = 5000
    for _ in range(MOST_ATTEMPTS):
        found = due(memory, "tower")
        assert found is not None
        begin(memory, found, now_ms=NOW)  # and killed
    assert due(memory, "tower") is None


def test_what_serves_knows_what_the_last_round_knew_that_came_to_serve() -> None:
    memory = with_a_tower(1200)
    assert memory.clock("default", "tower").serves_ms == 1199
    for at in range(1200, 1800):
        memory.take("default", Feedback(user_id="u", item_id="i", timestamp=at))
    found = Due(scenario="default", kind="tower", reason="")
    end(memory, found, begin(memory, found, now_ms=NOW), serves=False)
    clock = memory.clock("default", "tower")
    assert (clock.newest_ms, clock.serves_ms) == (1799, 1199)


def test_time_and_drift_ask_for_an_adapter_when_there_is_something_new() -> None:
    memory = with_a_tower(1200)
    by_time = AdapterPolicy(every_events=10**6, every_s=60.0)
    found = due(memory, "adapter", by_time)
    assert found is not None
    assert found.reason == "3600 s"
    never = AdapterPolicy(every_events=10**6)
    assert due(memory, "adapter", never) is None
    memory.clock("default", "adapter").drifted = True
    found = due(memory, "adapter", never)
    assert found is not None
    assert found.reason == "drift"
    assert due(memory, "adapter", AdapterPolicy(every_events=10**6, on_drift=False)) is None
    memory.clock("default", "adapter").events = 3
    assert due(memory, "adapter", never) is None
    assert due(memory, "adapter", by_time) is None


@pytest.mark.parametrize("kind", ["tower", "adapter"])
def test_interrupted_round_is_tried_again_but_not_for_ever(kind: str) -> None:
    memory = with_a_tower(5000)
    memory.clock("default", "tower").events = 5000
    later = NOW + 10**6
    for _ in range(MOST_ATTEMPTS - 1):
        found = due(memory, kind, now_ms=later)
        assert found is not None
        begin(memory, found, now_ms=later)  # and killed: `end` never comes
        found = due(memory, kind, now_ms=later)
        assert found is not None
        assert found.reason == INTERRUPTED
    begin(memory, found, now_ms=later)
    assert due(memory, kind, now_ms=later) is None
    memory.clock("default", kind).events = 5000
    assert due(memory, kind, now_ms=later + 10**6) is not None


def test_round_that_begins_knows_what_the_last_one_knew_that_ended() -> None:
    memory = remembered(5000)
    memory.offsets = {"clicks-0": 5000}
    found = Due(scenario="default", kind="adapter", reason="")
    begun = begin(memory, found, now_ms=NOW)
    assert (begun.since_ms, begun.newest_ms, begun.before) == (-1, 4999, {})
    end(memory, found, begun, serves=False)
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
