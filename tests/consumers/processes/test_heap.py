"""What a process gives back, looked at in one of its own: it is a matter of all of it."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from consumers.processes.heap import give_back_large_buffers

class Info(ctypes.Structure):  # mallinfo(3)
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

told = ctypes.CDLL(None).mallinfo2
told.restype = Info
if sys.argv[1] == "with":
    give_back_large_buffers()
large = bytearray(25 << 20)
del large
before = told().hblkhd
buffer = bytearray(8 << 20)
print(told().hblkhd - before >= 8 << 20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc 2.33 or newer")
@pytest.mark.parametrize(("thresholds", "apart"), [("with", "True"), ("without", "False")])
def test_buffers_are_mapped_apart_after_a_larger_one_was_freed(thresholds: str, apart: str) -> None:
    command = [sys.executable, "-c", PROGRAM, thresholds]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == apart


HOLEY = """
import sys
from pathlib import Path
from consumers.processes.heap import give_back_holes

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024  # pages to MiB

kept = [bytearray(20_000) for _ in range(6_000)]
del kept[::2]
full = resident()
if sys.argv[1] == "with":
    give_back_holes()
print(full - resident() > 20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc")
@pytest.mark.parametrize(("trimmed", "smaller"), [("with", "True"), ("without", "False")])
def test_holes_in_the_heap_are_given_back(trimmed: str, smaller: str) -> None:
    command = [sys.executable, "-c", HOLEY, trimmed]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == smaller
