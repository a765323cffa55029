"""Print a published list with its reasons, or why an item is not in it, for people to read.

Knows the terminal; what it prints was found by `explain.py`.
"""

import time
from collections.abc import Mapping, Sequence

from msgspec import UNSET
from rich.table import Table
from rich.text import Text

from consumers import terminal
from consumers.commands.likings import Liking
from stream_rec.items import Item
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile
from stream_rec.toplist import ListedItem, TopList


def print_list(
    toplist: TopList,
    profile: Profile | None,
    items: Mapping[str, Item],
    liked: Sequence[Liking] = (),
    *,
    only: str | None,
) -> None:
    """Print every place of a list, or that of one item."""
    lineage = toplist.lineage
    made = _utc(toplist.generated_at)
    until = "" if toplist.expires_at is UNSET else f", good until {_utc(toplist.expires_at)}"
    whose = "users never seen" if toplist.user_id == "*" else toplist.user_id
    terminal.results.print(
        f"list {toplist.version} of {whose} in {toplist.scenario}, made {made} UTC{until} "
        f"from {lineage.events_applied} events, tier {toplist.tier}, "
        f"policy {lineage.policy_version}",
        markup=False,
        highlight=False,
    )
    if profile is not None and profile.history:
        terminal.results.print(f"lately: {_lately(profile, items)}", markup=False, highlight=False)
    if liked:
        words = [f"{liking.label} ({liking.kind}) {liking.strength:+.2f}" for liking in liked]
        terminal.results.print(f"likes: {', '.join(words)}", markup=False, highlight=False)
    table = Table("rank", "item", "score", "experts", "why", "evidence", box=None, pad_edge=False)
    for entry in toplist.items:
        if only in (None, entry.item_id):
            table.add_row(*(Text(cell) for cell in _cells(entry, items)))
    terminal.results.print(table)


def print_absence(item_id: str, reasons: Sequence[str], items: Mapping[str, Item]) -> None:
    """Print why an item is not listed."""
    terminal.results.print(
        f"{named(item_id, items)} is not in the list:", markup=False, highlight=False
    )
    for reason in reasons:
        terminal.results.print(f"  - {reason}", markup=False, highlight=False)


def named(item_id: str, items: Mapping[str, Item]) -> str:
    """Return an item's title with its id, or the id alone."""
    item = items.get(item_id)
    title = item.title if item is not None else None
    return f"{title} [{item_id}]" if title else item_id


def _cells(entry: ListedItem, items: Mapping[str, Item]) -> tuple[str, ...]:
    shares = sorted(entry.sources.items(), key=lambda share: -share[1])
    experts = ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= 0.005)
    score = f"{entry.score:.4f}" + (f" explored {entry.propensity:.3g}" if entry.explored else "")
    evidence = ", ".join(named(item_id, items) for item_id in entry.reason.evidence)
    rank, why = str(entry.rank), entry.reason.text
    return (rank, named(entry.item_id, items), score, experts, why, evidence)


def _utc(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000))


def _lately(profile: Profile, items: Mapping[str, Item]) -> str:
    words = []
    for past in reversed(profile.history[-5:]):
        rated = "" if past.rating is None else f" {past.rating:g}★"
        phrase = f' "{past.phrase}"' if past.phrase else ""
        words.append(f"{past.event_type}{rated} {named(past.item_id, items)}{phrase}{_read(past)}")
    return "; ".join(words)


def _read(past: Interaction) -> str:
    """What the language model has read in a review, where it has."""
    understood = past.understood
    if understood is None:
        return ""
    parts = [f"praises {name}" for name, strength in understood.aspects if strength > 0]
    parts += [f"blames {name}" for name, strength in understood.aspects if strength < 0]
    parts += [f"about {tag}" for tag in understood.tags]
    if past.rating is None and understood.rating is not None:
        parts.append(f"as reviews of {understood.rating:.1f}★ read")
    return f" ({', '.join(parts)})" if parts else ""
