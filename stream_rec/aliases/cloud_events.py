"""CloudEvents: the envelope that others put around an event, in the body or in headers.

Structured mode: the body is the envelope, the event is its `data`. Binary mode: headers `ce_…` are
the envelope, the body is the event. What the envelope says counts where the event itself is silent.
Source: CloudEvents 1.0.2 with its Kafka protocol binding.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from stream_rec import record_fields as fields
from stream_rec.errors import InvalidRecord

Headers = Sequence[tuple[str, bytes | None]]


def envelope_of(
    record: Mapping[str, Any], headers: Headers
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return (event, envelope) of a record in either mode, or None when it has no envelope.

    Raises:
        InvalidRecord: an envelope without an event in it.
    """
    if record.keys() >= _STRUCTURED and "user_id" not in record:
        return _event_in(record), {name: record.get(name) for name in _ATTRIBUTES}
    told = {name: value for name, value in headers if name.startswith("ce_")}
    if "ce_specversion" not in told:
        return None
    said = {
        name: (told.get(f"ce_{name}") or b"").decode("utf-8", "replace") or None
        for name in _ATTRIBUTES
    }
    return dict(record), said


def said_by(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an envelope says of its event: id, type and time.

    >>> said_by({"id": "7", "source": "shop", "type": "com.shop.click", "time": None})
    {'event_id': 'shop#7', 'event_type': 'click'}
    """
    said: dict[str, Any] = {}
    source, number, kind = (envelope.get(name) for name in ("source", "id", "type"))
    if isinstance(number, str) and isinstance(source, str):
        whole = f"{source}#{number}"  # an id is unique within its source only
        if len(whole) > fields.MAX_ID_CHARACTERS:
            whole = blake2b(whole.encode("utf-8", "replace"), digest_size=16).hexdigest()
        said["event_id"] = whole
    if isinstance(kind, str) and kind:
        said["event_type"] = kind.replace("/", ".").rpartition(".")[2] or kind
    if envelope.get("time") is not None:
        said["timestamp"] = envelope["time"]
    return said


def _event_in(record: Mapping[str, Any]) -> dict[str, Any]:
    inside = record.get("data")
    if inside is None and isinstance(packed := record.get("data_base64"), str):
        try:
            inside = fields.decode_object(base64.b64decode(packed, validate=True))
        except (binascii.Error, ValueError) as error:
            msg = "cloudevents: data_base64 is not base64"
            raise InvalidRecord(msg) from error
    if not isinstance(inside, dict):
        msg = f"cloudevents: data must be a JSON object, not {type(inside).__name__}"
        raise InvalidRecord(msg, stage="validate")
    return inside


_STRUCTURED = frozenset({"specversion", "id", "source", "type"})
_ATTRIBUTES = ("id", "source", "type", "time")
