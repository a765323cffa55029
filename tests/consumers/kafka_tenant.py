"""Topics and clients of one test on a shared broker, and programs in processes of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from consumers.kafka_io import clients
from consumers.kafka_io.topics import Topics, ensure_topics
from consumers.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]


class Tenant:
    """Topics of one test, and clients that are closed after it."""

    def __init__(self, servers: str, prefix: str, folder: Path) -> None:
        self.settings = Settings(bootstrap_servers=servers, prefix=prefix, data_dir=folder)
        self.topics = Topics(prefix)
        self.opened: list[Any] = []
        client = clients.admin(self.settings)
        ensure_topics(client, self.topics, partitions=2, replication_factor=1)
        client.close()
        self.places = [TopicPartition(self.topics.clicks, number) for number in range(2)]

    def producer(self, transactional_id: str, **options: Any) -> KafkaProducer:
        """Make a bare transactional producer."""
        made = KafkaProducer(
            bootstrap_servers=self.settings.bootstrap_servers,
            transactional_id=f"{self.settings.prefix}-{transactional_id}",
            retry_backoff_ms=5,
            **{"transaction_timeout_ms": 10_000} | options,
        )
        self.opened.append(made)
        made.init_transactions()
        return made

    def member(self) -> KafkaConsumer:
        """Make a group member and wait until it owns both partitions of clicks and reviews."""
        made = clients.group_consumer(self.settings)
        self.opened.append(made)
        clients.join_group(made, [self.topics.clicks, self.topics.reviews])
        until = time.monotonic() + 30
        while len(made.assignment()) < 4 and time.monotonic() < until:
            try:
                made.poll(100)
            except KafkaError:  # no position yet: these tests read nothing
                continue
        assert len(made.assignment()) == 4
        return made

    def committed(self, place: TopicPartition, isolation: str = "read_committed") -> int | None:
        """Ask the group's committed offset as a stranger would, for at most two seconds."""
        asking = KafkaConsumer(
            bootstrap_servers=self.settings.bootstrap_servers,
            group_id=self.settings.group_id,
            isolation_level=isolation,
            enable_auto_commit=False,
        )
        try:
            offset: int | None = asking.committed(place, timeout_ms=2_000)
            return offset
        finally:
            asking.close(autocommit=False)


def in_a_process(tenant: Tenant, body: str, **more: Any) -> "subprocess.Popen[str]":
    """Run Python that has `settings`, `topics` and this file's imports, in a process of its own."""
    start = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from kafka import ConsumerGroupMetadata, KafkaProducer\n"
        "from kafka.structs import OffsetAndMetadata, TopicPartition\n"
        "from consumers.kafka_io import clients\n"
        "from consumers.settings import Settings\n"
        "from consumers.kafka_io.topics import Topics\n"
        "from consumers.kafka_io.transaction import Outgoing, Transactor\n"
        "from consumers.processes.watchdog import Watchdog\n"
        f"settings = Settings(bootstrap_servers={tenant.settings.bootstrap_servers!r},"
        f" prefix={tenant.settings.prefix!r}, data_dir=Path({str(tenant.settings.data_dir)!r}))\n"
        "topics = Topics(settings.prefix)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start + body],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | more.pop("environment", {}),
        **more,
    )


def heard(process: "subprocess.Popen[str]", word: str) -> None:
    """Wait until the process says a word."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line == word, process.communicate(timeout=20)


def ended(process: "subprocess.Popen[str]", timeout: float) -> tuple[int, str]:
    """Wait for the process to end; return its status and what it complained of."""
    _, complaints = process.communicate(timeout=timeout)
    return process.returncode, complaints
