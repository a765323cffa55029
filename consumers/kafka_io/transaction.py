"""The one transactional path: everything a batch makes commits together, or not at all.

    1. fence     once at the start: the predecessor's transactional id, kept in a file, is
                 initialised again, which aborts what it left open (0.3 s instead of 11 s)
    2. begin     a transaction of this incarnation's own id, never used by another process
    3. send      every record to its explicit partition
    4. offsets   the next input offsets, with the consumer's group metadata: a member that lost
                 its partitions is refused here
    5. written   every record is acknowledged: the client commits without those that it has given
                 up as too old
    6. commit    after which the state may be merged

Crash-only: any exception, and any step longer than the deadline, ends the process with 75. The
producer is never used again after an error (aborted offsets would leak into the next transaction),
and a commit that timed out is an unknown outcome that only a restore can settle. It knows nothing
of what the records mean.
"""

import logging
import os
import re
import signal
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from consumers.durable_file import replace_durably
from consumers.kafka_io.access import is_refusal
from consumers.kafka_io.clients import transactional_producer
from consumers.processes.watchdog import Watchdog, exit_for_restart
from consumers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record to write; `value` None is a tombstone."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Transactor:
    """The writer of one process incarnation; made at the start, used by one thread.

    `incarnation` is unique to this process and names its facts on `internal.statistics`.
    """

    def __init__(self, settings: Settings, folder: Path, watchdog: Watchdog) -> None:
        self.incarnation = uuid.uuid4().hex
        self._watchdog = watchdog
        transactional_id = f"{settings.prefix}-{settings.slot}-{self.incarnation}"
        with watchdog.within(START_S, "starting the transactional producer"):
            try:
                _fence_predecessor(settings, folder / ID_FILE)
                replace_durably(folder / ID_FILE, transactional_id.encode())
                self._producer = transactional_producer(settings, transactional_id)
                self._producer.init_transactions()
            except Exception as error:
                if is_refusal(error):  # starting again would be refused again
                    raise
                exit_for_restart("the transactional producer did not start", error)

    def commit(
        self,
        records: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, int],
        group: ConsumerGroupMetadata,
    ) -> dict[tuple[str, int], int]:
        """Write `records` and `offsets` (next input offset of each partition) in one transaction.

        Returns:
            the offset of the last record written to each (topic, partition).
        """
        with self._watchdog.within(DEADLINE_S, "a transaction"):
            try:
                return self._commit(records, offsets, group)
            except Exception as error:
                exit_for_restart("a transaction failed; its outcome may be unknown", error)
                raise  # only a test's stand-in for the exit comes here

    def _commit(
        self,
        records: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, int],
        group: ConsumerGroupMetadata,
    ) -> dict[tuple[str, int], int]:
        producer = self._producer
        producer.begin_transaction()
        crash_point("after_begin")
        sent = [
            producer.send(
                record.topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
            )
            for record in records
        ]
        crash_point("after_send")
        producer.send_offsets_to_transaction(
            {partition: OffsetAndMetadata(offset) for partition, offset in offsets.items()}, group
        )
        crash_point("after_offsets")
        producer.flush(timeout=DEADLINE_S)
        written = [future.get(timeout=0) for future in sent]
        producer.commit_transaction()
        crash_point("after_commit")
        return {(one.topic, one.partition): one.offset for one in written}

    def close(self) -> None:
        """Close the producer; only after the last commit has returned."""
        with self._watchdog.within(DEADLINE_S, "closing the producer"):
            self._producer.close(timeout=5)


def crash_point(name: str) -> None:
    """Kill this process here if `STREAM_REC_CRASH_AT` is `name` or `name:n` (the n-th passage).

    `name:n:STOP` stops it there instead, as a machine that hangs and goes on later would. For tests
    of recovery only; one comparison when the variable is unset.
    """
    if CRASH_AT is None or CRASH_AT[0] != name:
        return
    CRASH_AT[1] -= 1
    if CRASH_AT[1] == 0:
        os.kill(os.getpid(), CRASH_AT[2])


def _crash_at() -> list | None:  # type: ignore[type-arg]
    name, count, how, *_ = f"{os.environ.get('STREAM_REC_CRASH_AT', '')}:::".split(":")
    with_signal = signal.SIGSTOP if how == "STOP" else signal.SIGKILL
    return [name, int(count or 1), with_signal] if name else None


def read_predecessor(path: Path) -> str | None:
    """Return the transactional id that the process before this one used, if it can be read.

    Without it nothing is lost: what it left open ends by the transaction's own time-out.
    """
    try:
        found = path.read_bytes().strip().decode("ascii", "replace")
    except FileNotFoundError:
        return None
    if re.fullmatch(r"[\w.-]{1,200}", found, re.ASCII):
        return found
    LOG.warning("%s is damaged; the predecessor's transactions end by their time-out", path.name)
    return None


def _fence_predecessor(settings: Settings, path: Path) -> None:
    predecessor = read_predecessor(path)
    if predecessor is None:
        return
    producer = transactional_producer(settings, predecessor)
    producer.init_transactions()
    producer.close(timeout=5)
    LOG.info("fenced the predecessor's transactions")


LOG = logging.getLogger(__name__)
DEADLINE_S = 12.0
START_S = 40.0
ID_FILE = "transactional.id"
CRASH_AT = _crash_at()
