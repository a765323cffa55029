"""Faults of the pinned Kafka client that no setting avoids, mended from outside.

    headers    it decodes header names strictly while it reads a batch, so one record whose header
               name is no UTF-8 raises at every poll, before anybody could make a dead letter of it;
               here the bytes that are no UTF-8 are escaped
    parking    records fetched before a pause are parked, and taken up again after it only when
               nothing else is in line; but what was read to its end stays in line until something
               else is fetched, so on a quiet topic the parked records never come back
    left out   asked for offsets of several partitions, it leaves out those whose leader it does not
               know just then, and raises a KeyError; here they are asked for again
    mixed      its range assignor forgets members of a group in which static and dynamic ones come
               mixed, as when a stranger joins; here static members come first

All were reproduced; tests on the real broker hold the client to what is done here. Knows nothing
of what records mean.
"""

from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.record.default_records import DefaultRecordBatch


def mend_client() -> None:
    """Mend the client from here on; once is enough."""
    DefaultRecordBatch._read_msg = _read_msg  # noqa: SLF001
    Fetcher.fetched_records = _fetched_records
    Fetcher._send_list_offsets_requests = _send_list_offsets_requests  # noqa: SLF001
    RangePartitionAssignor.assign = classmethod(_assign)


class _Lenient(bytes):
    """Bytes whose parts decode without errors."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Lenient(found) if isinstance(found, bytes) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


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


def _fetched_records(fetcher: Any, *arguments: Any, **options: Any) -> Any:
    in_line = fetcher._next_partition_records  # noqa: SLF001
    if in_line is not None and not in_line:
        fetcher._next_partition_records = None  # noqa: SLF001
    return _fetched(fetcher, *arguments, **options)


async def _send_list_offsets_requests(fetcher: Any, timestamps: Any) -> Any:
    leader = fetcher._manager.cluster.leader_for_partition  # noqa: SLF001
    left_out = {place for place in timestamps if leader(place) in (None, NO_LEADER)}
    found, again = await _asked(fetcher, timestamps)
    return found, again | left_out


def _assign(_: Any, cluster: Any, members: Any) -> Any:
    return _assigned(cluster, sorted(members, key=lambda member: member.group_instance_id is None))


NO_LEADER = -1
_strict = DefaultRecordBatch._read_msg  # noqa: SLF001
_fetched = Fetcher.fetched_records
_asked = Fetcher._send_list_offsets_requests  # noqa: SLF001
_assigned = RangePartitionAssignor.assign
