"""What a promotion, a rejection and a rollback write on the `adapters` topic, whoever asks.

Values in, records out, in the order in which they are to be written: the pointer comes last. Knows
no evidence and no topics.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream_rec.adapters.life import AdapterVersion, LivePointer, pointed
from stream_rec.errors import ConfigurationError

Records = list[AdapterVersion | LivePointer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the topic says now."""

    versions: Mapping[int, AdapterVersion]
    pointers: Mapping[str, LivePointer]

    def live(self, scenario: str) -> int:
        """Return the version that a scenario is to be served by; 0 is the frozen model."""
        return pointed(self.pointers, scenario)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Why and when something changes, and who asked for it; None is the engine itself."""

    now_ms: int
    reason: str
    by: str | None = None
    shadow: Mapping[str, Any] = field(default_factory=dict)


def promotion(known: Known, version: int, turn: Turn) -> Records:
    """Return what makes a version serve its scenario.

    Raises:
        ConfigurationError: there is no such version, or it serves already.
    """
    record = _record(known, version)
    previous = known.live(record.scenario)
    pointer = known.pointers.get(record.scenario)
    if pointer is not None and pointer.version == version:
        msg = f"version {version} serves {record.scenario} already"
        raise ConfigurationError(msg)
    written: Records = [_changed(record, "promoted", turn)]
    before = known.versions.get(previous)
    if before is not None and before.scenario == record.scenario and previous != version:
        made_way = Turn(now_ms=turn.now_ms, reason=f"made way for {version}", by=turn.by)
        written.append(_changed(before, "retired", made_way))
    return [*written, _pointer(record.scenario, version, previous, turn)]


def rejection(known: Known, version: int, turn: Turn) -> Records:
    """Return what ends a version's shadow without a promotion."""
    return [_changed(_record(known, version), "rejected", turn)]


def rollback(known: Known, scenario: str, turn: Turn) -> Records:
    """Return what makes the version before serve a scenario again, in one step.

    A further rollback leads to the version that that one was measured against.

    Raises:
        ConfigurationError: no adapter of its own serves the scenario.
    """
    pointer = known.pointers.get(scenario)
    if pointer is None or not pointer.version:
        msg = f"no adapter of its own serves {scenario}: there is nothing to roll back"
        raise ConfigurationError(msg)
    target = 0 if pointer.previous == pointer.version else pointer.previous
    written: Records = []
    gone, back = known.versions.get(pointer.version), known.versions.get(target)
    if gone is not None and gone.scenario == scenario:
        written.append(_changed(gone, "rolled_back", turn))
    if back is not None and back.scenario == scenario:
        again = Turn(now_ms=turn.now_ms, reason=f"after {pointer.version}", by=turn.by)
        written.append(_changed(back, "promoted", again))
    before = back.champion if back is not None else 0
    return [*written, _pointer(scenario, target, before, turn)]


def _record(known: Known, version: int) -> AdapterVersion:
    record = known.versions.get(version)
    if record is None:
        have = ", ".join(map(str, sorted(known.versions))) or "none"
        msg = f"there is no adapter version {version}; there are {have}"
        raise ConfigurationError(msg)
    return record


def _changed(record: AdapterVersion, state: Any, turn: Turn) -> AdapterVersion:
    return msgspec.structs.replace(
        record,
        state=state,
        changed_at=turn.now_ms,
        reason=turn.reason,
        by=turn.by,
        shadow=dict(turn.shadow) or record.shadow,
    )


def _pointer(scenario: str, version: int, previous: int, turn: Turn) -> LivePointer:
    return LivePointer(
        scenario=scenario,
        version=version,
        previous=previous,
        changed_at=turn.now_ms,
        reason=turn.reason,
        by=turn.by,
    )
