"""When a round is due: the tower often, the adapter by policy. Knows no topics and no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from consumers.training.memory import Clock, Memory
from stream_rec.adapters.life import DEFAULT_SCENARIO
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.policy import AdapterPolicy

Kind = Literal["tower", "adapter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A round to run now, and why."""

    scenario: str
    kind: Kind
    reason: str


def tower_due(
    memory: Memory, scenario: str, policy: AdapterPolicy, *, trying: bool, now_ms: int
) -> Due | None:
    """Return the round of the tower that a scenario needs now; None: none.

    ``trying`` says that a version of the scenario is tried on live events, or will be in a moment:
    until that is decided there is for a good while no other champion.
    """
    if not _enough(memory, scenario, policy):
        return None
    clock = memory.clock(scenario, "tower")
    if trying and clock.events < PATIENCE * policy.gate.shadow_events:
        return None
    reason = _tower_reason(clock, now_ms)
    untried = not clock.ended and clock.attempts < MOST_ATTEMPTS
    if reason is None and untried and _adapter_reason(memory, scenario, policy, now_ms):
        reason = "an adapter follows"
    return None if reason is None else Due(scenario=scenario, kind="tower", reason=reason)


def adapter_due(
    memory: Memory, scenario: str, policy: AdapterPolicy, *, trying: bool, now_ms: int
) -> Due | None:
    """Return the round of the adapter that a scenario needs now; None: none.

    A tower goes before the first, or that adapter would be taken for better because of its tower.
    While a version is tried on live events there is no rival.
    """
    if trying or not _enough(memory, scenario, policy) or not memory.clock(scenario, "tower").ended:
        return None
    reason = _adapter_reason(memory, scenario, policy, now_ms)
    return None if reason is None else Due(scenario=scenario, kind="adapter", reason=reason)


def _enough(memory: Memory, scenario: str, policy: AdapterPolicy) -> bool:
    buffer = memory.buffers.get(scenario)
    fewest = FEWEST if scenario == DEFAULT_SCENARIO else FEWEST_OF_ITS_OWN
    return policy.method != "frozen" and buffer is not None and len(buffer) >= fewest


def _adapter_reason(
    memory: Memory, scenario: str, policy: AdapterPolicy, now_ms: int
) -> str | None:
    clock = memory.clock(scenario, "adapter")
    if 0 < clock.attempts < MOST_ATTEMPTS:
        return INTERRUPTED
    if clock.events >= policy.every_events:
        return f"{clock.events} events"
    if clock.events < FEWEST_NEW:
        return None
    since_s = (now_ms - clock.began_ms) / 1000
    if policy.every_s is not None and since_s >= policy.every_s:
        return f"{since_s:.0f} s"
    return "drift" if policy.on_drift and clock.drifted else None


def _tower_reason(clock: Clock, now_ms: int) -> str | None:
    if 0 < clock.attempts < MOST_ATTEMPTS:
        return INTERRUPTED
    if clock.events >= TOWER_EVERY_EVENTS and now_ms - clock.began_ms >= 1000 * TOWER_EVERY_S:
        return f"{clock.events} events"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a round knows of the log: all up to `offsets`, of which newer than the last is new."""

    since_ms: int  # event time: what the last round of the kind knew
    newest_ms: int
    before: dict[str, int]  # offsets of the last round
    offsets: dict[str, int]


def begin(memory: Memory, due: Due, *, now_ms: int) -> Begun:
    """Note that a round begins; one that never ends leaves the clock where the last one ended."""
    clock = memory.clock(due.scenario, due.kind)
    clock.attempts += 1
    clock.began_ms = now_ms
    clock.drifted = False
    clock.events = 0
    buffer = memory.buffers[due.scenario]
    return Begun(
        since_ms=clock.newest_ms,
        newest_ms=max((feedback.timestamp for feedback in buffer), default=-1),
        before=dict(clock.offsets),
        offsets=dict(memory.offsets),
    )


def end(memory: Memory, due: Due, begun: Begun, *, serves: bool) -> None:
    """Note that a round has come to an end, whatever its outcome, and whether it serves at once."""
    clock = memory.clock(due.scenario, due.kind)
    clock.attempts = 0
    clock.newest_ms = begun.newest_ms
    clock.serves_ms = begun.newest_ms if serves else clock.serves_ms
    clock.offsets = dict(begun.offsets)


def sharing(memory: Memory, due: Due) -> dict[str, Mapping[str, Sequence[Feedback]]]:
    """Return the histories of the largest other scenarios, which an adapter of `default` serves."""
    if due.kind != "adapter" or due.scenario != DEFAULT_SCENARIO:
        return {}
    large = [
        (-len(buffer), name)
        for name, buffer in memory.buffers.items()
        if name != DEFAULT_SCENARIO and len(buffer) >= FEWEST_OF_A_HEAD
    ]
    return {name: memory.buffers[name].histories() for _, name in sorted(large)[:MOST_HEADS]}


# A scenario with as many events asks something of its own of the adapter of `default`; a tower for
# each is what that costs.
FEWEST_OF_A_HEAD, MOST_HEADS = 300, 4
FEWEST = 800
# With less of its own, a scenario is served by the adapter of `default`.
FEWEST_OF_ITS_OWN = 1000
FEWEST_NEW = 100
# In units of the policy's `shadow_events`: how long a trial keeps the champion as it is.
PATIENCE = 3.0
TOWER_EVERY_EVENTS = 500
TOWER_EVERY_S = 30.0
# A killed round is tried again at once, but not for ever: it may be what kills.
MOST_ATTEMPTS = 3
INTERRUPTED = "the last one was interrupted"
