"""Decayed popularity: sums of 2^-(age / half-life) over event time, for a grid of half-lives.

The sums do not depend on the order of arrival. A half-life in events is resolved when it is read:
a steady stream of r events per unit of time has the decayed mass r * h / ln 2 at half-life h, so
the entry of the grid whose mass is N / ln 2 forgets half within N events.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_rec.compiled import kernel

HALF_LIVES_MS: NDArray[np.float64] = 60_000.0 * 3.0 ** np.arange(16.0)  # 1 minute … 27 years


class Reading(NamedTuple):
    """How to read one half-life: two neighbouring entries of the grid, their factors, the rate."""

    lower: int
    upper: int
    lower_factor: float
    upper_factor: float
    events_per_ms: float  # of a steady stream with this mass
    half_life_ms: float


class DecayedCounts:
    """Decayed sums per item and in all, for each half-life of the grid.

    An entry takes the events of users who had been known for `least_tenure` of its half-lives.

    Sums are kept relative to `reference_ms`, a function of the newest event time alone: the last
    multiple of 32 half-lives. Moving it multiplies by powers of two, which is exact.
    """

    def __init__(self, *, least_tenure: float = 0.0) -> None:
        self._least_tenure = least_tenure
        self.sums: NDArray[np.float64] = np.zeros((len(HALF_LIVES_MS), 1024))  # (grid, capacity)
        self.mass: NDArray[np.float64] = np.zeros(len(HALF_LIVES_MS))
        self.reference_ms: NDArray[np.float64] = np.zeros(len(HALF_LIVES_MS))

    def reserve(self, rows: int) -> None:
        """Make room for this many items."""
        capacity = self.sums.shape[1]
        if rows > capacity:
            grown = np.zeros((len(HALF_LIVES_MS), max(rows, capacity + capacity // 2)))
            grown[:, :capacity] = self.sums
            self.sums = grown

    def add(
        self,
        rows: NDArray[np.int32],
        timestamps: NDArray[np.int64],
        tenures_ms: NDArray[np.int64] | None = None,
    ) -> None:
        """Count events, each one unit at its own time; `rows` must be reserved."""
        if len(rows):
            tenures_ms = np.zeros_like(timestamps) if tenures_ms is None else tenures_ms
            least_ms = self._least_tenure * HALF_LIVES_MS
            table = (self.sums, self.mass, self.reference_ms)
            _add(table, (HALF_LIVES_MS, least_ms), rows, timestamps, tenures_ms)

    def entry(self, half_life_events: float, *, now_ms: int) -> int:
        """Return the entry of the grid that comes nearest to a half-life of so many events."""
        mass = self.mass * self._decay(now_ms)
        return int(np.abs(np.log(np.maximum(mass, 1e-12) * _LN2 / half_life_events)).argmin())

    def at(self, entry: int, rows: int, *, now_ms: int) -> NDArray[np.float64]:
        """Return the decayed counts of the first `rows` items at one entry of the grid."""
        return self.sums[entry, :rows] * float(self._decay(now_ms)[entry])

    def total(self, entry: int, *, now_ms: int) -> float:
        """Return the decayed count of all items together at one entry of the grid."""
        return float(self.mass[entry] * self._decay(now_ms)[entry])

    def read(self, half_life_events: float, *, now_ms: int) -> Reading:
        """Return where a half-life of so many events lies, interpolated in logarithms of mass.

        Each of the two entries is scaled to the mass that the half-life stands for. A stream too
        short for it is read as it is, and so never promises more evidence than there is.
        """
        wanted = half_life_events / _LN2
        decay = self._decay(now_ms)
        mass = np.maximum.accumulate(np.maximum(self.mass * decay, 1e-12))
        rates = mass * _LN2 / HALF_LIVES_MS
        upper = int(np.searchsorted(mass, wanted))
        if upper in (0, len(mass)):
            entry = min(upper, len(mass) - 1)
            factor = min(wanted / mass[entry], 1.0) * decay[entry]
            rate, half_life = float(rates[entry]), float(HALF_LIVES_MS[entry])
            return Reading(entry, entry, float(factor), 0.0, rate, half_life)
        lower = upper - 1
        share = float(np.log(wanted / mass[lower]) / np.log(mass[upper] / mass[lower]))
        both = np.array([1.0 - share, share])
        factors = both * wanted / mass[lower : upper + 1] * decay[lower : upper + 1]
        rate = float(np.exp(both @ np.log(rates[lower : upper + 1])))
        half_life = float(np.exp(both @ np.log(HALF_LIVES_MS[lower : upper + 1])))
        return Reading(lower, upper, float(factors[0]), float(factors[1]), rate, half_life)

    def values(self, reading: Reading, rows: int) -> NDArray[np.float32]:
        """Return the decayed counts of the first `rows` items."""
        total = self.sums[reading.lower, :rows] * reading.lower_factor
        if reading.upper_factor:
            total += self.sums[reading.upper, :rows] * reading.upper_factor
        return total.astype(np.float32)

    def _decay(self, now_ms: int) -> NDArray[np.float64]:
        """Return what the sums of each entry have faded to since its reference, (grid,)."""
        ages = np.maximum(now_ms - self.reference_ms, -_SPAN * HALF_LIVES_MS)
        faded: NDArray[np.float64] = np.exp2(-ages / HALF_LIVES_MS)
        return faded


@kernel
def _add(table, grid, rows, timestamps, tenures_ms):  # type: ignore[no-untyped-def]
    sums, mass, reference_ms = table
    half_lives, least_ms = grid
    newest = timestamps.max()
    for entry in range(half_lives.shape[0]):
        half_life = half_lives[entry]
        period = _SPAN * half_life
        reference = np.floor(newest / period) * period
        if reference > reference_ms[entry]:
            scale = np.exp2((reference_ms[entry] - reference) / half_life)
            sums[entry] *= scale
            mass[entry] *= scale
            reference_ms[entry] = reference
        for event in range(rows.shape[0]):
            if tenures_ms[event] >= least_ms[entry]:
                unit = np.exp2((timestamps[event] - reference_ms[entry]) / half_life)
                sums[entry, rows[event]] += unit
                mass[entry] += unit


_SPAN = 32.0  # half-lives between two references; sums stay far inside of a double
_LN2 = float(np.log(2.0))
