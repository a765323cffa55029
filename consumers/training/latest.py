"""The newest events, for a long round that asks for them at its end.

The round's thread asks and waits; the loop's thread, which alone may read the memory, answers at
its next turn. So what an adapter's tower knows is no older than what the champion's tower knows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from stream_rec.language_model.replay_buffer import Feedback

Histories = Mapping[str, Sequence[Feedback]]


class Cancelled(Exception):
    """The program ends: the round is thrown away."""


class Latest:
    """One question and its answer, between two threads."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._asked = threading.Event()
        self._given: SimpleQueue[Histories] = SimpleQueue()
        self.given = False

    @property
    def wanted(self) -> bool:
        """Whether the round waits for an answer."""
        return self._asked.is_set() and not self.given

    def give(self, histories: Histories) -> None:
        """Answer; on the loop's thread."""
        self.given = True
        self._given.put(histories)

    def ask(self) -> Histories:
        """Return the newest histories; on the round's thread, once.

        Raises:
            Cancelled: the program ends.
        """
        self._asked.set()
        while True:
            try:
                return self._given.get(timeout=LOOK_S)
            except Empty:
                if self._cancelled():
                    raise Cancelled from None


LOOK_S = 0.5
