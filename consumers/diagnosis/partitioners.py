"""Which partitioner a producer seems to use, told from where its records went.

The partition of a user is Kafka's default one, murmur2 of the key; clients in other languages hash
keys differently, and some spread them. Knows keys and partitions, not what is in the records.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kafka.partitioner.default import murmur2

Placed = tuple[bytes, int]
"""A key, and the partition its record was found in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioner:
    """A known way to choose a partition: `of(key, partitions)`, who does so, how to change it."""

    name: str
    whose: str
    mend: str
    of: Callable[[bytes, int], int]


def default_partition(key: bytes, partitions: int) -> int:
    """Return the partition of Kafka's default partitioner.

    >>> default_partition(b"u1", 4)
    0
    """
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def suspect(records: Sequence[Placed], partitions: int) -> Partitioner | None:
    """Return the other partitioner that explains nearly all of the records, if one does.

    Give it the records that are *not* where the default one puts them, at least a few.
    """
    if len(records) < FEWEST:
        return None
    for partitioner in PARTITIONERS:
        fits = sum(partitioner.of(key, partitions) == found for key, found in records)
        if fits >= NEARLY_ALL * len(records):
            return partitioner
    return None


def is_scattered(records: Sequence[Placed]) -> bool:
    """Say whether any key was found in more than one partition."""
    seen: dict[bytes, int] = {}
    return any(seen.setdefault(key, found) != found for key, found in records)


def by_partition(records: Sequence[Placed]) -> Mapping[int, int]:
    """Count records by partition."""
    counts: dict[int, int] = {}
    for _, found in records:
        counts[found] = counts.get(found, 0) + 1
    return counts


def _fnv1a(key: bytes) -> int:
    """FNV-1a, 32 bits (Fowler, Noll and Vo)."""
    hashed = 0x811C9DC5
    for byte in key:
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return hashed


def _signed(hashed: int) -> int:
    return hashed - (1 << 32) if hashed & 0x80000000 else hashed


def _sarama(key: bytes, partitions: int) -> int:
    """Sarama takes the remainder of the signed hash, as Go does, and drops its sign."""
    hashed = _signed(_fnv1a(key))
    return abs(hashed) % partitions


FEWEST = 8
NEARLY_ALL = 0.95
PARTITIONERS = (
    Partitioner(
        name="crc32",
        whose="librdkafka's default, `consistent_random` (confluent-kafka for Python, Go, .NET)",
        mend="set partitioner=murmur2_random in the producer",
        of=lambda key, partitions: zlib.crc32(key) % partitions,
    ),
    Partitioner(
        name="fnv1a",
        whose="Sarama's hash partitioner (Go)",
        mend="use a murmur2 partitioner in the producer",
        of=_sarama,
    ),
    Partitioner(
        name="fnv1a unsigned",
        whose="`fnv1a` of librdkafka, or `Hash` of kafka-go",
        mend="set partitioner=murmur2_random, or use kafka-go's Murmur2Balancer",
        of=lambda key, partitions: _fnv1a(key) % partitions,
    ),
    Partitioner(
        name="java hash code",
        whose="a partitioner of one's own by hashCode() of a Java array or string",
        mend="leave the partition to the client's default partitioner",
        of=lambda key, partitions: _java_hash(key) % partitions,
    ),
    Partitioner(
        name="unmasked murmur2",
        whose="murmur2 whose sign was dropped by abs() instead of by Kafka's mask",
        mend="take (murmur2(key) & 0x7fffffff) % partitions",
        of=lambda key, partitions: abs(_signed(int(murmur2(key)) & 0xFFFFFFFF)) % partitions,
    ),
)


def _java_hash(key: bytes) -> int:
    hashed = 0
    for byte in key:
        hashed = (31 * hashed + byte) & 0xFFFFFFFF
    return hashed & 0x7FFFFFFF
