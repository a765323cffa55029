"""Signed integer links in one pool."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.statistics import co_visitation
from stream_rec.statistics.co_visitation import BACKWARD, FORWARD, LinkTable
from stream_rec.statistics.facts import SOURCES

Row = tuple[int, int, list[int]]


def _add(table: LinkTable, rows: list[Row]) -> None:
    """Fold rows; those with an odd target are newcomers'."""
    sources = np.full((len(rows), SOURCES), -1, np.int32)
    for number, (_, _, own) in enumerate(rows):
        sources[number, : len(own)] = own
    targets = np.array([row[1] for row in rows], np.int32)
    table.reserve(1 + max([*targets.tolist(), *sources.ravel().tolist()], default=0))
    table.add(targets, np.array([row[0] for row in rows], np.int8), sources, targets % 2 == 1)


def _table(rows: list[Row]) -> LinkTable:
    table = LinkTable(FORWARD, BACKWARD)
    _add(table, rows)
    return table


def _expected(rows: list[Row]) -> dict[tuple[int, int], tuple[int, int]]:
    every: Counter[tuple[int, int]] = Counter()
    newcomers: Counter[tuple[int, int]] = Counter()
    for sign, target, sources in rows:
        for gap, source in enumerate(sources):
            for pair, values in (((source, target), FORWARD), ((target, source), BACKWARD)):
                if source != target:
                    every[pair] += sign * int(values[gap])
                    newcomers[pair] += sign * int(values[gap]) * (target % 2)
    told = {pair: (every[pair], newcomers[pair]) for pair in every}
    return {pair: weights for pair, weights in told.items() if weights != (0, 0)}


def _links(table: LinkTable) -> dict[tuple[int, int], tuple[int, int]]:
    """Return all links, how strong each is and newcomers' part of it."""
    columns = (column.tolist() for column in table.links())
    return {(row, to): (weight, part) for row, to, weight, part in zip(*columns, strict=True)}


link_rows = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, -1]),
        st.integers(0, 30),
        st.lists(st.integers(0, 30), max_size=SOURCES, unique=True),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(link_rows)
def test_links_are_the_sums_of_their_definition(rows: list[Row]) -> None:
    assert _links(_table(rows)) == _expected(rows)


@settings(deadline=None)
@given(link_rows, st.randoms(use_true_random=False), st.integers(1, 10))
def test_any_order_and_partition_gives_the_same_links(rows, shuffled, portion) -> None:  # type: ignore[no-untyped-def]
    mixed = list(rows)
    shuffled.shuffle(mixed)
    table = LinkTable(FORWARD, BACKWARD)
    for start in range(0, len(mixed), portion):
        _add(table, mixed[start : start + portion])
    assert _links(table) == _links(_table(rows))


@settings(deadline=None)
@given(link_rows)
def test_taking_everything_back_leaves_no_link(rows: list[Row]) -> None:
    table = _table(rows)
    _add(table, [(-sign, target, sources) for sign, target, sources in rows])
    assert _links(table) == {}


def test_a_snapshot_of_links_can_be_put_back() -> None:
    table = _table([(1, target, [target + 1, target + 2]) for target in range(50)])
    again = LinkTable(FORWARD, BACKWARD)
    again.reserve(60)
    again.put(table.links())
    assert _links(again) == _links(table)


def test_a_full_pool_keeps_the_heavier_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(co_visitation, "_LEAST_BUDGET", 1)
    monkeypatch.setattr(co_visitation, "_SLOTS_PER_ROW", 0)
    table = LinkTable(FORWARD, BACKWARD)
    heavy = [(1, 0, [source]) for source in range(1, 20) for _ in range(5)]
    _add(table, heavy)
    _add(table, [(1, 0, [source]) for source in range(20, 1000)])
    kept = table.row(0)
    assert len(kept) <= co_visitation.SMALL
    assert all(kept[source] == 5 * BACKWARD[0] for source in range(1, 20))
    assert max(table.pool.size) <= co_visitation.SMALL


def test_memory_stays_bounded_when_everybody_meets_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(co_visitation, "_LEAST_BUDGET", 1)
    table, generator = LinkTable(FORWARD, BACKWARD), np.random.default_rng(0)
    for _ in range(40):
        own = [generator.choice(3000, 20, replace=False).tolist() for _ in range(200)]
        _add(table, [(1, int(generator.integers(3000)), sources) for sources in own])
    assert table.nbytes / 3000 < 3072
