"""Dead letters: records that could not be used, untouched, with headers that say why.

    letter     the record's own key, value and headers, and Kafka Connect's names of what went wrong
               under `stream_rec.errors.`; a record too large even for the dead letter topic is cut,
               and headers carry the digest and length of the whole
    attempt    a record sent again says so in `stream_rec.retries` and `stream_rec.retry.of`, which
               its next dead letter carries on
    marker     a record without a value that says what became of letters before it: Kafka deletes
               no single record, and a marker is kept as long as the letters it speaks of

Knows no reason to refuse a record: those come from `stream_rec`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from consumers.kafka_io.transaction import Outgoing
from stream_rec.record_fields import whole_number

Headers = tuple[tuple[str, bytes | None], ...]
Settled = Literal["retried", "dropped"]


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
    headers: Headers = ()


def dead_letter_record(letter: DeadLetter, *, limit: int) -> Outgoing:
    """Return the record for `<topic>.dlq`, of at most about `limit` bytes."""
    headers = [
        (f"{ERRORS}topic", letter.topic.encode()),
        (f"{ERRORS}partition", str(letter.partition).encode()),
        (f"{ERRORS}offset", str(letter.offset).encode()),
        (f"{ERRORS}stage", letter.stage.encode()),
        (f"{ERRORS}exception.class.name", letter.error.encode()),
        (f"{ERRORS}message", _text(letter.reason)),
    ]
    own, left_out = _own_headers(letter.headers)
    if left_out:
        headers.append((f"{ERRORS}truncated.headers", str(left_out).encode()))
    room = limit - HEADER_BYTES
    key, cut_key = _cut(letter.key, room // 4)
    value, cut_value = _cut(letter.value, room - len(key or b""))
    for name, whole, cut in (("key", letter.key, cut_key), ("value", letter.value, cut_value)):
        if cut and whole is not None:
            digest = hashlib.sha256(whole).hexdigest()
            headers.append((f"{ERRORS}truncated.{name}.sha256", digest.encode()))
            headers.append((f"{ERRORS}truncated.{name}.bytes", str(len(whole)).encode()))
    if key is None and value is None:  # the client refuses a record that is neither
        headers.append((f"{ERRORS}null.value", b"true"))
        value = b""
    return Outgoing(
        topic=f"{letter.topic}.dlq",
        partition=letter.partition,
        key=key,
        value=value,
        headers=(*headers, *own),
    )


def marker_record(dlq: str, partition: int, offsets: Sequence[int], settled: Settled) -> Outgoing:
    """Return the record that says of earlier records of a dead letter partition: done with."""
    listed = ",".join(map(str, offsets)).encode()
    return Outgoing(
        topic=dlq,
        partition=partition,
        key=MARKER.encode(),
        value=None,
        headers=((f"{MARKER}.{settled}", listed),),
    )


def settled_offsets(headers: Headers) -> Iterable[tuple[Settled, int]]:
    """Yield what a record says if it is a marker; nothing if it is a letter."""
    kinds: tuple[Settled, ...] = ("retried", "dropped")
    for name, value in headers:
        for settled in kinds:
            if name == f"{MARKER}.{settled}":
                offsets = map(whole_number, (value or b"").split(b","))
                yield from ((settled, offset) for offset in offsets if offset is not None)


def retry_headers(told: Headers, *, place: str) -> Headers:
    """Return the headers of a letter's record when it is sent to its topic again.

    Its own stay as they came; the count of attempts goes up. `place` is the letter's.

    >>> retry_headers((("trace", b"7"), ("stream_rec.errors.stage", b"key")), place="0/4")
    (('trace', b'7'), ('stream_rec.retries', b'1'), ('stream_rec.retry.of', b'0/4'))
    """
    own = tuple(
        (name, value)
        for name, value in told
        if not name.startswith(ERRORS) and name not in {RETRIES, RETRY_OF}
    )
    attempt = attempts(dict(told)) + 1
    return (*own, (RETRIES, str(attempt).encode()), (RETRY_OF, place.encode()))


def attempts(told: Mapping[str, bytes | None]) -> int:
    """Return how often a record was sent again; a header that is no count says never."""
    said = whole_number(told.get(RETRIES) or b"") or 0
    return said if said < 10**9 else 0


def _own_headers(headers: Headers) -> tuple[Headers, int]:
    """Return the record's headers as far as they fit, attempts first, and how many do not."""
    kept: list[tuple[str, bytes | None]] = []
    room = OWN_HEADER_BYTES
    own = [pair for pair in headers if not pair[0].startswith(ERRORS)]
    for name, value in sorted(own, key=lambda pair: pair[0] not in {RETRIES, RETRY_OF}):
        room -= len(name.encode("utf-8", "replace")) + len(value or b"") + 8
        if room < 0:
            break
        kept.append((name, value))
    return tuple(kept), len(own) - len(kept)


def _cut(body: bytes | None, room: int) -> tuple[bytes | None, bool]:
    if body is None or len(body) <= room:
        return body, False
    return body[:room], True


def _text(reason: str) -> bytes:
    """A reason may quote the record, so it is bounded and always encodes."""
    return reason.encode("utf-8", "backslashreplace")[:MESSAGE_BYTES]


ERRORS = "stream_rec.errors."
RETRIES = "stream_rec.retries"
RETRY_OF = "stream_rec.retry.of"
MARKER = "stream_rec.dlq"
HEADER_BYTES = 8_192
OWN_HEADER_BYTES = 4_096
MESSAGE_BYTES = 2_048
