"""What lists may no longer show: found by comparing what is so with what was a moment ago.

An item is forbidden when it is not recommendable or a rule blocks it. Items become forbidden when
they are withdrawn or sold out, when they or the rules change, and by the passing of time alone: an
item grows too old, a pin ends. Knows the replica, not whose lists show what.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rec.policy import Block, Pin, Policies
from stream_rec.ranking.draft import Shop
from stream_rec.ranking.rules import CompiledRules, rules_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Rows that one scenario's lists must not show any more; `pins`: what is pinned changed."""

    scenario: str
    rows: NDArray[np.int32]
    pins: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was so when it was last looked at."""

    changes: int
    version: int
    forbidden: NDArray[np.bool_]  # (rows,)
    pins: tuple[tuple[int, int], ...]  # (row, rank)


@dataclass(slots=True)
class Forbidden:
    """What each scenario may not show; `look` says what is new."""

    _seen: dict[str, _Seen] = field(default_factory=dict)

    def look(
        self, shop: Shop, policies: Policies, scenarios: list[str], *, now_ms: int
    ) -> list[Change]:
        """Return what has become forbidden since the last look; the first look finds nothing."""
        found: list[Change] = []
        unavailable = ~shop.catalogue.recommendable  # one array for all scenarios without rules
        ruled_ms = rules_time(shop.statistics.newest_ms or now_ms, now_ms)
        for scenario in scenarios:
            effective, seen = policies.effective(scenario), self._seen.get(scenario)
            rules = shop.derived.rules.compiled(effective.policy.rules, shop.catalogue)
            same = seen is not None and (seen.changes, seen.version) == (
                shop.catalogue.changes,
                effective.version,
            )
            if same and (rules is None or not rules.timed) and not _pinned_for_a_time(rules):
                continue
            now = self._seen[scenario] = _look(
                shop, rules, unavailable, version=effective.version, ruled_ms=ruled_ms
            )
            if seen is None:
                continue
            before = len(seen.forbidden)
            rows = np.flatnonzero(now.forbidden[:before] & ~seen.forbidden).astype(np.int32)
            if len(rows) or now.pins != seen.pins:
                found.append(Change(scenario=scenario, rows=rows, pins=now.pins != seen.pins))
        return found


def wrong_since(
    shop: Shop, policies: Policies, scenarios: list[str], *, named_ms: int, now_ms: int
) -> int:
    """Return before when lists were made that rules may have made wrong since, 0 without any.

    A pin ended, an item grew too old, or the item named last, at `named_ms`, may be one that a rule
    blocks or pins now: what it was before, nobody knows any more.
    """
    moments = [0]
    ruled_ms = rules_time(shop.statistics.newest_ms or now_ms, now_ms)
    for scenario in scenarios:
        rules = policies.effective(scenario).policy.rules
        moments += [rule.until_ms or 0 for rule in rules if isinstance(rule, Pin)]
        if any(isinstance(rule, Block | Pin) for rule in rules):
            moments.append(min(named_ms, now_ms))
        if (compiled := shop.derived.rules.compiled(rules, shop.catalogue)) is not None:
            moments.append(compiled.last_aged_ms(now_ms=ruled_ms))
    return max(moment for moment in moments if moment <= now_ms)


def _look(
    shop: Shop,
    rules: CompiledRules | None,
    unavailable: NDArray[np.bool_],
    *,
    version: int,
    ruled_ms: int,
) -> _Seen:
    forbidden = unavailable
    pins: tuple[tuple[int, int], ...] = ()
    if rules is not None:
        rows = np.arange(len(forbidden), dtype=np.int32)
        forbidden = unavailable | rules.blocks(rows, now_ms=ruled_ms)
        pins = tuple((pin.row, pin.rank) for pin in rules.pinned(now_ms=ruled_ms))
    return _Seen(changes=shop.catalogue.changes, version=version, forbidden=forbidden, pins=pins)


def _pinned_for_a_time(rules: CompiledRules | None) -> bool:
    return rules is not None and any(pin.until_ms is not None for pin in rules.pins)
