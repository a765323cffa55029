"""What the topic tells of adapters, and what is written when a round has ended."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from consumers.training.announced import Announced, records_of
from stream_rec.adapters.life import (
    AdapterVersion,
    LivePointer,
    encode_adapter,
    live_key,
    version_key,
)


def version(number: int, **more: Any) -> AdapterVersion:
    fields: dict[str, Any] = {
        "scenario": "default", "version": number, "text_version": 0, "state": "promoted",
        "kind": "tower", "base_model_hash": "h", "method": "proximal", "created_at": 1,
        "changed_at": 1,
    }  # fmt: skip
    return AdapterVersion(**fields | more)


def pointer(number: int, *, scenario: str = "default", previous: int = 0) -> LivePointer:
    return LivePointer(
        scenario=scenario, version=number, previous=previous, changed_at=1, reason=""
    )


def record(value: AdapterVersion | LivePointer) -> Any:
    if isinstance(value, LivePointer):
        key = live_key(value.scenario)
    else:
        key = version_key(value.scenario, value.version)
    return SimpleNamespace(key=key, value=encode_adapter(value), offset=0)


def announced(*values: AdapterVersion | LivePointer) -> Announced:
    found = Announced()
    for value in values:
        found.take(record(value))
    return found


def test_scenario_without_an_adapter_is_served_by_that_of_default() -> None:
    found = announced(version(1), pointer(1), version(2, scenario="tv"), pointer(2, scenario="tv"))
    serving = [found.serving(name) for name in ("default", "tv", "radio")]
    assert [v and v.version for v in serving] == [1, 2, 1]
    assert announced().serving("default") is None


def test_numbers_never_come_back() -> None:
    found = announced(version(4))
    gone = record(version(4))
    gone.value = None
    found.take(gone)
    assert found.serving("default") is None
    assert found.newest == 4


def test_torn_record_is_passed_over() -> None:
    found = announced(version(1), pointer(1))
    found.take(SimpleNamespace(key=b"default/live", value=b'{"scen', offset=9))
    for strange in ("²", "9" * 5000, "-1"):
        found.take(SimpleNamespace(key=f"default/{strange}".encode(), value=None, offset=9))
    serving = found.serving("default")
    assert serving is not None
    assert serving.version == 1


def test_texts_are_read_by_what_serves_is_tried_or_served_before() -> None:
    found = announced(
        version(1, text_version=1, kind="adapter", state="retired"),
        version(2, text_version=2, kind="adapter"),
        version(3, text_version=3, kind="adapter", state="shadow"),
        version(4, text_version=4, kind="adapter", state="rejected"),
        version(5, scenario="tv"),
        pointer(2, previous=1),
        pointer(5, scenario="tv"),
    )
    assert sorted(found.read_by()) == [1, 2, 3]
    found.note([version(2, text_version=2, state="rolled_back"), pointer(1, previous=2)])
    assert sorted(found.read_by()) == [1, 3], "what was rolled back is read no more"


def test_bundles_of_what_serves_served_before_or_is_tried_must_stay() -> None:
    found = announced(
        version(1), version(2), version(3, state="shadow"), version(4), pointer(2, previous=1)
    )
    assert found.kept("default") == {1, 2, 3}
    assert found.kept("tv") == set()


def test_tower_serves_at_once_and_retires_what_it_replaces() -> None:
    made = version(8, state="shadow")
    records = records_of(made, announced(version(7), pointer(7)))
    states = [(r.version, r.state) for r in records if isinstance(r, AdapterVersion)]
    assert states == [(8, "promoted"), (7, "retired")]
    live = records[-1]
    assert isinstance(live, LivePointer)
    assert (live.version, live.previous) == (8, 7)


def test_scenario_s_first_tower_leaves_the_default_as_it_is() -> None:
    made = version(8, scenario="tv", state="shadow")
    records = records_of(made, announced(version(7), pointer(7)))
    assert [(r.scenario, r.version) for r in records] == [("tv", 8), ("tv", 8)]
    assert isinstance(records[1], LivePointer)
    assert records[1].previous == 7, "a rollback leads to what served before, not to no adapter"


def test_towers_of_an_adapter_leave_a_rollback_to_what_served_before_the_adapter() -> None:
    served = version(5, kind="adapter", text_version=5)
    made = version(6, text_version=5, state="shadow")
    live = records_of(made, announced(version(4), served, pointer(5, previous=4)))[-1]
    assert isinstance(live, LivePointer)
    assert (live.version, live.previous) == (6, 4)


@pytest.mark.parametrize(
    "made",
    [
        version(8, kind="adapter", text_version=8, state="shadow", champion=7),
        version(8, state="refused"),
    ],
)
def test_adapter_in_shadow_and_whatever_is_refused_serve_nobody(made: AdapterVersion) -> None:
    assert records_of(made, announced(version(7), pointer(7))) == [made]


def test_adapter_is_measured_against_what_serves_when_it_is_ready() -> None:
    began_after, now = version(7), version(9)
    found = announced(began_after, now, pointer(9, previous=7))
    made = version(8, kind="adapter", text_version=8, state="shadow", champion=7)
    assert [r.champion for r in records_of(made, found) if isinstance(r, AdapterVersion)] == [9]
    frozen = records_of(made, announced())[0]
    assert isinstance(frozen, AdapterVersion)
    assert frozen.champion == 0, "an operator went back to the frozen model meanwhile"
    refused = msgspec.structs.replace(made, state="refused")
    assert records_of(refused, found) == [refused], "the gate judged it against what it says"


def test_tower_for_an_adapter_that_serves_no_more_is_refused() -> None:
    promoted = version(7, kind="adapter", text_version=7)
    records = records_of(version(8, state="shadow"), announced(promoted, pointer(7)))
    assert [msgspec.structs.astuple(r)[4] for r in records] == ["refused"]
