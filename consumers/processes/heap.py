"""Keep a long-lived process from growing by holes in its heap.

After a large buffer is freed, glibc takes buffers up to its size from the heap (up to 32 MB,
mallopt(3)), where whatever stays behind them keeps their room from being given back: the snapshot
of each minute left some 25 MB. Thresholds that are set stay as they are. Knows no program.
"""

import ctypes


def give_back_large_buffers() -> None:
    """Let buffers of 4 MiB and more be mapped apart, and given back when they are freed."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, which has its own ways
        return
    mallopt(M_MMAP_THRESHOLD, 4 << 20)
    mallopt(M_TRIM_THRESHOLD, 32 << 20)  # else every batch would shrink the heap and grow it again


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
