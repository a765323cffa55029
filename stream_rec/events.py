"""An event: what one user did with one item, read from a record of an event topic.

Knows the contract's fields and bounds; not Kafka, not what an event is worth.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from stream_rec import record_fields as fields
from stream_rec.aliases.cloud_events import Headers
from stream_rec.aliases.reading import in_our_words
from stream_rec.errors import InvalidRecord

Kind = Literal["click", "review"]

# Types that say that the item was not wanted; a low rating says so too, by policy.
NEGATIVE = frozenset({"dislike", "hide", "skip"})
# Types that do not count as consuming the item: no popularity, no links, no exclusion.
NOT_CONSUMING = NEGATIVE | {"impression"}
DAY_MS = 86_400_000


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One behaviour event or review; `timestamp` in epoch milliseconds."""

    event_id: str
    event_type: str
    user_id: str
    item_id: str
    timestamp: int
    scenario: str = "default"
    session_id: str | None = None
    value: float | None = None
    rating: float | None = None
    title: str | None = None
    text: str | None = None
    recommendation_id: str | None = None
    position: int | None = None
    properties: dict[str, Any] = {}

    @property
    def consuming(self) -> bool:
        """Whether the user took the item, liked or not, rather than saw or refused it."""
        return self.event_type not in NOT_CONSUMING

    @property
    def words(self) -> str:
        """Title and text of a review in one string, empty where it has neither."""
        return ". ".join(part for part in (self.title, self.text) if part)


def parse_event(
    value: bytes | None,
    *,
    key: bytes | None,
    kind: Kind,
    source: str,
    append_ms: int | None = None,
) -> Event:
    """Read one record of an event topic.

    Args:
        value: The record's body, JSON.
        key: The record's key; must be the user's id.
        kind: Which topic it came from; decides the type of an event that names none.
        source: `topic-partition-offset`, the id of an event that names none.
        append_ms: When the broker appended it; a time more than a day later is refused.

    Raises:
        InvalidRecord: with the field and the reason.
    """
    event = _plain(value)
    if event is None:
        record = fields.decode_object(value, unique=_UNIQUE)
        event = event_of(record, kind=kind, source=source)
    _check_outside(event, key, append_ms)
    return event


def parse_events(
    value: bytes | None,
    *,
    key: bytes | None,
    kind: Kind,
    source: str,
    append_ms: int | None = None,
    headers: Headers = (),
    form: str = "auto",
) -> tuple[Event, ...]:
    """Read one record as `parse_event` does, or in the words of another product.

    A record of another product may hold several items, which are as many events. `headers` may be
    an envelope of CloudEvents; `form` is one of `aliases.families.FORMATS`.

    Raises:
        InvalidRecord: with the field and the reason.
    """
    plain = _plain(value)
    if plain is not None:
        _check_outside(plain, key, append_ms)
        return (plain,)
    record = fields.decode_object(value, unique=_UNIQUE)
    spoken = in_our_words(record, value or b"", headers, form=form)
    events = []
    for number, words in enumerate(spoken):
        event = event_of(words, kind=kind, source=source)
        if number:
            event = msgspec.structs.replace(event, event_id=_numbered(event.event_id, number))
        _check_outside(event, key, append_ms)
        events.append(event)
    return tuple(events)


def _numbered(event_id: str, number: int) -> str:
    """Give each item of a record an id of its own."""
    return f"{event_id[: fields.MAX_ID_CHARACTERS - 4]}#{number}"


def believed_ms(event: Event, append_ms: int | None) -> int:
    """Return the time of an event, and no later one than the broker's: some clocks run ahead."""
    return min(event.timestamp, append_ms or event.timestamp)


def _check_outside(event: Event, key: bytes | None, append_ms: int | None) -> None:
    """Check an event against its record's key and append time.

    Raises:
        InvalidRecord: they do not fit.
    """
    if key is None:
        msg = "the record has no key; it must be the user_id"
        raise InvalidRecord(msg, stage="key")
    if key != event.user_id.encode():
        msg = "the record's key is not its user_id"
        raise InvalidRecord(msg, stage="key")
    if append_ms is not None and event.timestamp > append_ms + DAY_MS:
        msg = "timestamp is more than a day ahead of the append time"
        raise InvalidRecord(msg, stage="validate")


def _plain(value: bytes | None) -> Event | None:
    """Read an event in the contract's own words and types, as most are, in a third of the time.

    None for whatever is not surely good and the same when it is read field by field, which also
    finds the reason of what is bad.
    """
    if value is None or len(value) > fields.MAX_BODY_BYTES:
        return None
    for quoted in _UNIQUE:
        if value.count(quoted) > 1:
            return None
    try:
        event = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    scenario, position = event.scenario, event.position
    for name in (event.user_id, event.item_id, event.event_id, event.event_type, scenario):
        if not 0 < len(name) <= fields.MAX_ID_CHARACTERS or not name.isprintable():
            return None
    plain = (
        not event.properties
        and _MILLISECONDS[0] <= event.timestamp < _MILLISECONDS[1]
        and event.user_id != "*"
        and "/" not in scenario
        and scenario != "*"
        and (event.value is None or abs(event.value) <= 1e9)
        and (event.rating is None or abs(event.rating) <= 1e6)
        and (position is None or abs(position) <= 1e9)
    )
    return event if plain else None


def event_of(record: Mapping[str, Any], *, kind: Kind, source: str) -> Event:
    """Read one event from a decoded record.

    Raises:
        InvalidRecord: with the field and the reason.
    """
    user_id = fields.identifier(record, "user_id")
    scenario = fields.identifier(record, "scenario", "default")
    if user_id == "*":
        msg = "user_id must not be '*'"
        raise InvalidRecord(msg, stage="validate")
    if "/" in scenario or scenario == "*":
        msg = "scenario must not be '*' or hold '/'"
        raise InvalidRecord(msg, stage="validate")
    if "timestamp" not in record:
        msg = "timestamp is required"
        raise InvalidRecord(msg, stage="validate")
    position = fields.number(record, "position")
    return Event(
        event_id=fields.identifier(record, "event_id", source),
        event_type=fields.identifier(record, "event_type", kind),
        user_id=user_id,
        item_id=fields.identifier(record, "item_id"),
        timestamp=fields.milliseconds(record["timestamp"]),
        scenario=scenario,
        session_id=fields.text(record, "session_id"),
        value=fields.number(record, "value"),
        rating=fields.number(record, "rating", bound=1e6),
        title=fields.text(record, "title"),
        text=fields.text(record, "text"),
        recommendation_id=fields.text(record, "recommendation_id"),
        position=None if position is None else int(position),
        properties=_properties(record),
    )


def _properties(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the contract does not name, kept beside what came as `properties`."""
    own = record.get("properties")
    extra = {name: value for name, value in record.items() if name not in _NAMED}
    if not extra and not own:
        return {}
    return {**own, **extra} if isinstance(own, dict) else extra


_NAMED = frozenset(Event.__struct_fields__)
_UNIQUE = (b'"user_id"', b'"item_id"', b'"timestamp"', b'"event_id"', b'"rating"')
_MILLISECONDS = (10**11, 10**14)  # numbers that mean milliseconds, whatever the year
_decoder = msgspec.json.Decoder(Event)
