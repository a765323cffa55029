import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from consumers.settings import Settings
from consumers.telemetry.health import Health
from consumers.telemetry.metrics import RecommenderMetrics
from stream_rec.errors import ConfigurationError


@pytest.fixture
def state() -> SimpleNamespace:
    return SimpleNamespace(alive=True, ready={"assigned": True, "partitions": ""})


@pytest.fixture
def address(state: SimpleNamespace) -> Iterator[str]:
    metrics = RecommenderMetrics()
    metrics.events.labels("p.events.clicks", "applied").inc(3)
    health = Health(metrics.registry, ready=lambda: state.ready, alive=lambda: state.alive)
    yield health.start(Settings())
    health.stop()


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_ready_only_when_every_reason_is_true(address: str, state: SimpleNamespace) -> None:
    assert get(address, "/readyz")[0] == 200
    state.ready = {"assigned": True, "replica": False, "partitions": "0,1"}
    status, body = get(address, "/readyz")
    assert status == 503
    assert json.loads(body) == {"ready": False} | state.ready


def test_alive_while_the_loop_ticks(address: str, state: SimpleNamespace) -> None:
    assert get(address, "/livez")[0] == 200
    state.alive = False
    assert get(address, "/livez")[0] == 503


def test_an_address_that_is_taken_is_a_configuration_error(address: str) -> None:
    taken = Settings(http_port=int(address.rpartition(":")[2]))
    health = Health(RecommenderMetrics().registry, ready=dict, alive=lambda: True)
    with pytest.raises(ConfigurationError, match=address):
        health.start(taken)


def test_metrics_are_in_prometheus_text(address: str) -> None:
    line = 'stream_rec_events_total{outcome="applied",topic="p.events.clicks"} 3.0'
    assert line in get(address, "/metrics")[1]
