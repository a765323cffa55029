"""A dialect: where another product's event keeps what ours are made of, as a table.

A path is names joined by dots; a number counts into a list, and `name=x` finds the value of the
entry called x in a list of `{"name", "value"}`. Knows no product: those are in `families.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream_rec.errors import InvalidRecord
from stream_rec.record_fields import whole_number

MAX_LINES = 64

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One product's events.

    `known_by` lists sets of names; a record that has all of a set is of this dialect. `paths` are
    tried in their order. `types` turns event types into ours; others keep their name in small
    letters. `lines` is a list whose entries are items of the same event, each read as `line`.
    """

    name: str
    known_by: tuple[frozenset[str], ...]
    paths: Mapping[str, tuple[str, ...]]
    types: Mapping[str, str] = field(default_factory=dict)
    lines: str | None = None
    event_type: str | None = None

    def knows(self, record: Record) -> bool:
        """Whether a record looks like one of this dialect."""
        return any(names <= record.keys() for names in self.known_by)

    def read(self, record: Record, known: Record) -> Iterator[dict[str, Any]]:
        """Yield the events of a record in our own words, one for each of its items.

        `known` is what counts where the record is silent. A list that was shown is one impression,
        of its first item; the others are in its properties as `shown`.

        Raises:
            InvalidRecord: no item, or too many.
        """
        lines = self._lines(record)
        if not lines:
            yield self._event(record, known)
            return
        first = self._event({**record, "line": lines[0]}, known)
        if first.get("event_type") == "impression":
            shown = [self._value({**record, "line": line}, "item_id") for line in lines]
            first["properties"] = {**first["properties"], "shown": shown}
            yield first
            return
        if len(lines) > MAX_LINES:
            msg = f"{self.name}: {len(lines)} items in one record, more than {MAX_LINES}"
            raise InvalidRecord(msg, stage="validate")
        yield first
        for line in lines[1:]:
            yield self._event({**record, "line": line}, known)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that must not stand twice in one object."""
        return tuple({path.rpartition(".")[2] for paths in self._identity for path in paths})

    @property
    def _identity(self) -> tuple[tuple[str, ...], ...]:
        return tuple(self.paths[name] for name in ("user_id", "item_id", "timestamp"))

    def _lines(self, record: Record) -> list[Any]:
        found = None if self.lines is None else at(record, self.lines)
        return found if isinstance(found, list) else []

    def _event(self, record: Record, known: Record) -> dict[str, Any]:
        event: dict[str, Any] = {**known, "properties": self._rest(record)}
        for name in self.paths:
            if (value := self._value(record, name)) is not None:
                event[name] = value
        for name in ("user_id", "item_id", "timestamp"):
            if name not in event:
                places = " or ".join(self.paths[name])
                msg = f"{self.name}: {places} is required"
                raise InvalidRecord(msg, stage="validate")
        if self.event_type is not None:
            event["event_type"] = self.event_type
        elif isinstance(said := event.get("event_type"), str):
            small = said.strip().lower().replace(" ", "_")
            event["event_type"] = self.types.get(small, small)
        return event

    def _value(self, record: Record, name: str) -> Any:
        for path in self.paths[name]:
            value = at(record, path)
            if value is None or value == "":
                continue
            number = isinstance(value, int) and not isinstance(value, bool)
            return str(value) if number and name in TEXTS else value
        return None

    def _rest(self, record: Record) -> dict[str, Any]:
        """Everything that has no place of its own, and whatever it calls its properties."""
        used = {path for paths in self.paths.values() for path in paths} | {"line", "properties"}
        rest = {name: value for name, value in record.items() if name not in used}
        own = record.get("properties")
        if isinstance(own, str):  # Amazon Personalize writes JSON into a string
            try:
                own = msgspec.json.decode(own)
            except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
                own = {"properties": own}
        return {**own, **rest} if isinstance(own, dict) else rest


def at(record: Any, path: str) -> Any:
    """Return what stands at a path, None when nothing does.

    >>> at({"a": [{"b": 1}], "fields": [{"name": "rating", "value": 4}]}, "a.0.b")
    1
    >>> at({"a": [{"b": 1}], "fields": [{"name": "rating", "value": 4}]}, "fields.name=rating")
    4
    """
    for step in path.split("."):
        if isinstance(record, dict):
            record = record.get(step)
        elif isinstance(record, list) and (place := whole_number(step)) is not None:
            record = record[place] if place < len(record) else None
        elif isinstance(record, list) and step.startswith("name="):
            record = _named(record, step.removeprefix("name="))
        else:
            return None
    return record


def _named(entries: list[Any], name: str) -> Any:
    for entry in entries:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get("value")
    return None


# Other products write numbers where we want names.
TEXTS = frozenset({"user_id", "item_id", "event_id", "session_id", "recommendation_id"})
