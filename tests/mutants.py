"""Seeded mutations of the engine's own source, one small wrong at a time.

A mutant is `stream_rec/step.py` with one condition turned round, one statement left out, one number
or sign changed. Its `step` is used in place of the real one by the group simulation, which must see
that something is wrong. Statements that only serve learning, metrics or bounds are left alone: what
the guarantees do not speak of, the oracle cannot see.
"""

import ast
import copy
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import stream_rec.step

SOURCE = Path(stream_rec.step.__file__)
# Functions that decide what is applied, once, in which order, and what is counted.
FUNCTIONS = (
    "step",
    "take",
    "close",
    "ledger",
    "_forget",
    "_refine",
    "_known",
    "_marker",
    "_apply",
    "_due",
)
# What the guarantees are silent about: the re-ranker, timing, bounds on names, early refusals.
SILENT = (
    "examples", "teach", "learn", "at_folded", "taken", "exploration", "scenarios", "MAX_", "late",
    "_check", "forget_user", "erased_at", "sorted", "newest_ms", "min_interval_ms", "touched.pop",
    "result.outcomes",
)  # fmt: skip


class Mutant:
    """One wrong version of the step; `what` says where and how."""

    def __init__(self, what: str, tree: ast.Module) -> None:
        self.what = what
        self._tree = tree

    def step(self) -> Callable[..., object]:
        """Return the mutated step."""
        name = "stream_rec.mutated_step"
        module = types.ModuleType(name)
        sys.modules[name] = module  # dataclasses look their module up
        exec(compile(ast.fix_missing_locations(self._tree), str(SOURCE), "exec"), module.__dict__)
        found: Callable[..., object] = module.__dict__["step"]
        return found


def mutants() -> Iterator[Mutant]:
    """Yield every mutant, in the order of the source."""
    whole = ast.parse(SOURCE.read_text(encoding="utf-8"))
    places = [
        node
        for function in ast.walk(whole)
        if isinstance(function, ast.FunctionDef) and function.name in FUNCTIONS
        for node in ast.walk(function)
    ]
    seen: set[str] = set()
    for number, node in enumerate(places):
        for change in CHANGES:
            said = change(copy.copy(node))  # on a shallow twin: a deep one of all costs too much
            if said is None or any(word in ast.unparse(node) for word in SILENT):
                continue
            what = f"line {getattr(node, 'lineno', 0)}: {said}"
            if what in seen:
                continue
            seen.add(what)
            tree = copy.deepcopy(whole)
            twins = [
                inner
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef) and function.name in FUNCTIONS
                for inner in ast.walk(function)
            ]
            change(twins[number])
            yield Mutant(what, tree)


def _turned(node: ast.AST) -> str | None:
    if not isinstance(node, (ast.If, ast.IfExp)):
        return None
    said = f"not ({ast.unparse(node.test)})"
    node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
    return said


def _left_out(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) or _is_words(node):
        return None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return None  # the name would be missing, which anything sees
    said = f"without {ast.unparse(node)}"
    effect = ast.Pass()
    node.__class__, node.__dict__ = effect.__class__, {**node.__dict__, **effect.__dict__}  # type: ignore[assignment]
    return said


def _one_more(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Constant) or type(node.value) is not int:
        return None
    node.value += 1
    return f"{node.value - 1} is {node.value}"


def _other_side(node: ast.AST) -> str | None:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
        return None
    said = f"- for + in {ast.unparse(node)}"
    node.op = ast.Sub()
    return said


def _is_words(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


CHANGES = (_turned, _left_out, _one_more, _other_side)
