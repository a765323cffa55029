"""Read a record of any known dialect as events in our own words.

    ours       a record with `user_id` and `item_id` is left exactly as it is
    envelope   of CloudEvents, taken off; what only the envelope says is added
    dialect    the first that knows the record, or the one that was set

Knows neither Kafka nor what an event must look like: that is checked in `events.py` as for ours.
"""

from typing import Any

from stream_rec import record_fields as fields
from stream_rec.aliases.cloud_events import Headers, envelope_of, said_by
from stream_rec.aliases.families import DIALECTS
from stream_rec.errors import InvalidRecord


def in_our_words(
    record: dict[str, Any], value: bytes, headers: Headers, *, form: str
) -> list[dict[str, Any]]:
    """Return the events of a decoded record; a record of no dialect comes back as it is.

    `form` is one of `FORMATS`; `value` is the body, to see that no name stands twice.

    Raises:
        InvalidRecord: a dialect's record without what every event needs, or not of the one set.
    """
    if form == "native" or (_is_ours(record) and not headers):
        return [record]
    opened = envelope_of(record, headers)
    if opened is None:
        if _is_ours(record):
            return [record]
        if form == "cloudevents":
            msg = "cloudevents: neither an envelope in the body nor ce_ headers"
            raise InvalidRecord(msg, stage="validate")
        return _spoken(record, {}, value, form)
    inside, envelope = opened
    known = said_by(envelope)
    if _is_ours(inside):
        silent = {name: said for name, said in known.items() if inside.get(name) is None}
        return [{**inside, **silent}]
    return _spoken(inside, known, value, "auto" if form == "cloudevents" else form)


def _spoken(
    record: dict[str, Any], known: dict[str, Any], value: bytes, form: str
) -> list[dict[str, Any]]:
    for dialect in DIALECTS:
        if form in ("auto", dialect.name) and dialect.knows(record):
            fields.refuse_twice(value, dialect.names)
            return list(dialect.read(record, known))
    if form == "auto":
        return [record]
    msg = f"not a record of {form}, nor one in our own words"
    raise InvalidRecord(msg, stage="validate")


def _is_ours(record: dict[str, Any]) -> bool:
    return "user_id" in record and "item_id" in record
