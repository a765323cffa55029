"""The cache on disk: what survives a restart, and what damage costs."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint, prune_caches


def vectors_of(texts: list[str], dimension: int = 4) -> NDArray[np.float32]:
    seeds = [sum(text.encode()) for text in texts]
    return np.vstack([np.random.default_rng(s).random(dimension, np.float32) for s in seeds])


def never(texts: list[str]) -> NDArray[np.float32]:
    raise AssertionError(texts)


def test_restart_encodes_nothing(tmp_path: Path) -> None:
    texts = ["a", "b", "a"]
    with VectorCache(tmp_path, "f", 4) as cache:
        first = cache.fill(texts, vectors_of)
    with VectorCache(tmp_path, "f", 4) as cache:
        np.testing.assert_array_equal(cache.fill(texts, never), first)
    np.testing.assert_allclose(first, vectors_of(texts), atol=1e-3)


def test_only_missing_texts_are_encoded_each_once(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> NDArray[np.float32]:
        asked.append(texts)
        return vectors_of(texts)

    with VectorCache(tmp_path, "f", 4) as cache:
        cache.fill(["a"], encode)
        cache.fill(["b", "a", "b"], encode)
    assert asked == [["a"], ["b"]]


def test_torn_tail_is_forgotten_and_writing_goes_on(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "f", 4) as cache:
        cache.put(["a", "b"], vectors_of(["a", "b"]))
        path = cache.path
    path.write_bytes(path.read_bytes()[:-5])
    with VectorCache(tmp_path, "f", 4) as cache:
        assert cache.get(["a", "b"])[1].tolist() == [True, False]
        cache.put(["b", "c"], vectors_of(["b", "c"]))
        found, hits = cache.get(["a", "b", "c"])
    assert hits.all()
    np.testing.assert_allclose(found, vectors_of(["a", "b", "c"]), atol=1e-3)


@pytest.mark.parametrize("position", [0, 16, 20, 24])
def test_flipped_bit_is_a_miss_and_is_repaired(tmp_path: Path, position: int) -> None:
    with VectorCache(tmp_path, "f", 4) as cache:
        cache.put(["a"], vectors_of(["a"]))
        path = cache.path
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with VectorCache(tmp_path, "f", 4) as cache:
        assert not cache.get(["a"])[1].any()
        repaired = cache.fill(["a"], vectors_of)
        again = cache.fill(["a"], never)
    np.testing.assert_array_equal(repaired, again)


def test_second_process_reads_and_does_not_write(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "f", 4) as writer, VectorCache(tmp_path, "f", 4) as reader:
        writer.put(["a"], vectors_of(["a"]))
        assert writer.writable
        assert not reader.writable
        reader.put(["b"], vectors_of(["b"]))
    with VectorCache(tmp_path, "f", 4) as cache:
        assert cache.get(["a", "b"])[1].tolist() == [True, False]


def test_other_adapter_does_not_see_these_vectors(tmp_path: Path) -> None:
    with VectorCache(tmp_path, cache_fingerprint("model", 1), 4) as one:
        one.put(["a"], vectors_of(["a"]))
    with VectorCache(tmp_path, cache_fingerprint("model", 2), 4) as two:
        assert not two.get(["a"])[1].any()


def test_wrong_shape_is_refused(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "f", 4) as cache, pytest.raises(ValueError, match="vectors are"):
        cache.put(["a"], vectors_of(["a"], dimension=5))


def test_pruning_keeps_the_newest(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with VectorCache(tmp_path, name, 4) as cache:
            cache.put(["a"], vectors_of(["a"]))
    written_ago(tmp_path / "one-4.vectors", 1)
    written_ago(tmp_path / "two-4.vectors", 0)
    assert [path.name for path in prune_caches(tmp_path, keep=1)] == ["one-4.vectors"]
    assert [path.name for path in tmp_path.iterdir()] == ["two-4.vectors"]


def test_pruning_leaves_what_is_open_however_old(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "frozen", 4) as frozen:
        frozen.put(["a"], vectors_of(["a"]))
        for name in ("one", "two", "three"):
            with VectorCache(tmp_path, name, 4) as later:
                later.put(["a"], vectors_of(["a"]))
        for age, name in enumerate(("three", "two", "one", "frozen")):
            written_ago(tmp_path / f"{name}-4.vectors", age)
        removed = prune_caches(tmp_path, keep=1)
        assert sorted(path.name for path in removed) == ["one-4.vectors", "two-4.vectors"]
        frozen.put(["b"], vectors_of(["b"]))
        assert frozen.get(["a", "b"])[1].all()
    written_ago(tmp_path / "frozen-4.vectors", -1)
    assert [path.name for path in prune_caches(tmp_path, keep=1)] == ["three-4.vectors"]


def written_ago(path: Path, seconds: int) -> None:
    """Say when a file was written; clocks of file systems tick too slowly for a test."""
    at = 1_800_000_000 - seconds
    os.utime(path, (at, at))
