"""What commands say and how: results on stdout, everything else on stderr, one line for an error.

Knows neither Kafka nor what the commands do. Progress bars appear on a terminal only.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

# A pipe has no width; at the usual 80 columns a table would break its lines for nobody.
results = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 200)
notices = Console(stderr=True, soft_wrap=True, highlight=False)

Advance = Callable[[int, int], None]
"""Called with (done, in all)."""


@contextmanager
def progress_bar(title: str, console: Console = notices) -> Iterator[Advance]:
    """Show a bar on a terminal, and one line at the end elsewhere when anything took place."""
    if not console.is_terminal:
        total = [0]

        def count(_done: int, whole: int) -> None:
            total[0] = whole

        yield count
        if total[0]:
            console.print(f"{title}: {total[0]}")
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


@contextmanager
def busy(title: str) -> Iterator[None]:
    """Show on a terminal that something goes on, and say so in a line elsewhere."""
    if not notices.is_terminal:
        say(title)
        yield
        return
    with notices.status(title):
        yield


def say(line: str) -> None:
    """Print one notice on stderr."""
    notices.print(line, markup=False)


def complain(line: str) -> None:
    """Print one line about an error on stderr."""
    notices.print(f"error: {line}", style="red", markup=False)


def log_to_stderr(*, debug: bool = False, quiet: bool = False) -> None:
    """Let the programs' log go to stderr, one line a record; `quiet` keeps warnings only.

    The client stays above its debug level always: there it writes every byte it sends and reads,
    passwords and reviews among them.
    """
    from consumers.telemetry.discreet_log import DiscreetFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LINE) if debug else DiscreetFormatter(LINE))
    level = logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("kafka").setLevel(logging.INFO if debug else logging.ERROR)


LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
