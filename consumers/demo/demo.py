"""`stream-rec demo`: the whole product at work, watched from outside. Ends by itself.

    1. set up     the installation that `up` runs, on a temporary folder, with a broker of its own
    2. catalogue  published and encoded
    3. stream     events in a closed loop; each is scored before it is sent, and its list awaited
    4. summary    what was seen, and where to go next; nothing is left running

Knows the installation and the public contract; `scoreboard.py` measures and `demo_view.py` draws.
"""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from rich.live import Live

from consumers import terminal
from consumers.demo.feed import EVENTS_PER_S, Feed, recorded, simulated
from consumers.demo.observer import Observer, reached
from consumers.demo.show import Outcome, Show
from consumers.demo.view import plain_learning, plain_line, plain_spotlight, view
from consumers.processes.installation import Installation, Plan, Ready
from consumers.processes.up import broker_jars
from consumers.settings import settings_from_environment
from stream_rec.errors import ConfigurationError, StreamRecError


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What to play, for how long, and where; by default the simulated shop in a fresh folder."""

    items: Path | None = None
    events: Path | None = None
    seconds: float = 90.0
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        if (self.items is None) != (self.events is None):
            msg = "--items and --events belong together"
            raise ConfigurationError(msg)


class DemoFailed(StreamRecError):
    """The engine did not get ready, or did not serve a list."""


def run(plan: DemoPlan, *, debug: bool = False) -> int:
    """Run the demo and return the exit status: 0 when every event got its list.

    Raises:
        DemoFailed: the engine did not get ready.
        ConfigurationError: the files cannot be used.
        BrokerUnavailable: the broker's files cannot be had.
    """
    terminal.log_to_stderr(debug=debug, quiet=True)
    feed = _feed(plan)
    with _ended_by_signals(), _folder(plan) as folder, _installed(folder) as (ready, installation):
        settings = settings_from_environment(
            {}, bootstrap_servers=ready.bootstrap_servers, data_dir=folder
        )
        observer = reached(settings)
        try:
            observer.set_policy(LEARNING)
            _publish_catalogue(observer, feed)
            show = Show(feed, observer, metrics=ready.http, seconds=plan.seconds)
            _play(show, installation)
        finally:
            observer.close()
        outcome = show.outcome()
    _summarise(outcome, feed)
    return 0 if outcome.served else 1


def _feed(plan: DemoPlan) -> Feed:
    most = round(plan.seconds * EVENTS_PER_S)
    if plan.items is not None and plan.events is not None:
        return recorded(plan.items, plan.events, most=most)
    return simulated(most, now_ms=time.time_ns() // 1_000_000)


def _play(show: Show, installation: Installation) -> None:
    """Let the show run, drawing it four times a second on a terminal, in lines elsewhere."""
    console = terminal.results
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for snapshot in show.play():
                _check(installation)
                live.update(view(snapshot), refresh=True)
        return
    line_due, answered, learning = 0.0, 0, ""
    for snapshot in show.play():
        _check(installation)
        spotlight = snapshot.spotlight
        if spotlight.answered > answered:
            answered = spotlight.answered
            for line in plain_spotlight(spotlight, snapshot.titles):
                console.print(line, markup=False, highlight=False)
        if snapshot.elapsed >= line_due:
            line_due = snapshot.elapsed + PLAIN_EVERY_S
            console.print(plain_line(snapshot), markup=False, highlight=False)
            if snapshot.learning != learning:
                learning = snapshot.learning
                console.print(plain_learning(snapshot), markup=False, highlight=False)


def _check(installation: Installation) -> None:
    if (reason := installation.reason()) is not None:
        raise DemoFailed(reason)


def _publish_catalogue(observer: Observer, feed: Feed) -> None:
    """Publish the items and wait until every one of them is known and encoded."""
    observer.send_all("items", feed.catalogue)
    wanted, silent_since = len(feed.catalogue), time.monotonic()
    with terminal.progress_bar("the language model reads the catalogue, items") as advance:
        encoded = -1
        while True:
            found = observer.default_list(0.5)
            if found is not None:
                if found.lineage.encoded_items > encoded:
                    encoded, silent_since = found.lineage.encoded_items, time.monotonic()
                advance(min(encoded, wanted), wanted)
                if min(found.lineage.catalogue_items, encoded) >= wanted:
                    return
            if time.monotonic() - silent_since > ENCODING_SILENCE_S:
                msg = f"{max(encoded, 0)} of {wanted} items were encoded, then no more"
                raise DemoFailed(msg)


def _summarise(outcome: Outcome, feed: Feed) -> None:
    say = terminal.results.print
    say(f"\nplayed {feed.name}", markup=False, highlight=False)
    say(plain_line(outcome.last), markup=False, highlight=False)
    say(plain_learning(outcome.last), markup=False, highlight=False)
    for line in outcome.remarks:
        say(line, markup=False, highlight=False)
    if outcome.last.spotlight.toplist is not None:
        say(f"\nthe last list of {feed.protagonist}:", markup=False, highlight=False)
        spotlight = replace(outcome.last.spotlight, captions=())
        for line in plain_spotlight(spotlight, outcome.last.titles):
            say(line, markup=False, highlight=False)
    say(NEXT if outcome.served else FAILED, markup=False, highlight=False)


@contextmanager
def _folder(plan: DemoPlan) -> Iterator[Path]:
    if plan.data_dir is not None:
        yield plan.data_dir
        return
    with tempfile.TemporaryDirectory(prefix="stream-rec-demo-") as name:
        yield Path(name)


@contextmanager
def _installed(folder: Path) -> Iterator[tuple[Ready, Installation]]:
    """Run an installation on another thread, and stop it whatever happens."""
    settings = settings_from_environment(data_dir=folder, bootstrap_servers="127.0.0.1:0")
    installation = Installation(Plan(settings=settings, jars=broker_jars()))
    told: list[Ready] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            installation.run(told.append)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="installation")
    thread.start()
    try:
        with terminal.busy("starting Apache Kafka, a recommender, the encoder and the trainer"):
            while not told and thread.is_alive():
                thread.join(0.1)
        if not told:
            if failures:
                raise failures[0]
            reason = installation.reason() or "the engine ended before it was ready"
            msg = f"{reason}\n{_last_words(folder, reason.split()[0])}"
            raise DemoFailed(msg)
        yield told[0], installation
    finally:
        with terminal.busy("stopping everything"):
            installation.request_stop()
            thread.join()


def _last_words(folder: Path, program: str) -> str:
    """Return the end of a program's log, which is about to be removed."""
    with suppress(OSError):
        text = (folder / "run" / f"{program}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-LAST_LINES:])
    return ""


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C does, so that everything is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


# A show is short: adapters are trained early and briefly, and fewer live events decide on them.
LEARNING = {
    "adapter": {"every_events": 1500, "max_s": 40, "gate": {"shadow_events": 300}},
}
PLAIN_EVERY_S = 5.0
ENCODING_SILENCE_S = 120.0
LAST_LINES = 8
NEXT = """
every event got its list. Where to go next:
  stream-rec up                                   run it for yourself, Kafka included
  stream-rec demo --items F --events F            the same with your own files
  stream-rec policy set '{"list": {"size": 5}}'   steer it while it runs
  stream-rec explain USER                         ask why
  stream-rec adapter list                         what the language model has learned
"""
FAILED = "\nFAILED: not every event got its list"
