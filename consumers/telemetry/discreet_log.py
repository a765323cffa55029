"""Log lines that tell where a program failed, and not on whose record.

Python puts what it stumbled over into the words of an exception: a `KeyError` names the key, a
failed conversion the text. Such words may be a user's id or review, so a traceback is written
without them. Knows no program; `--debug` shows everything.
"""

import logging
import traceback
from collections.abc import Iterator
from types import TracebackType

from kafka.errors import KafkaError

from stream_rec.errors import InvalidRecord, StreamRecError

Failure = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class DiscreetFormatter(logging.Formatter):
    """Formats a traceback with the words of those exceptions alone that we know to be safe."""

    def formatException(self, ei: Failure) -> str:
        """Return the traceback, the newest exception last."""
        told = []
        for error in reversed(list(_chain(ei[1]))):
            told += traceback.format_tb(error.__traceback__)
            words = f": {error}" if _is_safe(error) else " (its words are left out; see --debug)"
            told.append(f"{type(error).__module__}.{type(error).__qualname__}{words}\n")
        return "".join(told).rstrip()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_safe(error: BaseException) -> bool:
    """What we and the client raise names topics and offsets; a refusal names what it refused."""
    ours = isinstance(error, StreamRecError) and not isinstance(error, InvalidRecord)
    return ours or isinstance(error, KafkaError | OSError)
