"""Forwards what a child prints, line by line, to a log file and to an echo with the child's name.

It never lets a child wait for a full pipe: what cannot be written is dropped, reading goes on.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

Echo = Callable[[str], None]
"""Takes one whole line without its end; called on several threads."""


def to_stderr(line: str) -> None:
    """Write one line to stderr, in one piece."""
    with contextlib.suppress(OSError, ValueError):  # the reader of our stderr has gone
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def forward(name: str, pipe: IO[bytes], log: Path, echo: Echo | None) -> threading.Thread:
    """Start forwarding `pipe` until its end; the log file is set aside when it grew large."""
    if log.exists() and log.stat().st_size > _LARGE_LOG_BYTES:
        os.replace(log, log.with_suffix(".log.1"))
    stream = log.open("ab")

    def run() -> None:
        with pipe, stream:
            while line := pipe.readline(_LONGEST_LINE_BYTES):
                with contextlib.suppress(OSError):  # a full disk must not stop the child
                    stream.write(line if line.endswith(b"\n") else line + b"\n")
                    stream.flush()
                if echo is not None:
                    echo(f"{name} | {line.decode(errors='replace').rstrip()}")

    thread = threading.Thread(target=run, name=f"output of {name}", daemon=True)
    thread.start()
    return thread


_LARGE_LOG_BYTES = 16 * 1024 * 1024
_LONGEST_LINE_BYTES = 64 * 1024
