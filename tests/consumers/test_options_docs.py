"""docs/options.md names every command, option and setting.

`python tests/consumers/test_options_docs.py` writes it anew.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import typer.main  # noqa: E402

from consumers.cli import app  # noqa: E402
from consumers.commands.setting_words import ALONE, WORDS  # noqa: E402
from consumers.settings import SECRETS, Security, Settings  # noqa: E402

DOCUMENT = REPOSITORY / "docs" / "options.md"
HEADER = """# Commands, options and settings

Written from the command line and from `consumers/settings.py`: `python
tests/consumers/test_options_docs.py`. An option comes before its variable, that before the default.
What operators change while the engine runs is not here but in [tuning.md](tuning.md).

"""


TABLE = "\n| option | variable | default | means |\n|---|---|---|---|\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, as click knows it."""
    yield from _below(typer.main.get_command(app), "stream-rec")


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for below, found in command.commands.items():
            yield from _below(found, f"{name} {below}")
    elif not command.hidden:
        yield name, command


def settings() -> Iterator[tuple[str, object]]:
    """Yield every setting with its default."""
    for field in (*fields(Settings), *fields(Security)):
        if field.name != "security":
            yield field.name, field.default


def text() -> str:
    """What the page should say."""
    parts = [HEADER, "## Settings\n\n| variable | default | means |\n|---|---|---|\n"]
    for name, default in settings():
        variable = f"`STREAM_REC_{name.upper()}`"
        if name in SECRETS:
            variable += f" or `STREAM_REC_{name.upper()}_FILE`"
        shown = "" if default in (None, "") else f"`{default}`"
        parts.append(f"| {variable} | {shown} | {WORDS[name]} |\n")
    parts += [f"| `STREAM_REC_{name.upper()}` | | {means} |\n" for name, means in ALONE.items()]
    parts.append("\n## Commands\n\nThese options come before any command.\n")
    parts.append(_options(typer.main.get_command(app)))
    for name, command in commands():
        said = " ".join((command.help or "").split("\n\n")[0].split())
        parts.append(f"\n### `{name}`\n\n{said}\n")
        parts.append(_options(command))
    return "".join(parts)


def _options(command: Any) -> str:
    rows = [_row(param) for param in command.params if param.name != "help"]
    return "".join((TABLE, *rows)) if rows else ""


def _row(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    if param.param_type_name == "argument":
        names = f"`{(param.metavar or param.name).upper()}`"
    variable = f"`{param.envvar}`" if param.envvar else ""
    default = param.default
    empty = default is None or default == "" or callable(default) or "UNSET" in str(default).upper()
    shown = "" if empty else f"`{default}`"
    means = " ".join((getattr(param, "help", "") or "").split()).replace("|", "\\|")
    return f"| {names} | {variable} | {shown} | {means} |\n"


def test_the_page_names_every_command_option_and_setting() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text()


def test_the_page_names_every_variable_that_is_read_anywhere() -> None:
    read = {
        name
        for folder in ("consumers", "stream_rec")
        for file in (REPOSITORY / folder).rglob("*.py")
        for name in re.findall(r"STREAM_REC_[A-Z][A-Z_]*[A-Z]", file.read_text(encoding="utf-8"))
    }
    assert len(read) > 25
    page = DOCUMENT.read_text(encoding="utf-8")
    assert {name for name in read if f"`{name}`" not in page} == set()


def test_every_setting_has_words_and_no_words_are_without_a_setting() -> None:
    assert set(WORDS) == {name for name, _ in settings()}


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{name} {param.opts[0]}"
        for name, command in commands()
        for param in command.params
        if param.param_type_name == "option" and not param.help
    ]
    assert silent == []
    assert [name for name, command in commands() if not command.help] == []


def test_a_variable_of_an_option_is_that_of_a_setting_or_known() -> None:
    known = {f"STREAM_REC_{name.upper()}" for name, _ in settings()}
    known |= {"STREAM_REC_HTTP", "STREAM_REC_WORKERS", "STREAM_REC_DEBUG", "STREAM_REC_WORDED"}
    named = {
        param.envvar
        for _, command in commands()
        for param in command.params
        if param.envvar is not None
    }
    assert named <= known


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
