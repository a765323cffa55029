"""The README's examples are run as they stand there, against a running engine."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
EXAMPLE = re.compile(r"<!-- example: (\w+) -->\n```python\n(.*?)```", re.DOTALL)
FIVE_LINES = 5
LIST_S = 60.0


@pytest.fixture
def examples(installation, tmp_path, monkeypatch):
    """The programs of the README, on the topics and in a folder of this installation."""
    (tmp_path / "stream-rec-data").symlink_to(installation.settings.data_dir)
    monkeypatch.chdir(tmp_path)
    found = dict(EXAMPLE.findall(README.read_text(encoding="utf-8")))
    prefix = f'"{installation.settings.prefix}.'
    return {name: program.replace('"stream-rec.', prefix) for name, program in found.items()}


def test_an_event_sent_as_the_readme_says_gives_a_list_read_as_it_says(examples):
    assert all(len(program.splitlines()) <= FIVE_LINES for program in examples.values())
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    for name in ("items", "send"):
        subprocess.run([sys.executable, "-c", examples[name]], check=True, timeout=60, env=quiet)
    reader = subprocess.Popen(
        [sys.executable, "-c", examples["read"]], stdout=subprocess.PIPE, text=True, env=quiet
    )
    deadline = threading.Timer(LIST_S, reader.kill)
    deadline.start()
    assert reader.stdout is not None
    try:
        assert any(line.startswith("default/u1 [(") for line in reader.stdout)
    finally:
        deadline.cancel()
        reader.kill()
        reader.wait()
        reader.stdout.close()
