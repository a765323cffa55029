"""Facts: what one batch of applied events tells the statistics of every worker.

Columns with items coded by a dictionary of their own, so a record means the same to every reader.
Knows nothing of rows, topics or what is made of the facts.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import StateRejected

SOURCES = 20  # predecessors of an event that are linked to it, newest first
ESTABLISHED_MS = 1 << 50  # of a user of whom nothing else is known: since ever
# Sign, target, sources newest first, and whether a newcomer said it.
LinkRow = tuple[int, str, Sequence[str], bool]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One batch: `events` rows of consuming events and `rows` signed link rows."""

    worker: str  # incarnation of the writer, which skips its own records
    items: list[str]  # the distinct item ids that the columns below point into
    item: NDArray[np.int32]  # (events,)
    timestamp: NDArray[np.int64]  # (events,) milliseconds
    rating: NDArray[np.float32]  # (events,) NaN where there is none
    first: NDArray[np.bool_]  # (events,) the user's first event ever
    tenure_ms: NDArray[np.int64]  # (events,) since the user's first event
    target: NDArray[np.int32]  # (rows,)
    sign: NDArray[np.int8]  # (rows,) +1 adds the links, -1 takes them back
    sources: NDArray[np.int32]  # (rows, SOURCES) newest first, padded with -1
    newcomer: NDArray[np.bool_]  # (rows,) told by a user who was one then

    def __len__(self) -> int:
        return len(self.item)

    def to_bytes(self) -> bytes:
        """Encode as one msgpack record of little-endian columns."""
        columns = {name: getattr(self, name).astype(kind).tobytes() for name, kind in _COLUMNS}
        record = {"format": _FORMAT, "worker": self.worker, "items": self.items, **columns}
        return msgspec.msgpack.encode(record)

    @classmethod
    def from_bytes(cls, record: bytes) -> "Facts":
        """Decode a record.

        Raises:
            StateRejected: it is torn, of another format, or points outside of its own items.
        """
        try:
            fields: dict[str, Any] = msgspec.msgpack.decode(record)
            if fields["format"] not in (1, 2, _FORMAT):
                msg = f"facts of format {fields['format']}, not {_FORMAT}"
                raise StateRejected(msg)
            if fields["format"] == 1:  # said nothing of how long users had been known
                tenures = np.full(len(fields["first"]), ESTABLISHED_MS, "<i8")
                fields["tenure_ms"] = tenures.tobytes()
            if fields["format"] < _FORMAT:  # nor of who made links
                fields["newcomer"] = bytes(len(fields["sign"]))
            columns: dict[str, Any] = {
                name: np.frombuffer(fields[name], kind).astype(kind[1:]) for name, kind in _COLUMNS
            }
            columns["sources"] = columns["sources"].reshape(-1, SOURCES)
            facts = cls(worker=str(fields["worker"]), items=list(fields["items"]), **columns)
        except (msgspec.DecodeError, KeyError, ValueError, TypeError) as error:
            msg = f"facts that cannot be read: {error}"
            raise StateRejected(msg) from error
        facts.check()
        return facts

    def parts(self, most: int) -> Iterator[bytes]:
        """Encode as records of at most `most` bytes each, unless a single row takes more.

        Whoever folds all of them in any order has folded these facts.
        """
        record = self.to_bytes()
        if len(record) <= most or max(len(self.item), len(self.target)) < 2:
            yield record
            return
        events, rows = len(self.item), len(self.target)
        yield from self._cut(slice(0, events // 2), slice(0, rows // 2)).parts(most)
        yield from self._cut(slice(events // 2, events), slice(rows // 2, rows)).parts(most)

    def _cut(self, events: slice, rows: slice) -> "Facts":
        """Return some events and some rows, with no more items than they name."""
        item, target, sources = self.item[events], self.target[rows], self.sources[rows]
        used = np.unique(np.concatenate((item, target, sources[sources >= 0])))
        code = np.full(len(self.items) + 1, -1, np.int32)  # the last stands for -1, no source
        code[used] = np.arange(len(used), dtype=np.int32)
        return Facts(
            worker=self.worker,
            items=[self.items[place] for place in used.tolist()],
            item=code[item],
            timestamp=self.timestamp[events],
            rating=self.rating[events],
            first=self.first[events],
            tenure_ms=self.tenure_ms[events],
            target=code[target],
            sign=self.sign[rows],
            sources=code[sources],
            newcomer=self.newcomer[rows],
        )

    def check(self) -> None:
        """Check that columns agree, before compiled code indexes by them.

        Raises:
            StateRejected: lengths differ or a code is out of range.
        """
        events, rows, known = len(self.item), len(self.target), len(self.items)
        lengths = (len(self.timestamp), len(self.rating), len(self.first), len(self.tenure_ms))
        linked = (len(self.sign), len(self.sources), len(self.newcomer))
        if lengths != (events,) * 4 or linked != (rows,) * 3:
            msg = "facts whose columns differ in length"
            raise StateRejected(msg)
        if not all(isinstance(item_id, str) for item_id in self.items):
            msg = "facts whose items are not strings"
            raise StateRejected(msg)
        for codes, least in ((self.item, 0), (self.target, 0), (self.sources, -1)):
            if codes.size and not (least <= int(codes.min()) and int(codes.max()) < known):
                msg = "facts that point outside of their own items"
                raise StateRejected(msg)


class FactsBuilder:
    """Collects the facts of one batch."""

    def __init__(self) -> None:
        self._codes = _Codes()
        self._events: list[tuple[int, int, float, bool, int]] = []
        self._rows: list[tuple[int, int, list[int], bool]] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not self._events and not self._rows

    def count(
        self, item_id: str, timestamp: int, rating: float | None, first: bool, *, tenure_ms: int = 0
    ) -> None:
        """Take one applied consuming event that counts for its item."""
        value = _NAN if rating is None else rating
        self._events.append((self._codes[item_id], timestamp, value, first, tenure_ms))

    def link(self, rows: Iterable[LinkRow]) -> None:
        """Take the link rows that an event changes, counted or not."""
        codes = self._codes
        for sign, target, sources, newcomer in rows:
            coded = [codes[source] for source in sources[:SOURCES]]
            self._rows.append((sign, codes[target], coded, newcomer))

    def build(self, worker: str) -> Facts:
        """Return the facts collected so far."""
        sources = np.full((len(self._rows), SOURCES), -1, np.int32)
        for number, (_, _, coded, _) in enumerate(self._rows):
            sources[number, : len(coded)] = coded
        return Facts(
            worker=worker,
            items=list(self._codes),
            item=np.array([event[0] for event in self._events], np.int32),
            timestamp=np.array([event[1] for event in self._events], np.int64),
            rating=np.array([event[2] for event in self._events], np.float32),
            first=np.array([event[3] for event in self._events], np.bool_),
            tenure_ms=np.array([event[4] for event in self._events], np.int64),
            target=np.array([row[1] for row in self._rows], np.int32),
            sign=np.array([row[0] for row in self._rows], np.int8),
            sources=sources,
            newcomer=np.array([row[3] for row in self._rows], np.bool_),
        )


class _Codes(dict[str, int]):
    """Numbers items in the order in which they are looked up first."""

    def __missing__(self, item_id: str) -> int:
        code = self[item_id] = len(self)
        return code


_NAN = float("nan")
_FORMAT = 3
_COLUMNS = (
    ("item", "<i4"),
    ("timestamp", "<i8"),
    ("rating", "<f4"),
    ("first", "|b1"),
    ("tenure_ms", "<i8"),
    ("target", "<i4"),
    ("sign", "|i1"),
    ("sources", "<i4"),
    ("newcomer", "|b1"),
)
