"""Keep a long-lived process from growing by holes in its heap.

After a large buffer is freed, glibc takes buffers up to its size from the heap (up to 32 MB,
mallopt(3)), where whatever stays behind them keeps their room from being given back: the snapshot
of each minute left some 25 MB. Thresholds that are set stay as they are. What smaller buffers leave
is given back page by page (malloc_trim(3)). Nothing is done under another C library, which has its
own ways. Knows no program.
"""

import ctypes
from typing import Any


def give_back_large_buffers() -> None:
    """Let buffers of `LARGE_BYTES` and more be mapped apart, and given back when they are freed."""
    if (mallopt := _function("mallopt")) is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, 32 << 20)  # else every batch would shrink the heap, and grow it


def give_back_holes() -> None:
    """Return whole free pages of the heap; tens of milliseconds, and as much when they are used."""
    if (malloc_trim := _function("malloc_trim")) is not None:
        malloc_trim(0)


def _function(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None


LARGE_BYTES = 4 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
