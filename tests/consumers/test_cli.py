import os
import subprocess
import sys

import pytest

from consumers import cli
from consumers.processes.installation import ROOT, own_command

COMMANDS = ("up", "recommender", "encoder", "demo", "replay", "policy", "explain", "dlq")
HEAVY = {"kafka", "torch", "transformers", "numba", "numpy", "uvicorn", "rocksdict"}


def test_help_names_every_command(stream_rec):
    ran = stream_rec("--help")
    assert ran.status == 0
    assert all(f" {command} " in ran.out for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, ("policy", "set"), ("policy", "rollback")])
def test_every_command_has_help(stream_rec, command):
    words = (command,) if isinstance(command, str) else command
    ran = stream_rec(*words, "--help")
    assert ran.status == 0
    assert "Usage:" in ran.out


def test_version_is_printed_without_a_command(stream_rec):
    ran = stream_rec("--version")
    assert ran.status == 0
    assert ran.out.strip()


def test_starting_the_command_line_imports_nothing_heavy():
    program = "import sys; sys.path.insert(0, {!r}); import consumers.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program.format(str(ROOT))], capture_output=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.decode().split()}
    assert not loaded & HEAVY


def test_wrong_use_ends_with_status_2(stream_rec):
    assert stream_rec("up", "--no-such-option").status == 2
    assert stream_rec("no-such-command").status == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--prefix", "no spaces please"), "prefix"),
        (("up", "--http", "nowhere"), "HOST:PORT"),
        (("up", "--workers", "99"), "99 workers"),
        (("encoder", "--device", "abacus"), "abacus"),
        (("demo", "--items", "only-items.jsonl"), "belong together"),
        (("replay", "--items", "missing.jsonl", "--events", "missing.jsonl"), "missing.jsonl"),
        (("policy", "set", '{"list": {"size": 0}}'), "$.list.size"),
        (("policy", "set", "no-such-file.json"), "no-such-file.json"),
        (("policy", "set", "{}", "--scenario", "a/b"), "a/b"),
    ],
)
def test_what_the_operator_must_change_is_one_line_and_status_2(stream_rec, arguments, said):
    ran = stream_rec(*arguments)
    assert ran.status == 2
    assert said in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1


def test_a_broker_that_does_not_answer_is_one_line_and_status_1(stream_rec, tmp_path):
    nowhere = ("--bootstrap-servers", "127.0.0.1:1", "--data-dir", str(tmp_path))
    ran = stream_rec("policy", "get", *nowhere)
    assert ran.status == 1
    assert "127.0.0.1:1" in ran.err
    assert "Traceback" not in ran.err


def test_an_unexpected_error_is_one_line_unless_debugging(stream_rec, tmp_path):
    folder_for_a_file = ("replay", "--items", str(tmp_path), "--events", str(tmp_path))
    ran = stream_rec(*folder_for_a_file)
    assert ran.status in {1, 2}
    assert "Traceback" not in ran.err
    with pytest.raises(Exception, match=str(tmp_path)):
        cli.main(["--debug", *folder_for_a_file])


def test_programs_start_wherever_the_operator_stands(tmp_path):
    (tmp_path / "consumers").mkdir()
    (tmp_path / "consumers" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [*own_command(), "--help"], cwd=tmp_path, capture_output=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
