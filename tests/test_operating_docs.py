"""The operating guide speaks of commands, metrics, settings, policies and files that exist."""

import re
from pathlib import Path

import pytest
import typer.main

from consumers.cli import app
from consumers.commands.policy_fields import policy_fields
from consumers.commands.setting_words import WORDS
from tests.described_metrics import described

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8")


def commands() -> set[str]:
    """Every command, and every command with its subcommand."""
    root = typer.main.get_command(app)
    found = set(root.commands)  # type: ignore[attr-defined]
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        found |= {f"{name} {below}" for below in getattr(command, "commands", ())}
    return found


def test_commands_exist() -> None:
    known = commands()
    for said in re.findall(r"`stream-rec ([a-z]+(?: [a-z]+)?)", PAGE):
        assert said in known or said.split()[0] in known, said


def test_metrics_exist() -> None:
    served = {name for metric in described().values() for name in (metric.name, *metric.samples)}
    assert set(re.findall(r"`(stream_rec_[a-z_]+)`", PAGE)) <= served


def test_settings_exist() -> None:
    named = {name.lower() for name in re.findall(r"STREAM_REC_([A-Z_]+)", PAGE)}
    assert named <= set(WORDS)


def test_policy_fields_exist() -> None:
    paths = {field.path for field in policy_fields()}
    said = set(re.findall(r"`((?:list|signals|profile|adapter|intake)\.[a-z_.]+)`", PAGE))
    assert said
    assert said <= paths


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([a-z_]+\.md)\)", PAGE))))
def test_pages_it_links_to_exist(link: str) -> None:
    assert (REPOSITORY / "docs" / link).exists()


def test_files_it_names_exist() -> None:
    for name in re.findall(r"`(docker/[a-z/.-]+)`", PAGE):
        assert (REPOSITORY / name).exists(), name


@pytest.mark.parametrize(
    "chapter", ["Deploy", "Scale", "Watch", "Upgrade", "Back up", "Erase", "Recover"]
)
def test_every_chapter_is_there(chapter: str) -> None:
    assert f"\n## {chapter}\n" in PAGE
