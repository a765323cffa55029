"""Replace a file as a whole, so that a crash leaves the old one or the new one.

Written beside it and flushed, renamed, and the folder flushed. Knows no formats.
"""

import os
from collections.abc import Callable
from pathlib import Path


def replace_durably(path: Path, *parts: bytes, written: Callable[[], None] = lambda: None) -> None:
    """Let `path` hold these bytes; `written` is called when all is on disk but the new name."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    written()
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
