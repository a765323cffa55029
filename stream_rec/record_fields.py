"""Read the fields of a JSON record strictly: bounded ids, finite numbers, times of any usual form.

Knows nothing of what the record means. Every refusal is an `InvalidRecord` that names the field.
"""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from stream_rec.errors import InvalidRecord

MAX_BODY_BYTES = 1_048_576
MAX_ID_CHARACTERS = 256
MAX_DEPTH = 64
MAX_DIGITS = 18  # below 2^63
MAX_TIME_MS = 253_370_764_800_000  # the year 9999


def whole_number(text: str | bytes) -> int | None:
    """Read digits, as offsets and versions are written; None for anything else.

    `isdigit` alone is also true of "²", and `int` refuses thousands of digits.

    >>> whole_number("17"), whole_number(b"17"), whole_number("²"), whole_number("9" * 5000)
    (17, 17, None, None)
    """
    return int(text) if text.isdigit() and text.isascii() and len(text) <= MAX_DIGITS else None


def decode_object(value: bytes | None, *, unique: tuple[bytes, ...] = ()) -> dict[str, Any]:
    """Decode one JSON object of at most 1 MiB; `unique` are quoted names that may stand once.

    Raises:
        InvalidRecord: no value, too long, not UTF-8, not JSON, not an object, nested too deeply,
            numbers out of range, or one of `unique` twice.

    >>> decode_object(b'{"a": 1}')
    {'a': 1}
    """
    if value is None:
        msg = "no value"
        raise InvalidRecord(msg)
    if len(value) > MAX_BODY_BYTES:
        msg = f"{len(value)} bytes exceed the bound of {MAX_BODY_BYTES}"
        raise InvalidRecord(msg)
    if value.count(b"[") + value.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        msg = f"nested more than {MAX_DEPTH} deep"
        raise InvalidRecord(msg)
    try:
        record = msgspec.json.decode(value)
    except UnicodeDecodeError as error:
        msg = f"not UTF-8: {error.reason}"
        raise InvalidRecord(msg) from error
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise InvalidRecord(msg) from error
    if not isinstance(record, dict):
        msg = f"a JSON object was expected, not {type(record).__name__}"
        raise InvalidRecord(msg)
    if any(value.count(name) > 1 for name in unique):
        _refuse_duplicates(value)
    return record


def _depth(value: bytes) -> int:
    """Deepest nesting of brackets, those inside strings counted too (an upper bound)."""
    depth = deepest = 0
    for character in value:
        if character in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in b"]}":
            depth -= 1
    return deepest


def refuse_twice(value: bytes, names: Iterable[str]) -> None:
    """Refuse a body in which one of `names` stands twice in one object.

    Raises:
        InvalidRecord: it does.
    """
    if any(value.count(f'"{name}"'.encode()) > 1 for name in names):
        try:
            _refuse_duplicates(value)
        except ValueError as error:  # what the other parser reads, such as huge numbers
            msg = f"not JSON: {error}"
            raise InvalidRecord(msg) from error


def _refuse_duplicates(value: bytes) -> None:
    def pairs(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in entries]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"the field {twice[:40]!r} stands twice"
            raise InvalidRecord(msg)
        return dict(entries)

    json.loads(value, object_pairs_hook=pairs)


def identifier(record: Mapping[str, Any], field: str, default: str | None = None) -> str:
    """Return a printable text of 1 to 256 characters, or `default` where the field is absent."""
    value = record.get(field)
    if value is None:
        if default is None:
            msg = f"{field} is required"
            raise InvalidRecord(msg, stage="validate")
        return default
    if not isinstance(value, str):
        msg = f"{field} must be text, not {type(value).__name__}"
        raise InvalidRecord(msg, stage="validate")
    if not value or len(value) > MAX_ID_CHARACTERS:
        msg = f"{field} must have 1 to {MAX_ID_CHARACTERS} characters"
        raise InvalidRecord(msg, stage="validate")
    if not value.isprintable():
        msg = f"{field} holds control or invisible characters"
        raise InvalidRecord(msg, stage="validate")
    return value


def text(record: Mapping[str, Any], field: str) -> str | None:
    """Return a text of any length, or None where the field is absent."""
    value = record.get(field)
    if value is None or isinstance(value, str):
        return value
    msg = f"{field} must be text, not {type(value).__name__}"
    raise InvalidRecord(msg, stage="validate")


def number(record: Mapping[str, Any], field: str, *, bound: float = 1e9) -> float | None:
    """Return a finite number within ±`bound`, read from a number or a numeric text."""
    value = record.get(field)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            msg = f"{field} is not a number"
            raise InvalidRecord(msg, stage="validate") from error
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"{field} must be a number, not {type(value).__name__}"
        raise InvalidRecord(msg, stage="validate")
    if not abs(value) <= bound:  # nor is NaN; an integer may be too large to be made a float
        msg = f"{field} is out of bounds"
        raise InvalidRecord(msg, stage="validate")
    return float(value)


def milliseconds(value: Any, field: str = "timestamp") -> int:
    """Return epoch milliseconds from epoch s, ms, µs or ISO 8601 (no zone means UTC).

    Numbers below 1e11 are seconds, below 1e14 milliseconds, others microseconds, so that every
    time from 1973 to the year 5138 is read as it was meant.

    >>> milliseconds(1763790285), milliseconds("2025-11-22T05:44:45.5Z")
    (1763790285000, 1763790285500)
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError as error:
                msg = f"{field} is no time"
                raise InvalidRecord(msg, stage="validate") from error
        else:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            value = moment.timestamp() * 1000 if moment.year < 9999 else math.inf
            return _within(value, field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"{field} must be a time, not {type(value).__name__}"
        raise InvalidRecord(msg, stage="validate")
    size = abs(value)
    if not size < 1e18:  # nor is NaN; an integer may be too large to be made a float
        msg = f"{field} is out of bounds"
        raise InvalidRecord(msg, stage="validate")
    return _within(value * 1000 if size < 1e11 else value if size < 1e14 else value / 1000, field)


def _within(value: float, field: str) -> int:
    if not 0 <= value < MAX_TIME_MS:
        msg = f"{field} is out of bounds"
        raise InvalidRecord(msg, stage="validate")
    return round(value)
