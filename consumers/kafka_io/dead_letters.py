"""Dead letters: records that could not be used, untouched, with headers that say why.

The header names are Kafka Connect's under `stream_rec.errors.`. A record too large even for the
dead letter topic is cut, and a header carries the digest and length of the whole. Knows no reason
to refuse a record: those come from `stream_rec`.
"""

import hashlib
from dataclasses import dataclass

from consumers.kafka_io.transaction import Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A refused record and why; `error` is the exception class."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    stage: str
    error: str
    reason: str


def dead_letter_record(letter: DeadLetter, *, limit: int) -> Outgoing:
    """Return the record for `<topic>.dlq`, of at most about `limit` bytes."""
    headers = [
        ("stream_rec.errors.topic", letter.topic.encode()),
        ("stream_rec.errors.partition", str(letter.partition).encode()),
        ("stream_rec.errors.offset", str(letter.offset).encode()),
        ("stream_rec.errors.stage", letter.stage.encode()),
        ("stream_rec.errors.exception.class.name", letter.error.encode()),
        ("stream_rec.errors.message", _text(letter.reason)),
    ]
    room = limit - HEADER_BYTES
    key, cut_key = _cut(letter.key, room // 4)
    value, cut_value = _cut(letter.value, room - len(key or b""))
    for name, whole, cut in (("key", letter.key, cut_key), ("value", letter.value, cut_value)):
        if cut and whole is not None:
            digest = hashlib.sha256(whole).hexdigest()
            headers.append((f"stream_rec.errors.truncated.{name}.sha256", digest.encode()))
            headers.append((f"stream_rec.errors.truncated.{name}.bytes", str(len(whole)).encode()))
    if key is None and value is None:  # the client refuses a record that is neither
        headers.append(("stream_rec.errors.null.value", b"true"))
        value = b""
    return Outgoing(
        topic=f"{letter.topic}.dlq",
        partition=letter.partition,
        key=key,
        value=value,
        headers=tuple(headers),
    )


def _cut(body: bytes | None, room: int) -> tuple[bytes | None, bool]:
    if body is None or len(body) <= room:
        return body, False
    return body[:room], True


def _text(reason: str) -> bytes:
    """A reason may quote the record, so it is bounded and always encodes."""
    return reason.encode("utf-8", "backslashreplace")[:MESSAGE_BYTES]


HEADER_BYTES = 8_192
MESSAGE_BYTES = 2_048
