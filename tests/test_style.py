"""The rules of the house that a linter does not know: who may import what, names, sizes."""

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("stream_rec", "consumers")
LONGEST_FILE = 400  # lines

LANGUAGE_MODEL_LIBRARIES = {"torch", "transformers", "peft", "sentence_transformers", "accelerate"}
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
OUTSIDE_WORLD = {"kafka", "consumers", "socket", "subprocess", "requests", "httpx"} | {
    "urllib.request"
}
SAY_NOTHING = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "other",
    "base",
    "manager",
} | {"handler", "processor", "factory", "service", "engine", "data", "core"}
# Hosts of package registries, and folders of the machine this was written on.
NOT_TO_BE_COMMITTED = re.compile(
    r"[a-z0-9.-]*\b(?:pypi|pythonhosted|npmjs|crates|maven|debian|golang)"
    r"(?:\.[a-z0-9-]+)*\.(?:org|io|com|dev|net)\b"
    r"|(?<![\w.}/-])/(?:work|farm|root|tmp)/[\w.]+",
    re.IGNORECASE,
)


def sources(*packages: str) -> list[Path]:
    return sorted(file for package in packages for file in (REPOSITORY / package).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imported(module: ast.AST) -> Iterator[str]:
    """Yield every module that is imported anywhere in the file, as it is written."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


def offenders(files: Iterable[Path], forbidden: set[str]) -> list[str]:
    return sorted(
        {
            f"{module_name(file)} imports {top(name)}"
            for file in files
            for name in imported(tree(file))
            if forbidden & {top(name), ".".join(name.split(".")[:2])}
        }
    )


@cache
def import_graph() -> dict[str, set[str]]:
    """Which module of ours imports which others of ours, by full name."""
    names = {module_name(file): file for file in sources(*PACKAGES)}
    return {
        name: {other for other in imported(tree(file)) if other in names and other != name}
        for name, file in names.items()
    }


def find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for following in sorted(graph.get(name, ())):
            if cycle := visit(following, [*path, name]):
                return cycle
        done.add(name)
        return None

    return next((cycle for name in sorted(graph) if (cycle := visit(name, []))), None)


def words(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return set(spaced.lower().split("_"))


@cache
def committed_files() -> list[Path]:
    listing = ["git", "ls-files", "-z"]
    done = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("needs a git checkout")
    files = [REPOSITORY / name for name in done.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def test_the_core_knows_no_kafka_no_network_and_no_processes() -> None:
    assert offenders(sources("stream_rec"), OUTSIDE_WORLD) == []


def test_only_the_language_model_imports_the_libraries_of_language_models() -> None:
    licensed = REPOSITORY / "stream_rec" / "language_model"
    others = [file for file in sources(*PACKAGES) if licensed not in file.parents]
    assert offenders(others, LANGUAGE_MODEL_LIBRARIES) == []


def test_the_recommender_never_loads_a_language_model() -> None:
    graph, reached = import_graph(), set[str]()
    waiting = ["consumers.recommending.recommender", "stream_rec.step"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [other for other in graph.get(name, ()) if other not in reached]
    assert [name for name in sorted(reached) if name.startswith("stream_rec.language_model")] == []


def test_nothing_imports_pickle() -> None:
    assert offenders(sources(*PACKAGES, "tests", "benchmarks"), PICKLES) == []
    loaders = re.compile(r"torch\.(load|save)\(|allow_pickle=True")
    found = [file.name for file in sources(*PACKAGES) if loaders.search(file.read_text())]
    assert found == []


def test_imports_are_absolute_and_run_in_no_circle() -> None:
    relative = [
        module_name(file)
        for file in sources(*PACKAGES)
        if any(name.startswith(".") for name in imported(tree(file)))
    ]
    assert relative == []
    assert find_cycle(import_graph()) is None


def test_a_circle_of_imports_would_be_found() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_names_say_something() -> None:
    files = [file for file in sources(*PACKAGES, "benchmarks") if words(file.stem) & SAY_NOTHING]
    classes = [
        node.name
        for file in sources(*PACKAGES)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef) and words(node.name) & SAY_NOTHING
    ]
    assert [file.name for file in files] + classes == []


def test_files_stay_short() -> None:
    lengths = {
        module_name(file): len(file.read_text(encoding="utf-8").splitlines())
        for file in sources(*PACKAGES, "tests", "benchmarks")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        module_name(file)
        for file in sources(*PACKAGES)
        if file.name != "__init__.py" and not ast.get_docstring(tree(file))
    ]
    assert silent == []


def test_no_file_names_a_registry_or_a_folder_of_one_machine() -> None:
    found = []
    for file in committed_files():
        text = file.read_bytes().decode("utf-8", errors="ignore")
        name = file.relative_to(REPOSITORY)
        found += [f"{name}: {match.group()}" for match in NOT_TO_BE_COMMITTED.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("https://files." + "pythonhosted" + ".org/packages", True),
        ("see pypi" + ".org", True),
        ("repo.maven" + ".apache.org", True),
        ("cd /" + "work/main", True),
        ("../shared" + "/work" + "/main", False),
        ("kafka-clients from Maven, by jgo. Install it", False),
        ("a crate of golang", False),
    ],
)
def test_the_search_for_registries_finds_what_it_should(text: str, named: bool) -> None:
    assert bool(NOT_TO_BE_COMMITTED.search(text)) == named
