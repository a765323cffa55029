"""How the demo looks: a live view on a terminal, plain lines elsewhere.

Draws a `Snapshot`; measures and sends nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from consumers.demo.scoreboard import Freshness, Quality
from stream_rec.toplist import ListedItem, TopList


@dataclass(frozen=True, slots=True, kw_only=True)
class Spotlight:
    """The user the view follows: newest list, the items listed before the last act, all acts.

    `answered` counts the acts that got their list.
    """

    user_id: str
    toplist: TopList | None
    before: frozenset[str]
    captions: Sequence[str]
    answered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything there is to see at one moment; `lag` None while it is unknown.

    `learning` says what the language model learns, empty while that is unknown.
    """

    elapsed: float
    seconds: float
    events: int
    lists: int
    rate: float
    lag: int | None
    learning: str
    freshness: Freshness
    quality: Quality
    spotlight: Spotlight
    titles: Mapping[str, str]


def view(snapshot: Snapshot) -> RenderableType:
    """Return the whole live view."""
    bar = ProgressBar(total=snapshot.seconds, completed=snapshot.elapsed, width=None)
    head = Text(figures(snapshot), style="bold")
    learning = Text(f"language model: {snapshot.learning or '…'}", style="dim")
    top = Panel(
        Group(head, bar, learning), title="stream-rec demo", border_style="cyan", box=box.ROUNDED
    )
    return Group(top, _quality_panel(snapshot.quality), _spotlight_panel(snapshot))


def figures(snapshot: Snapshot) -> str:
    """Return the figures of one moment in a line."""
    lag = "?" if snapshot.lag is None else f"{snapshot.lag}"
    return (
        f"{snapshot.elapsed:3.0f} s  {snapshot.events:,} events  {snapshot.rate:.0f} events/s  "
        f"{snapshot.lists:,} lists  freshness p50 {_ms(snapshot.freshness.p50)} "
        f"p99 {_ms(snapshot.freshness.p99)}  lag {lag}"
    )


def plain_line(snapshot: Snapshot) -> str:
    """Return the figures with the quality, for where there is no terminal."""
    quality = snapshot.quality
    return (
        f"{figures(snapshot)}  NDCG@10 stream-rec {quality.engine:.4f} "
        f"co-visitation {quality.co_visitation:.4f} popularity {quality.popularity:.4f} "
        f"({quality.events} scored)"
    )


def plain_learning(snapshot: Snapshot) -> str:
    """Return what the language model learns, for where there is no terminal."""
    return f"  language model: {snapshot.learning or 'nothing is known of it yet'}"


def plain_spotlight(spotlight: Spotlight, titles: Mapping[str, str]) -> list[str]:
    """Return the followed user's last act and newest list as lines."""
    lines = [f"  {spotlight.captions[-1]}"] if spotlight.captions else []
    if spotlight.toplist is not None:
        for entry in spotlight.toplist.items[:SHOWN_PLAIN]:
            mark = "+" if entry.item_id not in spotlight.before else " "
            lines.append(f"   {mark} {entry.rank}. {_title(entry, titles)}  ({entry.reason.text})")
    return lines


def _quality_panel(quality: Quality) -> Panel:
    rows = (
        ("stream-rec", quality.engine, "green"),
        ("co-visitation", quality.co_visitation, "yellow"),
        ("decayed popularity", quality.popularity, "magenta"),
    )
    best = max(max(value for _, value, _ in rows), 1e-9)
    table = Table.grid(padding=(0, 2))
    for name, value, style in rows:
        bar = ProgressBar(
            total=best, completed=value, width=40, complete_style=style, finished_style=style
        )
        table.add_row(name, f"{value:.4f}", bar)
    title = f"NDCG@10 so far, {quality.events} events scored before they were sent"
    return Panel(table, title=title, border_style="cyan", box=box.ROUNDED)


def _spotlight_panel(snapshot: Snapshot) -> Panel:
    spotlight = snapshot.spotlight
    table = Table(box=None, expand=True, pad_edge=False, show_header=False)
    table.add_column(width=2)
    table.add_column(width=3, justify="right")
    table.add_column(ratio=4, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=5, no_wrap=True, overflow="ellipsis", style="dim")
    for entry in spotlight.toplist.items[:SHOWN] if spotlight.toplist else ():
        fresh = entry.item_id not in spotlight.before
        style = "bold green" if fresh else ""
        table.add_row(
            Text("+" if fresh else "", style="bold green"),
            Text(str(entry.rank)),
            Text(_title(entry, snapshot.titles), style=style),
            Text(entry.reason.text),
        )
    said = Text("\n".join(f"› {caption}" for caption in spotlight.captions[-3:]), style="italic")
    version = f", version {spotlight.toplist.version}" if spotlight.toplist else ""
    title = f"the list of {spotlight.user_id}{version}"
    return Panel(Group(said, table), title=title, border_style="cyan", box=box.ROUNDED)


def _title(entry: ListedItem, titles: Mapping[str, str]) -> str:
    return titles.get(entry.item_id) or entry.item_id


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0f} ms"


SHOWN = 10
SHOWN_PLAIN = 5
