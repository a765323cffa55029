"""Notice that what is served has stopped fitting what users do, so that a training round is due.

Watches paired differences (served model minus a reference, event by event), which cancel what makes
all models better or worse at once. Both detectors are river's: ADWIN (Bifet and Gavaldà, SDM 2007)
for any change of the mean, Page-Hinkley (Page 1954) for a one-sided fall.

It does not know what is compared, nor what is done about it.
"""

from __future__ import annotations

import math
from typing import Literal

from stream_rec.drift_detectors import ADWIN, PageHinkley

Alarm = Literal["change", "fall"]


class DriftWatch:
    """Two detectors over one stream of differences; each alarm starts both afresh."""

    def __init__(self, *, confidence: float = 0.998, tolerance: float = 0.01) -> None:
        """Set the detectors.

        ``confidence`` is ADWIN's (1 - delta); ``tolerance`` is the fall of the mean, in units of
        the difference, that Page-Hinkley lets pass.
        """
        if not 0 < confidence < 1 or tolerance < 0:
            message = "confidence must be within (0, 1) and tolerance at least 0"
            raise ValueError(message)
        self.confidence = confidence
        self.tolerance = tolerance
        self.events = 0
        self._restart()

    def update(self, difference: float) -> Alarm | None:
        """Add one difference in [-1, 1]; return what kind of drift this event revealed, if any."""
        if not math.isfinite(difference):
            return None
        self.events += 1
        bounded = max(-1.0, min(1.0, difference))
        before = self._change.estimation
        self._change.update(bounded)
        self._fall.update(bounded)
        fell = self._fall.drift_detected
        if not fell and not self._change.drift_detected:
            return None
        alarm: Alarm = "fall" if fell or self._change.estimation < before else "change"
        self._restart()
        return alarm

    def _restart(self) -> None:
        self._change = ADWIN(delta=1 - self.confidence)
        self._fall = PageHinkley(
            min_instances=_MINIMUM, delta=self.tolerance, threshold=_THRESHOLD, mode="down"
        )


_MINIMUM = 200
"""Events before Page-Hinkley may speak: single hits and misses are coarse."""

_THRESHOLD = 25.0
"""Accumulated fall: with hits of 0 and 1, a loss of .05 is noticed within some 600 events."""
