"""The items a user has consumed: exact while they are few, a Bloom filter of fixed size after.

Items stand in it as 64-bit hashes. What the set answers depends on its members alone, never on the
order in which they came, so two replays of one log agree.
"""

from bisect import bisect_left

import msgspec
import numpy as np

EXACT = 128
BLOOM_BITS = 16_384
PROBES = 4
# Beyond this share of set bits a filter calls most of the catalogue consumed, so it is ignored.
SATURATED = 0.8


class Consumed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`exact`: sorted little-endian uint64 hashes; `bloom`: the filter, empty while exact."""

    exact: bytes = b""
    bloom: bytes = b""

    @property
    def sound(self) -> bool:
        """Whether both parts have a size that they can have."""
        whole = len(self.exact) % _HASH.itemsize == 0
        return whole and len(self.bloom) in (0, BLOOM_BITS // 8)

    def added(self, item: int) -> "Consumed":
        """Return the set with one more item hash."""
        if self.bloom:
            bits = np.frombuffer(self.bloom, np.uint8).copy()
            _set(bits, np.array([item], np.uint64))
            return Consumed(b"", bits.tobytes())
        hashes = memoryview(self.exact).cast("Q")  # a search in numpy costs twenty times as much
        place = bisect_left(hashes, item)
        if place < len(hashes) and hashes[place] == item:
            return self
        cut = place * _HASH.itemsize
        more = self.exact[:cut] + item.to_bytes(_HASH.itemsize, "little") + self.exact[cut:]
        if len(more) <= EXACT * _HASH.itemsize:
            return Consumed(more)
        bits = np.zeros(BLOOM_BITS // 8, np.uint8)
        _set(bits, np.frombuffer(more, _HASH))
        return Consumed(b"", bits.tobytes())

    def grew_to(self, after: "Consumed", item: int) -> bool:
        """Say whether `after`, this set with an item added, has more than this one had.

        A filter that cannot tell says no.
        """
        if not self.bloom:
            return after is not self
        full = int.from_bytes(self.bloom).bit_count() > SATURATED * BLOOM_BITS
        return not full and not bool(self.holds(np.array([item], np.uint64))[0])

    def hashes(self) -> np.ndarray:
        """Return the sorted hashes, uint64 (items,); empty once the filter has taken over."""
        return np.frombuffer(self.exact, _HASH)

    def holds(self, items: np.ndarray) -> np.ndarray:
        """Return whether each hash, uint64 (n,), is in the set; the filter may err towards yes."""
        if self.bloom:
            bits = np.frombuffer(self.bloom, np.uint8)
            if int(np.unpackbits(bits).sum()) > SATURATED * BLOOM_BITS:
                return np.zeros(len(items), bool)
            positions = probes(items)  # (n, PROBES)
            found: np.ndarray = (
                (bits[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1
            ).all(1)
            return found
        own = self.hashes()
        if not len(own):
            return np.zeros(len(items), bool)
        places = np.minimum(np.searchsorted(own, items), len(own) - 1)
        same: np.ndarray = own[places] == items
        return same


def probes(items: np.ndarray) -> np.ndarray:
    """Return the filter positions of hashes, int64 (n, PROBES), by double hashing.

    Source: Kirsch and Mitzenmacher, "Less hashing, same performance", ESA 2006.
    """
    low = items & np.uint64(0xFFFFFFFF)
    high = (items >> np.uint64(32)) | np.uint64(1)
    steps = np.arange(PROBES, dtype=np.uint64)
    return ((low[:, None] + steps * high[:, None]) % np.uint64(BLOOM_BITS)).astype(np.int64)


def _set(bits: np.ndarray, items: np.ndarray) -> None:
    positions = probes(items).ravel()
    np.bitwise_or.at(bits, positions >> 3, np.left_shift(1, positions & 7).astype(np.uint8))


_HASH = np.dtype("<u8")
