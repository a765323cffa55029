"""Fixtures that more than one test file needs: a real broker, topic names, the real data."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from consumers.processes.embedded_broker import EmbeddedBroker
from stream_rec.errors import BrokerUnavailable

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for the broker as one that needs a broker."""
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.broker)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One real Apache Kafka for the whole session, on a free port, with an empty log."""
    running = _started(tmp_path_factory.mktemp("broker"), attempts=2)
    try:
        yield running
    finally:
        running.stop()


def _started(folder: Path, *, attempts: int) -> EmbeddedBroker:
    """Start a broker; once more on other ports, since a free one can be taken before it binds."""
    running = EmbeddedBroker()
    try:
        running.start(folder / str(attempts))
        running.wait_ready(90)
    except BrokerUnavailable:
        running.stop()
        if attempts == 1:
            raise
        return _started(folder, attempts=attempts - 1)
    return running


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test of this session uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return the folder of a real stream by name, or skip the test where there is none."""

    def folder(name: str) -> Path:
        found = DATA / name
        if not found.is_dir():
            pytest.skip(f"needs the real stream {name} in ../shared/data")
        return found

    return folder


# Slow generation goes by the clock on the wall, which says nothing on a machine that is shared.
settings.register_profile("shared", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("shared")
