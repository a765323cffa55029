"""A running installation on the session's broker, and the command line as an operator uses it."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaProducer

from consumers.cli import main
from consumers.demo.observer import Observer
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.installation import Ready, own_command, read_ready
from consumers.processes.watchdog import Watchdog
from consumers.settings import Settings
from stream_rec.toplist import TopList
from tests.consumers.kafka_tenant import Tenant

START_S, LIST_S = 180.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


Command = Callable[..., Ran]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An installation of a recommender and an encoder; `observer` is its outside."""

    ready: Ready
    settings: Settings
    observer: Observer

    @property
    def options(self) -> tuple[str, ...]:
        """The options by which commands find it."""
        return ("--prefix", self.settings.prefix, "--data-dir", str(self.settings.data_dir))

    def list_of(self, user_id: str, wanted: Callable[[TopList], bool] = lambda _: True) -> TopList:
        """Wait for a list of the user that is as wanted."""
        until = time.monotonic() + LIST_S
        while time.monotonic() < until:
            for toplist in self.observer.lists(0.2):
                if toplist.user_id == user_id and wanted(toplist):
                    return toplist
        pytest.fail(f"no such list of {user_id} within {LIST_S:.0f} s")


@pytest.fixture
def stream_rec(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        status = ended.value.code
        printed = capsys.readouterr()
        return Ran(status=int(status or 0), out=printed.out, err=printed.err)

    return run


@pytest.fixture
def tenant(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Tenant]:
    """Topics of this test alone, on the session's broker."""
    made = Tenant(broker.bootstrap_servers, prefix, tmp_path)
    yield made
    for client in made.opened:
        client.close(**({"timeout": 1} if isinstance(client, KafkaProducer) else {}))


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """A watchdog that fails the test where it would end the process."""
    made = Watchdog(end=lambda reason: pytest.fail(reason))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def installation(
    broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Run `up` on the session's broker with a catalogue of twelve items."""
    folder = tmp_path_factory.mktemp("installation")
    servers = broker.bootstrap_servers
    with (folder / "up.log").open("wb") as log:
        options = (
            "--bootstrap-servers",
            servers,
            "--prefix",
            "operated",
            "--data-dir",
            str(folder),
        )
        process = subprocess.Popen([*own_command(), "up", *options], stdout=log, stderr=log)
    try:
        ready = _wait_ready(process, folder)
        settings = Settings(bootstrap_servers=servers, prefix="operated", data_dir=folder)
        observer = Observer(settings)
        observer.send_all("items", catalogue())
        running = Running(ready=ready, settings=settings, observer=observer)
        running.list_of("*", lambda toplist: toplist.lineage.encoded_items == 12)
        yield running
        observer.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def catalogue() -> list[dict[str, object]]:
    """Twelve items in two categories."""
    return [
        {
            "item_id": f"i{number}",
            "title": f"{'Monitor' if number % 2 else 'Kettle'} number {number}",
            "categories": ["Screens" if number % 2 else "Kitchen"],
            "available": number != 11,
        }
        for number in range(12)
    ]


def _wait_ready(process: subprocess.Popen[bytes], folder: Path) -> Ready:
    until = time.monotonic() + START_S
    while (found := read_ready(folder)) is None:
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail((folder / "up.log").read_text()[-4000:])
        time.sleep(0.1)
    assert json.loads((folder / "ready.json").read_text())["pid"] == process.pid
    return found
