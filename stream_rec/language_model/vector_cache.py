"""Keep encoded vectors on disk by text, so that a restart encodes nothing twice.

One append-only file of fixed-size records (key, float16 vector, checksum) for each way of encoding:
base model, pooling, adapter, length. A torn tail is cut off, a damaged record is a miss. One
process writes at a time; a second one reads only. This is one of the few files that write to disk.
It does not know how vectors are made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray


class VectorCache:
    """A map from text to vector for one fingerprint, on disk; its index of keys is in memory.

    Opening never fails on damage: what cannot be read is forgotten and encoded again.
    """

    def __init__(self, folder: Path, fingerprint: str, dimension: int) -> None:
        """Open or create ``folder/<fingerprint>-<dimension>.vectors``."""
        self._record = np.dtype(
            [("key", "u1", (_KEY_BYTES,)), ("vector", "<f2", (dimension,)), ("check", "<u4")]
        )
        self.dimension = dimension
        self.path = folder / f"{fingerprint}-{dimension}{_SUFFIX}"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        self.writable = _lock(self._file.fileno())
        self._rows: dict[bytes, int] = {}
        self._count = 0
        if self.writable:
            whole = self.path.stat().st_size // self._record.itemsize * self._record.itemsize
            self._file.truncate(whole)
        self._index_new_records()

    def __len__(self) -> int:
        """Return how many texts are known."""
        return len(self._rows)

    def __enter__(self) -> Self:
        """Return the cache itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def get(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors ``(texts, dimension)`` and which were found; others are zero."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        found = np.zeros(len(texts), np.bool_)
        wanted = [(i, self._rows.get(_key(text))) for i, text in enumerate(texts)]
        hits = [(i, row) for i, row in wanted if row is not None]
        if not hits:
            return vectors, found
        records = np.memmap(self.path, self._record, mode="r", shape=(self._count,))
        for i, row in hits:
            if int(records["check"][row]) == self._check(records[row : row + 1]):
                vectors[i] = records["vector"][row]
                found[i] = True
        return vectors, found

    def put(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append vectors ``(texts, dimension)``; nothing if another process holds the file."""
        if not self.writable or not texts:
            return
        if vectors.shape != (len(texts), self.dimension):
            message = f"vectors are {vectors.shape}, not {(len(texts), self.dimension)}"
            raise ValueError(message)
        records = np.zeros(len(texts), self._record)
        records["key"] = np.frombuffer(b"".join(map(_key, texts)), np.uint8).reshape(-1, _KEY_BYTES)
        records["vector"] = vectors
        records["check"] = [self._check(records[i : i + 1]) for i in range(len(texts))]
        self._file.write(records.tobytes())
        self._file.flush()
        self._index_new_records()

    def fill(
        self, texts: Sequence[str], encode: Callable[[list[str]], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return vectors of all texts; ``encode`` gets the distinct missing ones."""
        vectors, found = self.get(texts)
        missing = list(
            dict.fromkeys(text for text, hit in zip(texts, found, strict=True) if not hit)
        )
        if missing:
            fresh = encode(missing)
            self.put(missing, fresh)
            # Rounded as a later run will read them: a restart must not change a vector.
            rounded = dict(zip(missing, fresh.astype(np.float16).astype(np.float32), strict=True))
            for i in np.flatnonzero(~found):
                vectors[i] = rounded[texts[int(i)]]
        return vectors

    def close(self) -> None:
        """Make what was written durable and let another process write."""
        if self._file.closed:
            return
        if self.writable:
            os.fsync(self._file.fileno())
        self._file.close()

    def _index_new_records(self) -> None:
        count = self.path.stat().st_size // self._record.itemsize
        if count == self._count:
            return
        records = np.memmap(self.path, self._record, mode="r", shape=(count,))
        # Later records win: a damaged one is encoded and appended again.
        keys = np.ascontiguousarray(records["key"][self._count :]).tobytes()
        for offset, row in enumerate(range(self._count, count)):
            self._rows[keys[offset * _KEY_BYTES : (offset + 1) * _KEY_BYTES]] = row
        self._count = count

    def _check(self, record: NDArray[np.void]) -> int:
        return zlib.crc32(record.tobytes()[:-4])


def cache_fingerprint(*parts: str | int) -> str:
    """Name a way of encoding: model hash, pooling, adapter version, token limit.

    >>> cache_fingerprint("a", 1) == cache_fingerprint("a", 1) != cache_fingerprint("a", 2)
    True
    """
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def prune_caches(folder: Path, keep: int) -> list[Path]:
    """Remove cache files but the ``keep`` newest and those in use; return what was removed."""
    files = sorted(
        folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns, reverse=True
    )
    return [path for path in files[keep:] if _removed(path)]


def _removed(path: Path) -> bool:
    """Remove a cache file unless somebody has it open to write, this process included."""
    try:
        with path.open("r+b") as file:
            if not _lock(file.fileno()):
                return False
            path.unlink()
    except FileNotFoundError:  # another process removed it meanwhile
        return False
    return True


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def _lock(descriptor: int) -> bool:
    """Take the file for writing if nobody has it; the lock dies with the process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_KEY_BYTES = 16
_SUFFIX = ".vectors"
