"""Join what users took to the list they had been shown, and notice when lists stop fitting.

Each taken item gives one paired difference: whether the user's list had it, less whether a plain
list of what many took lately would have. What makes all lists better or worse at once cancels; a
lasting fall asks for a new adapter. Knows no models and writes no topic.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict, deque
from typing import Any, Literal

import msgspec

from consumers.kafka_io.wire import TORN
from stream_rec.events import Event
from stream_rec.language_model.drift import DriftWatch
from stream_rec.toplist import DEFAULT_USER

Outcome = Literal["in the list", "not in the list", "no list"]


class _Entry(msgspec.Struct, frozen=True):
    item_id: str


class _List(msgspec.Struct, frozen=True):
    """What is read of a published list; the rest is passed over."""

    generated_at: int
    items: tuple[_Entry, ...]


class _Recent:
    """The items most taken lately, of one scenario: the reference."""

    def __init__(self) -> None:
        self._taken: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        self._top: frozenset[str] = frozenset()
        self._stale = 0

    def has(self, item_id: str, size: int) -> bool:
        if self._stale <= 0:
            self._top = frozenset(item for item, _ in self._counts.most_common(size))
            self._stale = RECOUNTED_EVERY
        return item_id in self._top

    def take(self, item_id: str) -> None:
        self._stale -= 1
        self._taken.append(item_id)
        self._counts[item_id] += 1
        if len(self._taken) > REFERENCE_EVENTS:
            oldest = self._taken.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]


class Shown:
    """The newest lists of recent users, and a watch for each scenario; bounded."""

    def __init__(self) -> None:
        # The two newest lists: an event may be read after the list that was made of it.
        self._lists: OrderedDict[tuple[str, str], tuple[_List, ...]] = OrderedDict()
        self._recent: dict[str, _Recent] = {}
        self._watches: dict[str, DriftWatch] = {}

    def take_list(self, record: Any) -> None:
        """Note a published list; its key is `<scenario>/<user>`."""
        scenario, _, user_id = (record.key or b"").decode("utf-8", "replace").partition("/")
        if record.value is None:
            self._lists.pop((scenario, user_id), None)
            return
        try:
            made = _decoder.decode(record.value)
        except TORN:
            return
        before = self._lists.pop((scenario, user_id), ())
        self._lists[scenario, user_id] = (*before[-1:], made)
        while len(self._lists) > MOST_LISTS:
            self._lists.popitem(last=False)

    def take_event(self, event: Event, appended_ms: int) -> tuple[Outcome, bool]:
        """Join one event of an item taken; say how that went, and whether lists have got worse."""
        recent = self._recent.get(event.scenario)
        if recent is None:
            if len(self._recent) >= MOST_SCENARIOS:
                return "no list", False
            recent = self._recent[event.scenario] = _Recent()
            self._watches[event.scenario] = DriftWatch()
        own, everybody = (event.scenario, event.user_id), (event.scenario, DEFAULT_USER)
        lists = self._lists.get(own) or self._lists.get(everybody, ())
        made = next((x for x in reversed(lists) if x.generated_at < appended_ms), None)
        if made is None:
            recent.take(event.item_id)
            return "no list", False
        hit = any(entry.item_id == event.item_id for entry in made.items)
        reference = recent.has(event.item_id, len(made.items))
        recent.take(event.item_id)
        fell = self._watches[event.scenario].update(float(hit) - float(reference)) == "fall"
        if fell:
            LOG.info("%s: lists fit what users take less than before", event.scenario)
        return ("in the list" if hit else "not in the list"), fell


LOG = logging.getLogger(__name__)
MOST_LISTS = 50_000
MOST_SCENARIOS = 32
REFERENCE_EVENTS = 2_000
RECOUNTED_EVERY = 50
_decoder = msgspec.json.Decoder(_List)
