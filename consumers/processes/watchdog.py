"""A thread that ends the process when the loop, or one bounded call in it, hangs.

The client has calls that can wait for ever (a commit when the broker dies just before it, a poll
during group start-up), whatever their time-outs say. Python cannot interrupt such a call, so the
only safe answer is `os._exit(75)`: the open transaction is aborted by the successor. It knows
nothing of what is watched but names.

A library that loops without letting go of the interpreter stops this thread too. So it winds up a
timer of the kernel again and again: when it no longer does, the process ends by SIGALRM, after the
place where it stands was written to standard error.
"""

import faulthandler
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RESTART_ME = 75


def exit_for_restart(reason: str, error: BaseException | None = None) -> None:
    """Log why, flush, and end at once without clean-up: nothing may commit or abort on the way."""
    LOG.error("%s; exit %d", reason, RESTART_ME, exc_info=error)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(RESTART_ME)


class Watchdog:
    """Watches one loop; `tick` it every round.

    `end` is called with the reason, from the watchdog's thread; tests pass their own. A process
    whose interpreter stands still for `still_s` seconds is ended by signal.
    """

    def __init__(
        self,
        *,
        tick_s: float = 20.0,
        still_s: float = 60.0,
        end: Callable[[str], None] = exit_for_restart,
    ) -> None:
        self._tick_s = tick_s
        self._still_s = still_s
        self._end = end
        self._deadline = time.monotonic() + tick_s
        self._doing = "the loop"
        self._call: tuple[float, str] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def tick(self, doing: str = "the loop") -> None:
        """Say that the loop is alive, and what it does next."""
        self._doing = doing
        self._deadline = time.monotonic() + self._tick_s

    @contextmanager
    def within(self, seconds: float, doing: str) -> Iterator[None]:
        """Give the enclosed call its own deadline; while it lasts the loop's does not count."""
        self._call = (time.monotonic() + seconds, doing)
        try:
            yield
        finally:
            self._call = None
            self.tick()

    @property
    def in_time(self) -> bool:
        """Whether the loop has not been silent for too long."""
        return self._call is not None or time.monotonic() < self._deadline

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            self._watch_the_loop()
        finally:
            self._wind_up(0.0)

    def _watch_the_loop(self) -> None:
        wound_up = -math.inf
        while not self._stopped.wait(CHECK_EVERY_S):
            if time.monotonic() - wound_up > self._still_s / 10:
                wound_up = time.monotonic()
                self._wind_up(self._still_s)
            call = self._call
            deadline, doing = call if call is not None else (self._deadline, self._doing)
            if time.monotonic() > deadline:
                self._end(f"watchdog: {doing} did not come back in time")
                return

    def _wind_up(self, seconds: float) -> None:
        """Set both timers anew, neither of which needs the interpreter; 0 stops them."""
        if seconds:
            faulthandler.dump_traceback_later(0.9 * seconds, file=STANDARD_ERROR)
        else:
            faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, seconds)


LOG = logging.getLogger(__name__)
CHECK_EVERY_S = 0.1
STANDARD_ERROR = 2
