"""Raw search for a text in what a broker and the workers keep on disk.

A search of bytes alone would not see through compression, so record batches are also opened. Each
caller shows first that the search finds what is there.
"""

from collections.abc import Iterator
from pathlib import Path

from kafka.record import MemoryRecords


def in_log(log_dir: Path, topics: tuple[str, ...], text: str) -> dict[str, set[str]]:
    """Return the files of topic partitions that hold a text, by topic."""
    found: dict[str, set[str]] = {}
    for topic in topics:
        for folder in log_dir.glob(f"{topic}-*"):
            if not folder.name.removeprefix(f"{topic}-").partition(".")[0].isdigit():
                continue  # another topic whose name starts the same
            for file in _files(folder):
                if text.encode() in _read(file) or _in_records(file, text.encode()):
                    found.setdefault(topic, set()).add(file.name)
    return found


def in_folder(folder: Path, text: str) -> list[str]:
    """Return the files under a folder that hold a text, plain or in hexadecimal digits."""
    raw = text.encode()
    needles = (raw, raw.hex().encode(), raw.hex().upper().encode())
    return sorted(
        str(file.relative_to(folder))
        for file in _files(folder)
        if any(needle in content for content in (_read(file),) for needle in needles)
    )


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # deleted meanwhile
        return b""


def _in_records(file: Path, raw: bytes) -> bool:
    """Open every batch of a segment, also of one about to be deleted or just being cleaned."""
    if ".log" not in file.name or file.suffix in {".index", ".timeindex", ".txnindex"}:
        return False
    records = MemoryRecords(_read(file))
    while records.has_next():
        for record in records.next_batch():
            parts = [record.key, record.value, *(value for _, value in record.headers)]
            if any(raw in part for part in parts if part is not None):
                return True
    return False
