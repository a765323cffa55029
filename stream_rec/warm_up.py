"""Compile every kernel once, so that the first list of a process does not wait for a compiler.

Compiled code is kept beside the sources; `make setup` runs this module, a worker calls `warm_up`
before it is ready. A toy shop goes through the whole path, so nothing has to be listed here.
"""

import sys

import numpy as np

from stream_rec.catalogue.neighbours import Neighbours
from stream_rec.events import Event
from stream_rec.items import Item
from stream_rec.policy import Exclude, ListPolicy, Policy
from stream_rec.profiles.profile import Profile, fold
from stream_rec.ranking.rank import rank
from stream_rec.ranking.scoring import Example, Request, learn
from stream_rec.replica import Replica
from stream_rec.statistics.facts import FactsBuilder
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics


def warm_up() -> None:
    """Send a toy shop's events through statistics, re-ranker, rules, diversity and reasons."""
    replica, facts, profile = _shop(), FactsBuilder(), Profile(user_id="u")
    for offset in range(_EVENTS):
        event = Event(
            event_id=f"e{offset}",
            event_type="dislike" if offset == _EVENTS // 2 else "click",
            user_id="u",
            item_id=f"i{offset % _ITEMS}",
            timestamp=offset + 1,
        )
        folded = fold(profile, event, topic=0, offset=offset)
        if event.consuming:
            facts.count(event.item_id, event.timestamp, None, offset == 0)
        facts.link(folded.links)
        profile = folded.profile
    replica.statistics.fold(facts.build("warm-up"))
    again = Policy(
        toplist=ListPolicy(diversity=0.5, exploration=0.5, exclude=Exclude(consumed=False))
    )
    requests = [
        Request(profile=who, scenario="default", policy=policy)
        for who in (profile, None)
        for policy in (Policy(), again)
    ]
    rank(replica, requests, now_ms=_EVENTS, rng=np.random.default_rng(0))
    example = Example(
        profile=profile, scenario="default", policy=again, item_id="i1", timestamp=_EVENTS
    )
    learn(replica, [example], now_ms=_EVENTS)
    Statistics.from_bytes(replica.statistics.to_bytes(), ItemIndex())
    Neighbours().follow(replica.vectors["text"], most=1)


def _shop() -> Replica:
    replica, generator = Replica(), np.random.default_rng(0)
    for row in range(_ITEMS):
        item = Item(item_id=f"i{row}", title=f"Toy {row}", categories=(f"c{row % 5}",), price=1.0)
        replica.put_item(item)
        replica.put_text_vector(item.item_id, 0, generator.normal(size=8).astype(np.float32))
    return replica


_ITEMS = 40
_EVENTS = 300

if __name__ == "__main__":
    warm_up()
    sys.stdout.write("compiled\n")
