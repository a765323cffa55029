"""The page on security says what the code does.

`python tests/test_security_docs.py` writes its table of rights anew.
"""

import re
from dataclasses import fields
from pathlib import Path

from consumers.commands.http_api import ANSWERS
from consumers.kafka_io.rights import PROGRAMS, least_rights, merged
from consumers.settings import SECRETS, Security, Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "security.md"
TABLE = re.compile(r"(?<=test_security_docs.py` -->\n).*?(?=<!-- /rights -->)", re.DOTALL)


def table() -> str:
    """The rights of every program, one line for each set of operations."""
    settings = Settings()
    lines = ["| program | may | on |", "|---|---|---|"]
    for program in PROGRAMS:
        by_operations: dict[tuple[str, ...], list[str]] = {}
        for right in merged(least_rights(program, settings)):
            star = "*" if right.prefixed else ""
            kind = "" if right.kind == "topic" else f"{right.kind} "
            name = f"{kind}`{right.name.replace(settings.prefix, '<p>')}{star}`"
            by_operations.setdefault(tuple(sorted(right.operations)), []).append(name)
        first = f"**{program}**"
        for operations, names in sorted(by_operations.items()):
            lines.append(f"| {first} | {', '.join(operations)} | {', '.join(names)} |")
            first = ""
    return "\n".join(lines) + "\n"


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_table_of_rights_is_that_of_the_code() -> None:
    assert TABLE.search(page())[0] == table(), "run python tests/test_security_docs.py"


def test_every_variable_of_security_and_http_is_explained() -> None:
    names = [f"STREAM_REC_{item.name.upper()}" for item in fields(Security)]
    names += ["STREAM_REC_HTTP", "STREAM_REC_HTTP_TOKEN", "STREAM_REC_HTTP_NAMES"]
    assert [name for name in names if f"`{name}`" not in page()] == []


def test_every_secret_is_marked_as_one_that_may_stand_in_a_file() -> None:
    marked = set(re.findall(r"`STREAM_REC_([A-Z_]+)` †", page()))
    elsewhere = {"PSEUDONYM_KEY"}  # what it does is told with the rest of privacy
    assert marked == {name.upper() for name in SECRETS} - elsewhere


def test_every_request_of_the_api_is_in_the_page_and_no_other() -> None:
    told = set(re.findall(r"^\| `([A-Z]+) (/api/[^`]*)`", page(), re.MULTILINE))
    known = {(method, re.sub(r":path\}", "}", path)) for path, method in ANSWERS}
    assert told == known


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), page()), encoding="utf-8")
