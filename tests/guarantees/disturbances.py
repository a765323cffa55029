"""What a storm does beside killing workers: zombies, a broker that dies, a group that never rests.

Each function returns when what it did has been answered, and fails when it was not, so that a storm
without weather cannot pass.
"""

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType

import numpy as np
from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

from consumers.kafka_io.clients import join_group
from consumers.kafka_io.topics import Topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.recommending.intake import Intake
from consumers.settings import Settings
from tests.guarantees.fleet import Fleet

# The group takes a member that is silent for this long for dead, and gives its partitions away.
SESSION_S = 10.0
BEFORE_COMMIT = ("after_poll", "after_begin", "after_send", "after_offsets")


def make_zombie(fleet: Fleet, slot: int, rng: np.random.Generator) -> None:
    """Stop a worker in the middle of a batch until its partitions are others', then let it go on.

    It must not get anything committed: it ends by itself and is started again.
    """
    stop_inside(fleet, slot, BEFORE_COMMIT[int(rng.integers(len(BEFORE_COMMIT)))])
    time.sleep(SESSION_S + 2)
    before = fleet.restarts
    fleet.go_on(slot)
    fleet.wait(lambda: fleet.restarts > before, 90, "a zombie goes on as if nothing had happened")


def kill_broker_before_commit(
    fleet: Fleet, slot: int, broker: EmbeddedBroker, folder: Path
) -> None:
    """Kill the broker (SIGKILL) while a worker stands right before its commit, and start it anew.

    The commit meets no broker, or a new one that knows of the transaction only from its log.
    """
    stop_inside(fleet, slot, "after_offsets")
    broker.kill()
    fleet.go_on(slot)
    broker.start(folder)
    broker.wait_ready(90)


def stop_inside(fleet: Fleet, slot: int, point: str) -> None:
    """Start a worker anew so that it stops at a named point of its second batch."""
    fleet.kill_and_crash_at(slot, f"{point}:2:STOP")
    fleet.wait(lambda: fleet.stopped(slot), 240, f"worker {slot} never came to {point}")


class Rebalances:
    """A guest that joins the group and leaves it, resting `rest_s` to a second more.

    It reads the same topics, so partitions move to it and back; it never commits anything.
    """

    def __init__(self, settings: Settings, rest_s: float = 1.0, seed: int = 0) -> None:
        self.joined = 0
        self._rest_s = rest_s
        self._settings = settings
        self._rng = np.random.default_rng(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit, name="rebalances", daemon=True)

    def __enter__(self) -> "Rebalances":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the guest does not leave"

    def _visit(self) -> None:
        while not self._over.wait(self._rest_s + float(self._rng.random())):
            with contextlib.suppress(KafkaError):  # the broker may be dead just now
                self._once()

    def _once(self) -> None:
        topics = Topics(self._settings.prefix)
        guest = KafkaConsumer(
            bootstrap_servers=self._settings.bootstrap_servers,
            group_id=self._settings.group_id,
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(SESSION_S * 1000),
            heartbeat_interval_ms=500,
            bootstrap_timeout_ms=2_000,
        )
        try:
            join_group(guest, Intake(guest, topics).topics)
            until = time.monotonic() + SESSION_S
            while not guest.assignment() and time.monotonic() < until and not self._over.is_set():
                guest.poll(100, max_records=1)
            self.joined += bool(guest.assignment())
        finally:
            guest.close(autocommit=False)
