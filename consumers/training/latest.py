"""The newest events, for a long round that asks for them at its end.

The round's thread asks and waits; the loop's thread, which alone may read the memory, answers at
its next turn. So what an adapter's tower knows is no older than what the champion's tower knows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from stream_rec.language_model.replay_buffer import Feedback

Histories = Mapping[str, Sequence[Feedback]]


class Cancelled(Exception):
    """The program ends: the round is thrown away."""


class Latest:
    """One question and its answer, between two threads."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._asked = threading.Event()
        self._answer: Future[Histories] = Future()

    @property
    def given(self) -> bool:
        """Whether the round has its answer."""
        return self._answer.done()

    @property
    def wanted(self) -> bool:
        """Whether the round waits for an answer."""
        return self._asked.is_set() and not self.given

    def give(self, histories: Histories) -> None:
        """Answer; on the loop's thread."""
        self._answer.set_result(histories)

    def ask(self) -> Histories:
        """Return the newest histories; on the round's thread.

        Raises:
            Cancelled: the program ends.
        """
        self._asked.set()
        while True:
            try:
                return self._answer.result(LOOK_S)
            except TimeoutError:
                if self._cancelled():
                    raise Cancelled from None


LOOK_S = 0.5
