"""Everything that `up` runs on one machine: broker, topics, programs, one supervisor, one address.

    1. lock      one installation on a folder; a second one is refused
    2. broker    an embedded Apache Kafka, unless bootstrap servers are given
    3. topics    as soon as the broker answers
    4. programs  recommenders, encoder and trainer, each with its own HTTP on a free loopback port
    5. ready     when all are: `ready.json` is written, and removed on the way out

Knows how the programs are started and asked, not what they do. `up` runs it on the main thread,
the demo on another.
"""

import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec

from consumers.commands.http_api import routes
from consumers.kafka_io.clients import admin
from consumers.kafka_io.topic_reading import check_reachable
from consumers.kafka_io.topics import Topics, ensure_topics
from consumers.processes import child_process
from consumers.processes.child_output import Echo
from consumers.processes.embedded_broker import answers, plan_broker
from consumers.processes.supervisor import Child, Supervisor
from consumers.settings import (
    HEARTBEAT_FILE,
    Settings,
    host_and_port,
    secrets_and_security,
)
from consumers.telemetry.health import Health
from consumers.telemetry.http_guard import bearer
from consumers.telemetry.merged_metrics import registry_of
from stream_rec.errors import ConfigurationError


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running installation is reached; the content of `ready.json`."""

    bootstrap_servers: str
    http: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run.

    `jars` holds those of Apache Kafka, which then runs under the data folder; None means that the
    settings name brokers. `echo` takes the programs' lines; None: only their log files do.
    `command` starts a program when its name is appended.
    """

    settings: Settings
    workers: int = 1
    trainer: bool = True
    jars: Path | None = None
    echo: Echo | None = None
    command: tuple[str, ...] = field(default_factory=lambda: own_command())

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= self.settings.partitions:
            msg = (
                f"{self.workers} workers for {self.settings.partitions} partitions: 1 to that many"
            )
            raise ConfigurationError(msg)


class Installation:
    """One run of a plan; `run` blocks until the end, `request_stop` may come from any thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._folder = plan.settings.data_dir
        self._supervisor: Supervisor | None = None
        self._stop_asked = False

    def run(self, on_ready: Callable[[Ready], None] | None = None) -> int:
        """Run until told to stop or until something cannot go on; return the exit status.

        Raises:
            ConfigurationError: another installation runs on the folder, or the topics disagree.
            BrokerUnavailable: no broker can be had.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with _alone(self._folder):
            children, settings = self._children()
            supervisor = self._supervisor = Supervisor(
                [child for child, _ in children],
                run_dir=self._folder / "run",
                echo=self._plan.echo,
            )
            if self._stop_asked:
                return 0
            programs = {child.name: address for child, address in children if address}
            with _answering(settings, programs, supervisor) as http:
                servers = settings.bootstrap_servers
                ready = Ready(bootstrap_servers=servers, http=http, pid=os.getpid())
                return self._supervise(supervisor, ready, on_ready)

    def request_stop(self) -> None:
        """Ask for an orderly stop."""
        self._stop_asked = True
        if self._supervisor is not None:
            self._supervisor.request_stop()

    def reason(self) -> str | None:
        """Return why it ended by itself, None when it did not."""
        return None if self._supervisor is None else self._supervisor.reason()

    def restarts(self) -> dict[str, int]:
        """Return how often each program was started again."""
        return {} if self._supervisor is None else self._supervisor.restarts()

    def _supervise(
        self, supervisor: Supervisor, ready: Ready, on_ready: Callable[[Ready], None] | None
    ) -> int:
        told = False

        def each_turn() -> None:
            nonlocal told
            if not told and supervisor.all_ready():
                told = True
                _write(self._folder / READY_FILE, ready)
                if on_ready is not None:
                    on_ready(ready)

        try:
            return supervisor.run(each_turn)
        finally:
            (self._folder / READY_FILE).unlink(missing_ok=True)

    def _children(self) -> tuple[list[tuple[Child, str | None]], Settings]:
        """Return every child with its HTTP address, and the settings with the broker's address."""
        settings = self._plan.settings
        children: list[tuple[Child, str | None]] = []
        if self._plan.jars is not None:
            broker, servers = self._broker(self._plan.jars)
            settings = replace(settings, bootstrap_servers=servers)
            children.append((broker, None))
        else:
            check_reachable(settings.bootstrap_servers)
            make_topics(settings)
        for slot in range(self._plan.workers):
            children.append(self._program("recommender", replace(settings, slot=slot)))
        children.append(self._program("encoder", replace(settings, slot=0)))
        if self._plan.trainer:
            children.append(self._program("trainer", replace(settings, slot=0)))
        return children, settings

    def _broker(self, jars: Path) -> tuple[Child, str]:
        plan = plan_broker(self._folder / "kafka", jars=jars)
        settings = replace(self._plan.settings, bootstrap_servers=plan.bootstrap_servers)
        made = False

        def ready() -> bool:
            nonlocal made
            if not answers(plan):
                return False
            if not made:
                make_topics(settings)
                made = True
            return True

        child = Child(
            name="broker",
            argv=plan.argv,
            stage=0,
            ready=ready,
            quiet=True,
            death_signal=signal.SIGTERM,
        )
        return child, plan.bootstrap_servers

    def _program(self, name: str, settings: Settings) -> tuple[Child, str]:
        """Return one of our own programs as a child, told everything by its environment."""
        address = f"127.0.0.1:{child_process.free_port()}"
        child = Child(
            name=f"{name}-{settings.slot}",
            argv=(*self._plan.command, name),
            env=environment(settings, address),
            stage=1,
            ready=lambda: says_ready(address, settings.http_token),
            heartbeat=settings.folder(name) / HEARTBEAT_FILE,
        )
        return child, address


