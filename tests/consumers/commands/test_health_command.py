import pytest
from prometheus_client import CollectorRegistry

from consumers.commands.health_command import Unhealthy, run
from consumers.processes.child_process import free_port
from consumers.settings import Settings
from consumers.telemetry.health import Health
from stream_rec.errors import ConfigurationError

TOKEN = "a-token-of-16-or-more"


def settings(port: int) -> Settings:
    return Settings(http_host="0.0.0.0", http_port=port, http_token=TOKEN)


@pytest.mark.parametrize(("ready", "alive"), [(True, True), (False, True), (True, False)])
def test_health_of_a_program_in_a_container_is_what_it_says(
    ready: bool, alive: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Health(CollectorRegistry(), ready=lambda: {"ready": ready}, alive=lambda: alive)
    here = settings(free_port())
    server.start(here)
    try:
        for asks_ready, well in ((False, alive), (True, ready)):
            if well:
                run(here, ready=asks_ready)
                assert "true" in capsys.readouterr().out
            else:
                with pytest.raises(Unhealthy, match="503"):
                    run(here, ready=asks_ready)
    finally:
        server.stop()


def test_health_of_nobody_is_a_clear_line() -> None:
    with pytest.raises(Unhealthy, match=r"nothing answers at 127\.0\.0\.1"):
        run(settings(free_port()))


def test_health_without_a_port_is_wrong_use() -> None:
    with pytest.raises(ConfigurationError, match="STREAM_REC_HTTP"):
        run(Settings())
