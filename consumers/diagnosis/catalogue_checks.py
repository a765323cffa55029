"""Is there a catalogue, and do events name its items by the ids that it has?"""

from collections.abc import Iterator

from consumers.diagnosis.finding import Finding, note, wrong
from consumers.diagnosis.look import Look
from consumers.diagnosis.sampled_events import events_in
from stream_rec.errors import InvalidRecord


def events_name_known_items(look: Look) -> Iterator[Finding]:
    """Look for the items of the newest events in the catalogue.

    An item that the catalogue does not name is counted and never shown, so two systems that write
    ids in two ways give empty or poor lists, and nothing else would say so.
    """
    topic = look.topics.items
    if topic not in look.counts:
        return
    named = list(_items_of_events(look))
    if not named:
        return
    if not look.catalogue:
        text = "events come, and the catalogue is empty: so is every list"
        yield wrong("empty_catalogue", topic, text, f"send items to {topic}, keyed by item_id")
        return
    strange = [item_id for item_id in named if item_id.encode() not in look.catalogue]
    if len(strange) <= FEW_STRANGE * len(named):
        return
    known = min(look.catalogue).decode(errors="replace")
    text = (
        f"{len(strange)} of the newest {len(named)} events are on items that the catalogue does "
        f"not name: one is {strange[-1]!r}, where the catalogue has ids like {known!r}"
    )
    mend = f"write ids the same way in both, or send the missing items to {topic}"
    say = wrong if len(strange) > MOST_STRANGE * len(named) else note
    yield say("unknown_items", topic, text, mend)


def _items_of_events(look: Look) -> Iterator[str]:
    for topic in look.sources:
        for record in look.newest(topic):
            try:
                yield from (event.item_id for event in events_in(look, topic, record))
            except InvalidRecord:
                continue  # said by another check


# Some strangers are normal: items that were withdrawn, or are about to be named.
FEW_STRANGE, MOST_STRANGE = 0.1, 0.5
