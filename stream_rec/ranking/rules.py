"""What operators rule about lists: items never shown, scores multiplied, items pinned to a rank.

Rules are compiled once into arrays over the rows of the catalogue and kept until the rules or the
catalogue change; conditions on age are looked at each time. Knows nothing of users or experts.

Decided here: a condition on something the catalogue does not say (a price, a time of publication)
is not met. A pin is shown until its end, unless its item is blocked, not available, withdrawn or
unknown, or one that the policy excludes for this user; the next items move up then. Two pins of one
rank take that rank and the next one, in the order of the rules. Ends and ages are
read at `rules_time`.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue, Labels
from stream_rec.events import DAY_MS
from stream_rec.policy import Block, Boost, Pin, Where

Rules = tuple[Block | Boost | Pin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A rule on the age of items: its other conditions as a mask, its ages in milliseconds."""

    mask: NDArray[np.bool_]  # (capacity,)
    least_age_ms: float
    most_age_ms: float
    log_factor: float | None  # None blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedItem:
    """One pin: the item's row, its rank from 1, and when it ends."""

    row: int
    rank: int
    until_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRules:
    """Rules as arrays over rows; `changes` is the state of the catalogue that they hold for."""

    rules: Rules
    changes: int
    blocked: NDArray[np.bool_]  # (capacity,)
    log_factor: NDArray[np.float32]  # (capacity,)
    timed: tuple[Timed, ...]
    pins: tuple[PinnedItem, ...]
    published_ms: NDArray[np.int64]  # (capacity,)

    def blocks(self, rows: NDArray[np.int32], *, now_ms: int) -> NDArray[np.bool_]:
        """Return which rows must not be shown."""
        blocked = self.blocked[rows]
        for rule in self.timed:
            if rule.log_factor is None:
                blocked |= self._meant(rule, rows, now_ms)
        return blocked

    def log_factors(self, rows: NDArray[np.int32], *, now_ms: int) -> NDArray[np.float32]:
        """Return the logarithm of what multiplies each row's score.

        Factors of rules multiply, as far as a score stays a number.
        """
        factors = self.log_factor[rows]
        for rule in self.timed:
            if rule.log_factor is not None:
                factors += rule.log_factor * self._meant(rule, rows, now_ms)
        return np.clip(factors, -_MOST_LOG_FACTOR, _MOST_LOG_FACTOR)

    def pinned(self, *, now_ms: int) -> list[PinnedItem]:
        """Return the pins in force that no rule blocks, by rank."""
        alive = [pin for pin in self.pins if pin.until_ms is None or now_ms < pin.until_ms]
        if not alive:
            return alive
        rows = np.array([pin.row for pin in alive], np.int32)
        blocked = self.blocks(rows, now_ms=now_ms)
        return [pin for pin, out in zip(alive, blocked, strict=True) if not out]

    def last_aged_ms(self, *, now_ms: int) -> int:
        """Return when the last of the items that are blocked for their age grew too old, or 0."""
        last = 0.0
        for rule in self.timed:
            if rule.log_factor is None and rule.least_age_ms > -np.inf:
                rows = np.flatnonzero(rule.mask).astype(np.int32)
                grown_ms = self.published_ms[rows[self._meant(rule, rows, now_ms)]]
                last = max(last, (grown_ms + rule.least_age_ms).max(initial=0.0))
        return int(last) + (last > 0.0)

    def _meant(self, rule: Timed, rows: NDArray[np.int32], now_ms: int) -> NDArray[np.bool_]:
        published = self.published_ms[rows]
        ages = now_ms - published
        meant: NDArray[np.bool_] = rule.mask[rows] & (published > 0)
        return meant & (ages > rule.least_age_ms) & (ages < rule.most_age_ms)


def rules_time(stream_ms: int, now_ms: int) -> int:
    """Return the time that rules are read at: this machine's, unless an old log is replayed.

    A pin ends by the clock on the wall, also when no event moves the stream's own; but in the log
    of last year ends and ages are meant in the time of that log.

    >>> rules_time(1_763_790_000_000, 1_763_790_600_000), rules_time(1_000, 1_763_790_600_000)
    (1763790600000, 1000)
    """
    return now_ms if abs(now_ms - stream_ms) < LIVE_DAYS * DAY_MS else stream_ms


@dataclass(slots=True)
class RuleBook:
    """Compiled rules by their content, the most recently used ones."""

    _compiled: OrderedDict[Rules, CompiledRules] = field(default_factory=OrderedDict)

    def compiled(self, rules: Rules, catalogue: Catalogue) -> CompiledRules | None:
        """Return the rules ready to apply, None when there are none."""
        if not rules:
            return None
        found = self._compiled.get(rules)
        if found is None or found.changes != catalogue.changes:
            found = compile_rules(rules, catalogue)
            self._compiled[rules] = found
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(rules)
        return found


def compile_rules(rules: Rules, catalogue: Catalogue) -> CompiledRules:
    """Evaluate every condition that does not depend on the time."""
    capacity = len(catalogue.known)
    blocked = np.zeros(capacity, np.bool_)
    log_factor = np.zeros(capacity, np.float32)
    timed: list[Timed] = []
    pins: list[PinnedItem] = []
    for rule in rules:
        if isinstance(rule, Pin):
            row = catalogue.items.row(rule.item_id)
            if 0 <= row < capacity and catalogue.recommendable[row]:
                pins.append(PinnedItem(row=row, rank=rule.rank, until_ms=rule.until_ms))
            continue
        mask = matching(rule.where, catalogue)
        strength = float(np.log(rule.factor)) if isinstance(rule, Boost) else None
        where = rule.where
        if where.older_than_days is not None or where.newer_than_days is not None:
            timed.append(
                Timed(
                    mask=mask,
                    least_age_ms=-np.inf
                    if where.older_than_days is None
                    else where.older_than_days * DAY_MS,
                    most_age_ms=np.inf
                    if where.newer_than_days is None
                    else where.newer_than_days * DAY_MS,
                    log_factor=strength,
                )
            )
        elif strength is None:
            blocked |= mask
        else:
            log_factor[mask] += strength
    return CompiledRules(
        rules=rules,
        changes=catalogue.changes,
        blocked=blocked,
        log_factor=log_factor,
        timed=tuple(timed),
        pins=tuple(sorted(pins, key=lambda pin: pin.rank)),
        published_ms=catalogue.published_ms,
    )


def matching(where: Where, catalogue: Catalogue) -> NDArray[np.bool_]:
    """Return the rows that meet every condition but those on age, (capacity,)."""
    mask = catalogue.known.copy()
    for labels, name in (
        (catalogue.categories, where.category),
        (catalogue.tags, where.tag),
        (catalogue.brands, where.brand),
    ):
        if name is not None:
            mask &= _carrying(labels, name, len(mask))
    if where.item_id is not None:
        row = catalogue.items.row(where.item_id)
        mask &= np.arange(len(mask)) == row
    if where.available is not None:
        mask &= catalogue.recommendable == where.available
    if where.price_above is not None:
        mask &= catalogue.price > where.price_above
    if where.price_below is not None:
        mask &= catalogue.price < where.price_below
    return mask


def _carrying(labels: Labels, name: str, capacity: int) -> NDArray[np.bool_]:
    code = labels.code(name)
    if code < 0:
        return np.zeros(capacity, np.bool_)
    carrying: NDArray[np.bool_] = (labels.codes[:capacity] == code).any(1)
    return carrying


_KEPT = 256
_MOST_LOG_FACTOR = 30.0
LIVE_DAYS = 7  # a stream whose newest event is older than this is a replay
