import zlib

import pytest

from consumers.diagnosis.partitioners import (
    PARTITIONERS,
    _fnv1a,
    default_partition,
    is_scattered,
    suspect,
)

KEYS = [f"user-{number}".encode() for number in range(200)]


@pytest.mark.parametrize(
    ("text", "hashed"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)]
)
def test_fnv1a_is_that_of_its_authors(text: bytes, hashed: int) -> None:
    assert _fnv1a(text) == hashed


@pytest.mark.parametrize("partitioner", PARTITIONERS, ids=lambda found: found.name)
def test_every_known_partitioner_is_told_from_the_others(partitioner) -> None:  # type: ignore[no-untyped-def]
    placed = [(key, partitioner.of(key, 6)) for key in KEYS]
    astray = [(key, found) for key, found in placed if default_partition(key, 6) != found]
    assert suspect(astray, 6) == partitioner


def test_chance_is_taken_for_no_partitioner() -> None:
    placed = [(key, zlib.crc32(key + b"salt") % 6) for key in KEYS]
    astray = [(key, found) for key, found in placed if default_partition(key, 6) != found]
    assert suspect(astray, 6) is None


def test_a_few_records_prove_nothing() -> None:
    assert suspect([(b"u", zlib.crc32(b"u") % 6)], 6) is None


def test_a_key_in_two_partitions_is_scattered() -> None:
    assert is_scattered([(b"a", 1), (b"b", 1), (b"a", 2)])
    assert not is_scattered([(b"a", 1), (b"b", 2), (b"a", 1)])
