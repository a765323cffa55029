"""Images and compose files, held against the product: they are not run here, for want of an engine.

Commands, options and variables are those of our own command line; files named are there; what a
linter would say of a Dockerfile is checked for the few rules that matter to us.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from consumers.cli import app
from consumers.settings import SECRETS, Security, Settings

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DOCKER / "compose.yml").read_text(encoding="utf-8"))
CUDA = yaml.safe_load((DOCKER / "compose.cuda.yml").read_text(encoding="utf-8"))
COMMAND = typer.main.get_command(app)
OURS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service["image"].startswith("stream-rec:")
}


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Return every instruction with its arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1]) for line in lines]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage by its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for word, rest in instructions(DOCKERFILE):
        if word == "FROM":
            name = rest.split()[-1]
            found[name] = [(word, rest)]
        elif name:
            found[name].append((word, rest))
    return found


def lineage(stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a stage and of those that it starts from."""
    own = stages()[stage]
    start = own[0][1].split()[0]
    return [*(lineage(start) if start in stages() else []), *own]


def known_variables() -> set[str]:
    named = {
        f"STREAM_REC_{item.name.upper()}" for kind in (Settings, Security) for item in fields(kind)
    }
    named |= {f"STREAM_REC_{secret.upper()}_FILE" for secret in SECRETS}
    named |= {"STREAM_REC_HTTP", "STREAM_REC_PSEUDONYM_KEY", "STREAM_REC_PSEUDONYM_KEY_FILE"}

    def of(command: Any) -> Iterator[str]:
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                yield parameter.envvar
        for inner in getattr(command, "commands", {}).values():
            yield from of(inner)

    return named | set(of(COMMAND))


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return dict(service.get("environment") or {})


TARGETS = ("worker", "cpu", "cuda")


@pytest.mark.parametrize("target", TARGETS)
def test_images_run_as_nobody_special_and_say_whether_they_live(target: str) -> None:
    made = lineage(target)
    last = {word: rest for word, rest in made}
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", last["USER"])
    assert last["HEALTHCHECK"].rpartition("CMD")[2].strip() == '["stream-rec", "health"]'
    assert last["ENTRYPOINT"] == '["stream-rec"]'
    assert "STOPSIGNAL" in last
    after = [word for word, _ in made[[word for word, _ in made].index("USER") :]]
    assert "RUN" not in after, "what runs after USER would need rights"


def test_the_dockerfile_keeps_the_rules() -> None:
    names = set(stages())
    for word, rest in instructions(DOCKERFILE):
        assert word != "ADD"
        assert "sudo" not in rest
        assert "latest" not in rest
        if word == "FROM":
            start = rest.split()[0]
            assert start in names or start == "${PYTHON_IMAGE}", start
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (REPOSITORY / source).exists(), source
        for copied in re.findall(r"--from=(\S+)", rest):
            assert copied in names
        for install in re.findall(r"pip install[^&;]*", rest):
            own = "--no-index" in install
            chosen = "$TORCH_CPU_INDEX" in install
            assert own or chosen or "--require-hashes" in install, install
            assert "--no-deps" in install


def test_what_the_dockerfile_copies_is_let_in_by_its_ignore_file() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for word, rest in instructions(DOCKERFILE)
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == let_in


def test_paths_and_addresses_of_the_image_are_settings_of_the_product() -> None:
    named = re.findall(r"STREAM_REC_\w+", DOCKERFILE)
    assert named
    assert set(named) <= known_variables()


def test_the_python_of_the_image_is_the_one_that_the_lock_was_made_for() -> None:
    version = re.search(r"PYTHON_IMAGE=python:([0-9.]+)", DOCKERFILE)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert version is not None
    assert f"--python-version {version[1]}" in makefile


@pytest.mark.parametrize("name", sorted(OURS))
def test_commands_of_services_are_those_of_the_product(name: str) -> None:
    words = [str(word) for word in OURS[name]["command"]]
    command: Any = COMMAND
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"{name}: no command {words[0]}"
        command = command.commands[words.pop(0)]
    options = {opt: option for option in command.params for opt in option.opts}
    while words:
        option = options.get(words.pop(0))
        assert option is not None, f"{name}: {OURS[name]['command']}"
        if not getattr(option, "is_flag", False):
            words.pop(0)


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_of_services_are_read_by_the_product(name: str) -> None:
    assert set(environment_of(OURS[name])) <= known_variables()


def test_workers_have_slots_and_folders_of_their_own() -> None:
    workers = [service for service in OURS.values() if service["command"][0] == "recommender"]
    slots = [service["command"][service["command"].index("--slot") + 1] for service in workers]
    folders = [service["volumes"][0].partition(":")[0] for service in workers]
    assert len(workers) == 2
    assert sorted(slots) == ["0", "1"]
    assert len(set(folders)) == 2


