"""Recorded streams: JSON Lines of items and events, gzip or not, as records the engine would get.

Reads files; knows nothing of what the records mean beyond naming their time and type.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from stream_rec.errors import ConfigurationError
from stream_rec.items import Item, item_of
from stream_rec.step import Arrival


def rows(path: Path, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file.

    Raises:
        ConfigurationError: the file cannot be read or a line is no JSON object.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(islice(lines, limit), 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    message = f"{path} line {number}: not a JSON object"
                    raise ConfigurationError(message)
                yield row
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{path}: {reason}"
        raise ConfigurationError(message) from error
    except ValueError as error:
        message = f"{path}: {error}"
        raise ConfigurationError(message) from error


def items(path: Path) -> Iterator[Item]:
    """Yield the catalogue of a file."""
    for row in rows(path):
        yield item_of(row)


def event_record(row: dict[str, Any], number: int) -> dict[str, Any]:
    """Return an event of a recorded stream in the contract's words.

    Rows in the contract's words pass through; others have `ts` in seconds and `action` or `type`.

    >>> event_record({"type": "click", "user_id": "u", "item_id": "i", "ts": 1.5}, 7)["timestamp"]
    1500
    """
    if "timestamp" in row:
        return {"event_id": f"row-{number}", **row}
    action = str(row.get("action") or row.get("type") or "click")
    record = {
        "event_id": f"row-{number}",
        "event_type": action.lower().replace(" ", "_"),
        "user_id": row.get("user_id"),
        "item_id": row.get("item_id"),
        "timestamp": round(float(row.get("ts", 0)) * 1000),
        "scenario": row.get("scenario", "default"),
    }
    return record | {
        name: row[name] for name in ("rating", "title", "text") if row.get(name) is not None
    }


def is_erasure(row: Mapping[str, Any]) -> bool:
    """Say whether a row asks to forget a user: it names a user and a time, and no item.

    >>> is_erasure({"user_id": "u", "timestamp": 1}), is_erasure({"user_id": "u", "item_id": "i"})
    (True, False)
    """
    named = {str(row[name]) for name in ("event_type", "action", "type") if name in row}
    return "user_id" in row and "item_id" not in row and named <= {"erasure"}


def erasures(path: Path) -> Iterator[Arrival]:
    """Yield the requests of a file, one `{"user_id", "timestamp"}` a line."""
    for number, row in enumerate(rows(path)):
        yield _erasure(row, number)


def _erasure(row: Mapping[str, Any], number: int) -> Arrival:
    request = {"user_id": row.get("user_id"), "timestamp": row.get("timestamp", row.get("ts"))}
    return Arrival(
        kind="erasure",
        topic="erasures",
        partition=0,
        offset=number,
        append_ms=None,
        key=str(request["user_id"]).encode(),
        value=json.dumps(request).encode(),
    )


def arrivals(path: Path, limit: int | None = None) -> Iterator[Arrival]:
    """Yield a recorded stream as the records of one partition of three topics."""
    offsets = {"click": 0, "review": 0}
    for number, row in enumerate(rows(path, limit)):
        if is_erasure(row):
            yield _erasure(row, number)
            continue
        record = event_record(row, number)
        kind: Any = (
            "review" if record.get("event_type") == "review" or "rating" in record else "click"
        )
        yield Arrival(
            kind=kind,
            topic=f"events.{kind}s",
            partition=0,
            offset=offsets[kind],
            append_ms=None,
            key=str(record.get("user_id")).encode(),
            value=json.dumps(record).encode(),
        )
        offsets[kind] += 1
