"""What the reader of reviews has learned, and how far it has read, in one small file.

Written whole and renamed into place. Losing it costs what was learned, which comes back from later
reviews. Knows neither models nor topics.
"""

from pathlib import Path

import msgspec

from consumers.durable_file import replace_durably
from stream_rec import formats
from stream_rec.errors import StateRejected


class ReaderState(msgspec.Struct, frozen=True, kw_only=True):
    """Next offsets of the reviews by partition, the word model, and the heads by text version."""

    format: int = 1
    topic_id: str = ""
    positions: dict[int, int] = {}
    sentiment: bytes = b""
    heads: dict[int, bytes] = {}


def read_state(path: Path, topic_id: str) -> ReaderState:
    """Return what was written, or an empty state where nothing sound is there.

    That of another topic than the one whose id is given has no positions in it.

    Raises:
        NewerFormat: a newer version wrote it.
    """
    try:
        value = path.read_bytes()
        formats.check_value("reader", value)
        found = msgspec.msgpack.decode(value, type=ReaderState)
    except (OSError, StateRejected, msgspec.DecodeError, UnicodeDecodeError):
        return ReaderState(topic_id=topic_id)
    if found.topic_id != topic_id:
        return msgspec.structs.replace(found, topic_id=topic_id, positions={})
    return found


def write_state(path: Path, state: ReaderState) -> None:
    """Write the state so that a kill leaves the old one or the new one."""
    replace_durably(path, msgspec.msgpack.encode(state))
