"""Let records through whose header names are no UTF-8, which stop the pinned Kafka client for good.

The client decodes header names strictly while it reads a batch, so one such record raises at every
poll of its partition, before anybody could send it to the dead letters. Here the bytes that are no
UTF-8 are escaped instead. Knows only how the client reads a record; a test on the real broker holds
it to that.
"""

from typing import Any

from kafka.record.default_records import DefaultRecordBatch


class _Lenient(bytes):
    """Bytes whose parts decode without errors."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Lenient(found) if isinstance(found, bytes) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


def read_any_header() -> None:
    """Make the client read any header name from here on; once is enough."""
    DefaultRecordBatch._read_msg = _read_msg  # noqa: SLF001


def _read_msg(batch: Any) -> Any:
    try:
        return _strict(batch)
    except UnicodeDecodeError:  # the place in the batch moves on only after a whole record
        buffer = batch._buffer  # noqa: SLF001
        batch._buffer = _Lenient(buffer)  # noqa: SLF001
        try:
            return _strict(batch)
        finally:
            batch._buffer = buffer  # noqa: SLF001


_strict = DefaultRecordBatch._read_msg  # noqa: SLF001
