"""The README's map of files says what is there, in the words of the files themselves.

`python tests/test_readme.py` writes the map anew.
"""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
FOLDERS = {
    "stream_rec": "the core: no Kafka, no clock, no disk",
    "stream_rec/aliases": "events in the words of other products",
    "stream_rec/profiles": "what is remembered of a user",
    "stream_rec/statistics": "what is known of items from everybody's behaviour",
    "stream_rec/catalogue": "what is known of items from the catalogue",
    "stream_rec/experts": "first opinions on what comes next",
    "stream_rec/ranking": "from opinions to a list",
    "stream_rec/adapters": "what the recommender knows of adapters: bundles, evidence, their life",
    "stream_rec/language_model": "the only place with torch",
    "stream_rec/simulation": "the shop of the demo and the tests",
    "consumers": "the only place with Kafka, processes and the network",
    "consumers/recommending": "the worker that turns events into lists",
    "consumers/encoding": "the worker that turns texts into vectors",
    "consumers/training": "the worker that lets the language model learn",
    "consumers/kafka_io": "topics, the bytes in them, and how they are read and written",
    "consumers/processes": "what runs, and what keeps it running",
    "consumers/telemetry": "what the programs say of themselves over HTTP",
    "consumers/commands": "what an operator types",
    "consumers/diagnosis": "the checks of `doctor`: what is silently wrong, and how to mend it",
    "consumers/demo": "the product at work, watched from outside",
}
MAP = re.compile(r"(?<=^## Map\n).*?(?=^## )", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^- `([^`]+\.py)` (.+)$", re.MULTILINE)


def modules() -> list[Path]:
    """Every module of ours but the empty ones that make folders packages."""
    found = [
        file for top in ("stream_rec", "consumers") for file in (REPOSITORY / top).rglob("*.py")
    ]
    return sorted(file for file in found if file.name != "__init__.py")


def said(file: Path) -> str:
    """The first line of a module's header, without its full stop."""
    header = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return header.partition("\n")[0].rstrip(".")


def map_of_files() -> dict[str, str]:
    """What the map should say of every module."""
    return {file.relative_to(REPOSITORY).as_posix(): said(file) for file in modules()}


def written_map() -> str:
    """The map's text, folder by folder, each folded up until it is asked for."""
    entries = map_of_files()
    lines = []
    for folder, purpose in FOLDERS.items():
        inside = [path for path in entries if path.rpartition("/")[0] == folder]
        if inside:
            lines += [f"<details><summary><b>{folder}/</b> – {purpose}</summary>\n"]
            lines += [f"- `{path}` {entries[path]}" for path in inside]
            lines += ["\n</details>"]
    return "\n".join(lines)


def test_the_map_names_every_module_and_no_other():
    [text] = MAP.findall(README.read_text(encoding="utf-8"))
    assert set(dict(ENTRY.findall(text))) == set(map_of_files())


def test_the_map_speaks_the_words_of_the_files():
    [text] = MAP.findall(README.read_text(encoding="utf-8"))
    there = map_of_files()
    stale = {
        path: words for path, words in ENTRY.findall(text) if there.get(path) not in (None, words)
    }
    assert not stale, "python tests/test_readme.py writes the map anew"


def test_every_folder_is_on_the_map():
    assert {file.parent.relative_to(REPOSITORY).as_posix() for file in modules()} <= set(FOLDERS)


def test_the_tests_that_show_the_guarantees_exist():
    text = README.read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    for path, name in named:
        file = REPOSITORY / path
        assert file.is_file(), path
        assert not name or f"def {name}(" in file.read_text(encoding="utf-8"), f"{path}::{name}"


def write_map() -> None:
    """Put the map of the files as they are into the README."""
    text = README.read_text(encoding="utf-8")
    [old] = MAP.findall(text)
    introduction = old.partition("\n<details>")[0].rstrip()
    README.write_text(text.replace(old, f"{introduction}\n\n{written_map()}\n\n"), "utf-8")


if __name__ == "__main__":
    write_map()