def test_services_wait_for_what_can_be_waited_for() -> None:
    for name, service in COMPOSE["services"].items():
        for other, how in service.get("depends_on", {}).items():
            waited = COMPOSE["services"][other]
            if how["condition"] == "service_completed_successfully":
                assert waited["restart"] == "no", f"{name} waits for the end of {other}"
            if how["condition"] == "service_healthy":
                has = "healthcheck" in waited or waited["image"].startswith("stream-rec:")
                assert has, f"{name} waits for the health of {other}"


def test_every_service_that_stays_says_how_it_is() -> None:
    for name, service in COMPOSE["services"].items():
        if service["restart"] != "no" and not service["image"].startswith("stream-rec:"):
            assert service["healthcheck"]["test"], name  # ours say it in the Dockerfile


def test_volumes_secrets_and_networks_are_declared_and_used() -> None:
    used: dict[str, set[str]] = {"volumes": set(), "secrets": set(), "networks": set()}
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            if not volume.startswith("."):
                used["volumes"].add(volume.partition(":")[0])
        used["secrets"] |= set(service.get("secrets", ()))
        used["networks"] |= set(service.get("networks", ()))
    assert {kind: set(COMPOSE[kind]) for kind in used} == used


def test_secrets_come_from_files_that_are_not_committed() -> None:
    ignored = (REPOSITORY / ".gitignore").read_text(encoding="utf-8")
    assert "/docker/secrets/" in ignored
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    values = [
        value
        for service in COMPOSE["services"].values()
        for name, value in environment_of(service).items()
        if re.search("PASSWORD|TOKEN|KEY", name)
    ]
    assert values
    assert all(value.startswith("/run/secrets/") for value in values)


def test_ports_are_published_on_loopback_only_and_images_are_pinned() -> None:
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        name, _, tag = service["image"].partition(":")
        assert tag, name
        assert tag != "latest"
        assert "." not in name, "an image's name without a registry's host"


@pytest.mark.parametrize("made", [COMPOSE, CUDA])
def test_targets_of_services_are_stages_of_the_dockerfile(made: dict[str, Any]) -> None:
    targets = [
        service["build"]["target"] for service in made["services"].values() if "build" in service
    ]
    assert targets
    assert set(targets) <= set(TARGETS)
    for service in made["services"].values():
        if "build" in service:
            assert service["image"] == f"stream-rec:{service['build']['target']}"


def test_what_is_laid_over_names_services_that_are_there() -> None:
    assert set(CUDA["services"]) <= set(COMPOSE["services"])


def test_prometheus_asks_the_services_that_are_there_by_names_that_they_answer_to() -> None:
    file = (DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    [job] = yaml.safe_load(file)["scrape_configs"]
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    programs = {name for name in OURS if name != "topics"}
    assert set(targets) == {f"{name}:8080" for name in programs}
    for name in programs:
        assert environment_of(OURS[name])["STREAM_REC_HTTP_NAMES"] == name
        assert environment_of(OURS[name])["STREAM_REC_HTTP"].endswith(":8080")
    assert job["authorization"]["credentials_file"] == "/run/secrets/http_token"
    assert "http_token" in COMPOSE["services"]["prometheus"]["secrets"]


def test_folders_that_are_mounted_are_there() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            if volume.startswith("./"):
                assert (DOCKER / volume.partition(":")[0]).is_dir(), volume


def subset(*words: str) -> set[str]:
    command = [sys.executable, "docker/locked_subset.py", "requirements.lock", "pyproject.toml"]
    done = subprocess.run(
        [*command, *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    blocks = re.split(r"^(?=[A-Za-z0-9])", done.stdout, flags=re.MULTILINE)
    assert all("--hash=sha256:" in block for block in blocks if block)
    return set(re.findall(r"^([A-Za-z0-9_.-]+)==", done.stdout, re.MULTILINE))


def test_the_locked_subset_of_a_worker_has_no_torch_and_no_tools() -> None:
    found = subset()
    assert {"kafka-python", "numba", "llvmlite", "lz4", "starlette"} <= found
    assert not found & {"torch", "transformers", "pytest", "mypy", "jgo", "hatchling"}


def test_the_locked_subset_of_the_language_model_can_leave_cuda_out() -> None:
    whole = subset("gpu")
    assert {"torch", "peft", "tokenizers"} <= whole
    bare = subset("lm", "--without", "torch", "triton", "nvidia-*", "cuda-*")
    assert {
        name for name in whole - bare if not re.match("torch|triton|nvidia|cuda", name)
    } == set()
    assert not [name for name in bare if re.match("torch|triton|nvidia|cuda", name)]


def test_the_lock_is_what_all_extras_need_and_the_subset_knows_what_is_installed() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE))
    assert subset("lm", "embedded", "privacy", "dev", "build") == locked
