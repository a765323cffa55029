"""How every benchmark says what it measured: one small table, or JSON with `--json`.

Also starts what most of them need: a broker of their own, gone afterwards.
"""

import argparse
import contextlib
import json
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from tests.guarantees.fleet import Fleet
from tests.guarantees.topic_log import Backlog


def options(description: str | None, **integers: int) -> argparse.Namespace:
    """Read `--json` and some options that are whole numbers, by name and default."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    for name, default in integers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    return parser.parse_args()


def show(title: str, rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Print rows of equal keys."""
    if as_json:
        print(json.dumps({"benchmark": title, "machine": platform.platform(), "rows": rows}))
        return
    names = list(rows[0]) if rows else []
    cells = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    print(title)
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


@contextmanager
def installation(prefix: str = "bench") -> Iterator[Settings]:
    """Run an empty broker and give settings to reach it; everything is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="stream-rec-bench-") as folder:
        broker = EmbeddedBroker()
        broker.start(Path(folder) / "kafka")
        try:
            broker.wait_ready(90)
            yield Settings(
                bootstrap_servers=broker.bootstrap_servers,
                prefix=prefix,
                data_dir=Path(folder) / "data",
            )
        finally:
            broker.stop()


def drain_rate(settings: Settings) -> float:
    """Start a worker on what is waiting; return its records per second from the first commit on."""
    with contextlib.closing(Backlog(settings)) as backlog, Fleet(settings) as fleet:
        waiting = left = backlog.records()
        seen: list[tuple[float, int]] = []

        def empty() -> bool:
            nonlocal left
            left = backlog.records()
            if left < waiting:
                seen.append((time.monotonic(), left))
            return left == 0

        fleet.wait(empty, 600, "the backlog is not read")
    (started, first), (ended, _) = seen[0], seen[-1]
    return first / (ended - started)


def _cell(value: object) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 100
        else (f"{value:,.0f}" if isinstance(value, (int, float)) else str(value))
    )
