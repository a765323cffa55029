"""How much one round takes on: little when events come one by one, more the further it is behind.

A small batch is fast to the reader, a big one spares transactions; so a batch grows with the lag,
up to what lately took a quarter of a second. Learning gives way first: events wait, examples need
not.
"""


class Pace:
    """The size of the rounds of one worker."""

    def __init__(self) -> None:
        self._event_s = BATCH_S / LEAST

    def batch(self, lag: int) -> int:
        """Return how many records a round should read, with `lag` waiting."""
        affordable = int(BATCH_S / self._event_s)
        return max(LEAST, min(lag // 2, affordable, MOST))

    def examples(self, lag: int) -> int:
        """Return of how many events the re-ranker may learn."""
        return EXAMPLES if lag < LOADED else EXAMPLES_LOADED

    def took(self, events: int, seconds: float) -> None:
        """Note what a round with its transaction took."""
        if events >= LEAST:  # the fixed cost of a small one says nothing
            self._event_s += 0.2 * (seconds / events - self._event_s)


BATCH_S = 0.25
LEAST, MOST = 32, 2_000
EXAMPLES, EXAMPLES_LOADED = 64, 16
LOADED = 500
