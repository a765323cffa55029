"""What a profile remembers one by one: the newest events in order, and how they link items.

An event is linked to those before it within `LINK_WINDOW`, to each item once, unless its own came
there `MOST_LINKED` times. A late event changes what the next ones say. Whether each was linked is
kept with it, so nothing is taken back that was not said, whatever was forgotten or erased since.
Knows no sums and no policy.
"""

from bisect import bisect
from collections.abc import Sequence

import msgspec

from stream_rec.events import NOT_CONSUMING

HISTORY = 64
LINK_WINDOW = 20
MOST_LINKED = 3

# One signed statement about who followed whom: sign, target, distinct sources newest first, and
# whether the user was a newcomer at the target's event.
LinkRow = tuple[int, str, list[str], bool]


class Understood(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the language model has read out of a review's words; short labels, never a vector.

    `rating` is what the words are worth in the stream's own stars, `aspects` what was praised
    (above 0) or blamed, `tags` what the review is about. A vector would outlive its adapter.
    """

    rating: float | None = None
    aspects: tuple[tuple[str, float], ...] = ()
    tags: tuple[str, ...] = ()


class Interaction(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event as a profile remembers it; raw signals, no weights.

    `understood` comes later than the rest, if at all, and then replaces `sentiment` too.
    """

    timestamp: int
    topic: int
    offset: int
    item_id: str
    event_type: str
    scenario: str
    rating: float | None = None
    sentiment: float | None = None
    phrase: str | None = None
    quiet: bool = False  # says nothing of its item to others
    understood: Understood | None = None
    newcomer: bool = False  # by a user who was one then
    linked: bool = True  # to those before, and not its item among them too often for that

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it stands in the user's history."""
        return (self.timestamp, self.topic, self.offset)

    @property
    def consuming(self) -> bool:
        """Whether the user took the item, liked or not."""
        return self.event_type not in NOT_CONSUMING

    @property
    def telling(self) -> bool:
        """Whether it says something of its item to everybody else."""
        return self.event_type not in NOT_CONSUMING and not self.quiet


def inserted(
    history: tuple[Interaction, ...], interaction: Interaction
) -> tuple[tuple[Interaction, ...], list[LinkRow]]:
    """Put an interaction in its place, and say what that changes about who followed whom."""
    place = len(history)
    if history and interaction.place <= history[-1].place:
        place = bisect(history, interaction.place, key=lambda past: past.place)
    before, later = history[:place], history[place:]
    if not interaction.consuming or len(later) == HISTORY:
        return (*before, interaction, *later)[-HISTORY:], []
    sources = _sources(before)
    interaction = _linked(sources, interaction)
    rows, after, followers = _rows(1, sources, interaction), [*before, interaction], 0
    for spot, past in enumerate(later, place):
        said = past
        if past.consuming and followers < LINK_WINDOW:
            followers += 1
            old, new = _sources(history[:spot]), _sources(after)
            if old != new:
                said = _linked(new, past)
                rows += _rows(-1, old, past) + _rows(1, new, said)
        after.append(said)
    return tuple(after[-HISTORY:]), rows


def _linked(sources: list[str], event: Interaction) -> Interaction:
    """Return an event as it is remembered: whether its item came too often to link it again.

    That depends on the same window as the sources, and what has left the history since only
    shortens those; so a late event takes back nothing that was not said.
    """
    linked = sources.count(event.item_id) < MOST_LINKED
    if linked == event.linked:
        return event
    return msgspec.structs.replace(event, linked=linked)


def _rows(sign: int, sources: list[str], event: Interaction) -> list[LinkRow]:
    """Return what an event says or takes back: nothing where it is quiet or not linked.

    An item that came more than once before is one source, as far back as its newest event. The
    sources are looked at too, since profiles from before `linked` was kept take all for linked.
    """
    if event.quiet or not event.linked or sources.count(event.item_id) >= MOST_LINKED:
        return []
    return [(sign, event.item_id, list(dict.fromkeys(sources)), event.newcomer)]


def _sources(before: Sequence[Interaction]) -> list[str]:
    """Return the window's items, newest first; the quiet take their places and are no sources."""
    sources: list[str] = []
    seen = 0
    for past in reversed(before):
        if past.event_type not in NOT_CONSUMING:
            seen += 1
            if not past.quiet:
                sources.append(past.item_id)
            if seen == LINK_WINDOW:
                break
    return sources
