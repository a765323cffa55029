"""Puts the poison corpus among good events: one bad record after every 99 good ones."""

import itertools
from collections.abc import Sequence
from random import Random

from stream_rec.errors import InvalidRecord
from stream_rec.events import parse_event
from tests.guarantees.traffic import Sent
from tests.poison import poisoned

POISONED_USER = "poisoned"
EVENT = {
    "event_id": "p",
    "event_type": "click",
    "user_id": POISONED_USER,
    "item_id": "i1",
    "timestamp": 1_700_000_000_000,
    "rating": 3,
    "scenario": "default",
}


def poison_among(sent: Sequence[Sent], *, longest: int) -> list[Sent]:
    """Return good records with poisoned ones of at most `longest` bytes, over both topics."""
    short = [body for body in poisoned(EVENT).values() if len(body or b"") <= longest]
    bad = [body for body in short if _refused(body)]
    Random(7).shuffle(bad)
    bodies = itertools.cycle(bad)
    mixed: list[Sent] = []
    for number, record in enumerate(sent):
        mixed.append(record)
        if number % 99 == 98:
            mixed.append(Sent(number // 99 % 2, POISONED_USER, next(bodies)))
    return mixed


def _refused(value: bytes | None) -> bool:
    """Say whether the engine must refuse a body as an event of the poisoned user."""
    try:
        key = POISONED_USER.encode()
        parse_event(value, key=key, kind="click", source="s", append_ms=2_000_000_000_000)
    except InvalidRecord:
        return True
    return False
