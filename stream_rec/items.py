"""An item of the catalogue, read from a record, and the text that a model reads of it.

Knows the contract's fields; a wrong type in an optional field is kept in `properties`, not refused.
"""

from hashlib import blake2b
from typing import Any

import msgspec

from stream_rec import record_fields as fields
from stream_rec.aliases.item_words import item_in_our_words
from stream_rec.errors import InvalidRecord

MAX_LABELS = 32
MAX_DIMENSION = 4096
MAX_VECTORS = 8


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One catalogue entry; `published_at` in epoch milliseconds, `vectors` of other modalities."""

    item_id: str
    title: str | None = None
    description: str | None = None
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    brand: str | None = None
    price: float | None = None
    available: bool = True
    published_at: int | None = None
    vectors: dict[str, list[float]] = {}
    properties: dict[str, Any] = {}


def parse_item(value: bytes, *, key: bytes | None) -> Item:
    """Read one record of the items topic (a tombstone never comes here).

    Raises:
        InvalidRecord: not a JSON object, no usable item_id, or a key that is not the item_id.
    """
    record = fields.decode_object(value, unique=(b'"item_id"', b'"ItemId"'))
    item = item_of(item_in_our_words(record))
    if key is None or key != item.item_id.encode():
        msg = "the record's key must be its item_id"
        raise InvalidRecord(msg, stage="key")
    return item


def item_of(record: dict[str, Any]) -> Item:
    """Read one item from a decoded record.

    Raises:
        InvalidRecord: no usable item_id.

    >>> item_of({"item_id": "i1", "categories": [["Home", "Fans"], "Sale"], "price": "free"})
    ... # doctest: +ELLIPSIS
    Item(item_id='i1', ..., categories=('Home', 'Fans', 'Sale'), ..., properties={'price': 'free'})
    """
    item_id = fields.identifier(record, "item_id")
    named: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in record.items():
        read = _READERS.get(name)
        if value is None or name in ("item_id", "properties"):
            continue
        if read is None:
            extra[name] = value
            continue
        try:
            named[name] = read(value)
        except (InvalidRecord, TypeError, ValueError):
            extra[name] = value
    own = record.get("properties")
    properties = {**own, **extra} if isinstance(own, dict) else extra
    return Item(item_id=item_id, properties=properties, **named)


def item_text(item: Item) -> str:
    """Return what a language model reads of an item; empty when there is nothing to read.

    Categories alone are nothing to read: all items of a category would stand in one place, and
    what they have in common the label experts know already.

    >>> item_text(Item(item_id="i", title="Quiet fan", brand="Acme", categories=("Home",)))
    'Quiet fan | Acme | Home'
    """
    if not (item.title or item.description or item.brand or item.tags):
        return ""
    labels = ", ".join(dict.fromkeys((*item.categories, *item.tags)))
    parts = (
        (item.title or "")[:_TITLE_CHARACTERS],
        (item.brand or "")[:_LABEL_CHARACTERS],
        labels[:_LABEL_CHARACTERS],
        (item.description or "")[:_DESCRIPTION_CHARACTERS],
    )
    return " | ".join(part for part in parts if part)


def text_hash(text: str) -> int:
    """Return the 64-bit hash by which a vector names the text it was made from."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _labels(value: Any) -> tuple[str, ...]:
    """Strings, or nested lists of strings, flattened in order without repeats."""
    if isinstance(value, str):
        return (value,) if value else ()
    flat: dict[str, None] = {}
    for entry in _list(value):
        for label in (entry,) if isinstance(entry, str) else _list(entry):
            flat[_text(label)] = None
    return tuple(label for label in flat if label)[:MAX_LABELS]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _MOST:
        raise TypeError
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _vectors(value: Any) -> dict[str, list[float]]:
    if not isinstance(value, dict) or len(value) > MAX_VECTORS:
        raise TypeError
    vectors: dict[str, list[float]] = {}
    for name, vector in value.items():
        if not isinstance(vector, list) or not 0 < len(vector) <= MAX_DIMENSION:
            raise TypeError
        vectors[name] = [_finite(entry) for entry in vector]
    return vectors


_READERS: dict[str, Any] = {
    "title": _text,
    "description": _text,
    "categories": _labels,
    "tags": _labels,
    "brand": _text,
    "price": _finite,
    "available": _flag,
    "published_at": lambda value: fields.milliseconds(value, "published_at"),
    "vectors": _vectors,
}
_TITLE_CHARACTERS = 300
_LABEL_CHARACTERS = 150
_DESCRIPTION_CHARACTERS = 300
_MOST = 1e15  # its square, summed over a vector, still fits a single-precision float
