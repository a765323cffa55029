"""Decayed popularity over event time."""

import numpy as np
import pytest

from stream_rec.statistics.popularity import HALF_LIVES_MS, DecayedCounts

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def _counted(rows: list[int], timestamps: list[int]) -> DecayedCounts:
    counts = DecayedCounts()
    counts.add(np.array(rows, np.int32), np.array(timestamps, np.int64))
    return counts


def _values(counts: DecayedCounts, half_life_events: float, now_ms: int) -> np.ndarray:
    return counts.values(counts.read(half_life_events, now_ms=now_ms), 2)


def test_sums_halve_after_one_half_life_of_the_grid() -> None:
    counts = _counted([0], [START_MS])
    entry = 5
    now = START_MS + int(HALF_LIVES_MS[entry])
    age = (now - counts.reference_ms[entry]) / HALF_LIVES_MS[entry]
    assert counts.sums[entry, 0] * 2.0**-age == pytest.approx(0.5)


def test_a_half_life_in_events_forgets_half_within_that_many_events() -> None:
    times = [START_MS + number * HOUR_MS for number in range(4000)]
    counts = _counted([0] * 2000 + [1] * 2000, times)
    old, new = _values(counts, 500.0, times[-1])
    assert new / (old + new) == pytest.approx(1 - 2.0**-4, abs=0.04)
    assert old + new == pytest.approx(500 / np.log(2), rel=0.01)


def test_a_short_stream_promises_no_more_evidence_than_there_is() -> None:
    counts = _counted([0, 1, 1], [START_MS] * 3)
    assert _values(counts, 2000.0, START_MS).tolist() == pytest.approx([1.0, 2.0], rel=1e-3)


def test_sums_do_not_depend_on_order_even_across_years() -> None:
    generator = np.random.default_rng(3)
    times = START_MS + generator.integers(0, 5 * 365 * 24 * HOUR_MS, 500)
    rows = generator.integers(0, 2, 500).astype(np.int32)
    forward, backward = DecayedCounts(), DecayedCounts()
    order = np.argsort(times)
    forward.add(rows[order], times[order])
    for place in order[::-1]:
        backward.add(rows[place : place + 1], times[place : place + 1])
    assert np.array_equal(forward.reference_ms, backward.reference_ms)
    assert forward.sums == pytest.approx(backward.sums, rel=1e-6)
    assert forward.mass == pytest.approx(backward.mass, rel=1e-6)


def test_a_steady_stream_is_read_at_its_rate() -> None:
    counts = _counted([0] * 3000, [START_MS + number * 60_000 for number in range(3000)])
    reading = counts.read(200.0, now_ms=START_MS + 3000 * 60_000)
    assert reading.events_per_ms == pytest.approx(1 / 60_000, rel=0.05)
