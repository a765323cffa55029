"""When a long-running loop looks for garbage: rarely by itself, and else when idle.

A worker holds some hundred thousand objects that live long. By Python's own thresholds every batch
of lists walks a part of them, and now and then all: a third of a batch's time, and the longest
pauses. What the loop makes is freed by counting references; cycles are rare. After a search, what
is free goes back to the system.
"""

import gc
import time

from consumers.processes.heap import give_back_holes


class Collecting:
    """The collector's pace in one process; made when everything that stays has been loaded."""

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # what is there now stays: never walk it again
        gc.set_threshold(YOUNG, MIDDLE, OLD)
        self._next = time.monotonic() + EVERY_S

    def idle(self) -> None:
        """Do the thorough search now if it is due."""
        if time.monotonic() > self._next:
            gc.collect()
            give_back_holes()
            self._next = time.monotonic() + EVERY_S


YOUNG, MIDDLE, OLD = 50_000, 20, 500
EVERY_S = 60.0
