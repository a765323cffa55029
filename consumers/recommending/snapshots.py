"""A local snapshot of the item statistics, so that a restart reads the log's tail, not the whole.

One file: magic, digest, then {format, topic id, next offset, statistics}. Written beside the old
one, flushed, renamed, and the folder flushed. A damaged one, or one of another log, is refused,
never repaired: the log is the truth. Knows no Kafka client.
"""

import hashlib
import logging
from pathlib import Path

import msgspec

from consumers.durable_file import replace_durably
from stream_rec import formats
from stream_rec.errors import StateRejected


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics that are the fold of every record below `offset` of the topic `topic_id`.

    Format 1 did not say which version of stream-rec wrote it.
    """

    format: int = 2
    writer: str = formats.VERSION
    topic_id: str
    offset: int
    statistics: bytearray


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Replace the snapshot at `path`, durably; a crash leaves the old one or the new one."""
    body = msgspec.msgpack.encode(snapshot)
    replace_durably(path, MAGIC, _digest(body), body)


def read_snapshot(path: Path, topic_id: str) -> Snapshot | None:
    """Return the snapshot at `path`, None when there is none of this topic.

    Raises:
        StateRejected: it is torn or bit-flipped.
        NewerFormat: a newer version wrote it.
    """
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return None
    head = len(MAGIC) + DIGEST_BYTES
    body = written[head:]
    if written[: len(MAGIC)] != MAGIC or written[len(MAGIC) : head] != _digest(body):
        msg = f"{path.name} is torn or damaged"
        raise StateRejected(msg)
    found = formats.check_value("snapshot", body)
    try:
        snapshot = msgspec.msgpack.decode(body, type=Snapshot)
    except msgspec.DecodeError as error:
        msg = f"{path.name}: {error}"
        raise StateRejected(msg) from error
    if found == 1:
        snapshot = msgspec.structs.replace(snapshot, format=2, writer="")
    if snapshot.topic_id != topic_id:
        LOG.warning("%s belongs to another log; not used", path.name)
        return None
    return snapshot


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


LOG = logging.getLogger(__name__)
MAGIC = b"stream-rec snapshot 1\n"
DIGEST_BYTES = 16