def own_command() -> tuple[str, ...]:
    """Return how the command line of this very code is started, wherever the operator stands."""
    # Not `-m`: a folder named `consumers` in the operator's own must not be taken for ours.
    here = f"{str(ROOT)!r} in sys.path or sys.path.insert(0, {str(ROOT)!r})"
    start = f"import sys; {here}; from consumers.cli import main; main()"
    return (sys.executable, "-P", "-c", start)


def environment(settings: Settings, http: str) -> dict[str, str]:
    """Return what a program is told beside what it inherits."""
    return {
        "STREAM_REC_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "STREAM_REC_PREFIX": settings.prefix,
        "STREAM_REC_DATA_DIR": str(settings.data_dir.absolute()),
        "STREAM_REC_SLOT": str(settings.slot),
        "STREAM_REC_PARTITIONS": str(settings.partitions),
        "STREAM_REC_MODEL": settings.model,
        "STREAM_REC_FORMAT": settings.format,
        "STREAM_REC_DEVICE": settings.device,
        "STREAM_REC_CHECKPOINTS": settings.checkpoint_root,
        "STREAM_REC_HTTP": http,
        "PYTHONUNBUFFERED": "1",
        **secrets_and_security(settings),
    }


def make_topics(settings: Settings) -> int:
    """Make the missing topics and return the number of partitions by user.

    Raises:
        ConfigurationError: the topics by user disagree.
    """
    client = admin(settings)
    try:
        return ensure_topics(
            client,
            Topics(settings.prefix),
            partitions=settings.partitions,
            replication_factor=settings.replication_factor,
        )
    finally:
        client.close()


def read_ready(folder: Path) -> Ready | None:
    """Return where the installation on `folder` is reached; None when none runs there."""
    try:
        ready = msgspec.json.decode((folder / READY_FILE).read_bytes(), type=Ready)
    except (OSError, msgspec.DecodeError):
        return None
    return ready if child_process.mark(ready.pid) is not None else None


def says_ready(address: str, token: str | None = None) -> bool:
    """Ask a program whether it is ready; one that does not answer is not."""
    connection = HTTPConnection(*host_and_port(address), timeout=0.5)
    try:
        connection.request("GET", "/readyz", headers=bearer(token))
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _write(file: Path, ready: Ready) -> None:
    """Write whole or not at all."""
    torn = file.with_suffix(".new")
    torn.write_text(json.dumps(msgspec.to_builtins(ready)) + "\n", encoding="utf-8")
    torn.replace(file)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "up.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"stream-rec already runs on {folder}"
            raise ConfigurationError(msg) from None
        (folder / READY_FILE).unlink(missing_ok=True)  # a killed run may have left it
        yield


@contextmanager
def _answering(
    settings: Settings, programs: Mapping[str, str], supervisor: Supervisor
) -> Iterator[str]:
    """Serve the HTTP of the whole and give its address."""
    health = Health(
        registry_of(programs, settings.http_token),
        ready=lambda: {"programs": supervisor.all_ready()},
        alive=lambda: True,
        routes=routes(settings),
    )
    address = health.start(settings)
    try:
        yield address
    finally:
        health.stop()


READY_FILE = "ready.json"
ROOT = Path(__file__).resolve().parents[2]
