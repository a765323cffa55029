"""The 64-bit hash that stands for an item id in consumed sets. Knows nothing of rows."""

from hashlib import blake2b


def item_hash(item_id: str) -> int:
    """Return the same unsigned 64-bit number for an id on every machine and in every process.

    >>> item_hash("i9")
    13346599927420350960
    """
    return int.from_bytes(blake2b(item_id.encode(), digest_size=8).digest(), "little")
