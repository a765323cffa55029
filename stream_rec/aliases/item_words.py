"""Items of the catalogue in the words of other products: Gorse's and Metarank's.

A record with `item_id` is ours and stays as it is. Knows no item; what the words hold is checked in
`items.py` as for ours.
"""

from typing import Any

from stream_rec.aliases.dialect import at


def item_in_our_words(record: dict[str, Any]) -> dict[str, Any]:
    """Return an item's record in our words; one of no known kind comes back as it is.

    >>> item_in_our_words({"ItemId": "i9", "IsHidden": True, "Labels": ["new"]})
    {'item_id': 'i9', 'tags': ['new'], 'available': False}
    """
    if "item_id" in record:
        return record
    if "ItemId" in record:
        return _gorse(record)
    if record.get("event") == "item" and "item" in record:
        return _metarank(record)
    return record


def _gorse(record: dict[str, Any]) -> dict[str, Any]:
    known = {_GORSE[name]: value for name, value in record.items() if name in _GORSE}
    labels = record.get("Labels")
    if isinstance(labels, dict):  # newer versions group labels by name
        known["tags"] = [label for some in labels.values() for label in _listed(some)]
    if isinstance(record.get("IsHidden"), bool):
        known["available"] = not record["IsHidden"]
    others = {name: value for name, value in record.items() if name not in {*_GORSE, "IsHidden"}}
    return known | others


def _metarank(record: dict[str, Any]) -> dict[str, Any]:
    fields = record.get("fields")
    found = {
        entry["name"]: entry.get("value")
        for entry in (fields if isinstance(fields, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    }
    known = {_METARANK.get(name, name): value for name, value in found.items()}
    return known | {"item_id": at(record, "item")}


def _listed(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, str)]


_GORSE = {
    "ItemId": "item_id", "Categories": "categories", "Labels": "tags", "Timestamp": "published_at",
    "Comment": "title",
}  # fmt: skip
_METARANK = {"category": "categories", "tag": "tags", "availability": "available", "name": "title"}
