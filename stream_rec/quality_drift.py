"""Notice that what users do has changed: two rates of the live stream under a drift detector.

    hit_rate         how often what is taken stood in the list before it
    new_item_share   how often what is taken was taken by nobody before

Each is watched by river's ADWIN (Bifet and Gavaldà, SDM 2007), whose window shrinks when the mean
has changed. Knows events only as two flags; nothing follows from an alarm here.
"""

from stream_rec.drift_detectors import ADWIN

SIGNALS = ("hit_rate", "new_item_share")


class QualityDrift:
    """One detector a signal; `detections` counts the alarms since the start."""

    def __init__(self, *, delta: float = 0.002) -> None:
        """Set the chance of a false alarm in a window, `delta`."""
        self._watches = {name: ADWIN(delta=delta) for name in SIGNALS}
        self.detections = dict.fromkeys(SIGNALS, 0)

    def update(self, hit: bool, new_item: bool) -> None:
        """Take one judged event."""
        for name, value in zip(SIGNALS, (hit, new_item), strict=True):
            watch = self._watches[name]
            watch.update(float(value))
            self.detections[name] += bool(watch.drift_detected)

    def means(self) -> dict[str, float]:
        """Return each signal's mean over its present window, 0 before the first event."""
        return {name: float(watch.estimation) for name, watch in self._watches.items()}

    def windows(self) -> dict[str, int]:
        """Return how many events each present window holds."""
        return {name: int(watch.width) for name, watch in self._watches.items()}
