"""A user's profile, and the fold of one event into it.

The fold commutes: a profile depends on which events were applied, not on the order in which two
topics delivered them. So history is ordered by (timestamp, topic, offset) and sums are integers.
The exceptions are named: the dedupe window and `last_event_id` follow the order of arrival, and so
does which events count for others of a user who is faster than anybody reads, or who comes back to
items after more than `HISTORY` events. Whether an event is a newcomer's is what the shop said when
it came; it stays with the event, so that what was linked then can be taken back exactly.

What one user may say of items to everybody else is bounded here. An event is quiet, which means
that it neither counts nor links, when it speaks against its item, after `MOST_AN_HOUR` events in
one hour of event time, and on an item taken before once more happened than is remembered. Of one
item, the first, second and fourth of the others are counted, and it is linked to what came before
at most three times within `LINK_WINDOW` events, to each item once.
Knows no policy and no catalogue: what an event is worth is decided when a profile is read.
"""

from hashlib import blake2b

import msgspec

from stream_rec.events import NEGATIVE, Event
from stream_rec.item_hash import item_hash
from stream_rec.profiles.consumed import Consumed
from stream_rec.profiles.history import HISTORY, Interaction, LinkRow, inserted

DEDUPE_WINDOW = 128

# Earlier events on an item, of those remembered, with which one more is counted.
COUNTED = frozenset({0, 1, 3})
MOST_AN_HOUR = 240
HOUR_MS = 3_600_000


class Listing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The newest published list of one scenario; `owed`: events came that it does not show yet."""

    version: int
    generated_at: int
    owed: bool = False


class Profile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything remembered of one user; at most about 15 KB whatever the user does.

    `rating_milli` and `sentiment_milli` are sums in thousandths, `recent` the 64-bit hashes of the
    last event ids applied, oldest first, and `newest_ms` the newest event time. Of a user who was
    forgotten before, events up to `erased_ms` have no effect and lists go on above `version_floor`.
    `said` consuming events fell into `hour`, the newest one of event time, in hours of the epoch.
    `since_ms` is the oldest event time; 0 where the profile is older than this field.
    """

    user_id: str
    history: tuple[Interaction, ...] = ()
    consumed: Consumed = Consumed()
    disliked: Consumed = Consumed()
    recent: bytes = b""
    events_applied: int = 0
    rating_count: int = 0
    rating_milli: int = 0
    sentiment_count: int = 0
    sentiment_milli: int = 0
    newest_ms: int = 0
    last_event_id: str | None = None
    lists: dict[str, Listing] = {}
    erased_ms: int | None = None
    version_floor: int = 0
    hour: int = 0
    said: int = 0
    since_ms: int = 0

    @property
    def rating_mean(self) -> float | None:
        """Mean of the user's ratings."""
        return self.rating_milli / 1000 / self.rating_count if self.rating_count else None

    def tenure_ms(self, at_ms: int) -> int:
        """Return how long the user has been known at a time, by event times."""
        return max(at_ms - self.since_ms, 0) if self.events_applied else 0

    def times(self, item_id: str) -> int:
        """Return how often the user is remembered to have consumed an item."""
        return sum([past.item_id == item_id and past.consuming for past in self.history])

    def told(self, item_id: str) -> int:
        """Return how often the user is remembered to have said something of an item to others."""
        return sum([past.item_id == item_id and past.telling for past in self.history])

    def knows(self, event_id: str) -> bool:
        """Whether an event of this id is among the last 128 applied."""
        mark = _mark(event_id)
        place = self.recent.find(mark)
        while place >= 0 and place % _MARK:
            place = self.recent.find(mark, place + 1)
        return place >= 0


class Reading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was read out of a review's words, if it has any: sentiment in [-1, 1] and one phrase.

    `against`: its rating, or else its words, speak against the item.
    """

    sentiment: float | None = None
    phrase: str | None = None
    against: bool = False


NOTHING_READ = Reading()


class Folded(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A profile after an event, and what the event says about items.

    `counted`: the event counts for its item, beside the links.
    """

    profile: Profile
    links: list[LinkRow]
    counted: bool = False


def fold(
    profile: Profile,
    event: Event,
    *,
    topic: int,
    offset: int,
    reading: Reading = NOTHING_READ,
    newcomer: bool = False,
) -> Folded:
    """Return the profile with one more event, which must not be known to it already.

    Args:
        profile: The user's, or an empty one.
        event: What happened.
        topic: 0 for clicks, 1 for reviews; with the offset it orders events of one time.
        offset: The record's offset in its topic.
        reading: What its rating and its words say.
        newcomer: Whether the user counts as one at this event.
    """
    consuming, hashed, sentiment = event.consuming, item_hash(event.item_id), reading.sentiment
    hour = max(profile.hour, event.timestamp // HOUR_MS)
    said = profile.said if hour == profile.hour else 0
    consumed = profile.consumed.added(hashed) if consuming else profile.consumed
    # A set that grew did not hold the item; only one that did, or a filter, is worth a search.
    is_new = consuming and profile.consumed.grew_to(consumed, hashed)
    again = not is_new and profile.events_applied >= HISTORY
    quiet = consuming and (again or reading.against or said >= MOST_AN_HOUR)
    interaction = Interaction(
        event.timestamp, topic, offset, event.item_id, event.event_type, event.scenario,
        event.rating, reading.sentiment, reading.phrase, quiet, newcomer=newcomer,
    )  # fmt: skip
    counted = consuming and not quiet and (is_new or profile.told(event.item_id) in COUNTED)
    history = profile.history
    links: list[LinkRow] = []
    if event.event_type != "impression":
        history, links = inserted(history, interaction)
    after = Profile(
        user_id=profile.user_id,
        history=history,
        consumed=consumed,
        disliked=profile.disliked.added(hashed)
        if event.event_type in _REFUSING
        else profile.disliked,
        recent=(profile.recent + _mark(event.event_id))[-DEDUPE_WINDOW * _MARK :],
        events_applied=profile.events_applied + 1,
        rating_count=profile.rating_count + (event.rating is not None),
        rating_milli=profile.rating_milli + round((event.rating or 0.0) * 1000),
        sentiment_count=profile.sentiment_count + (sentiment is not None),
        sentiment_milli=profile.sentiment_milli + round((sentiment or 0.0) * 1000),
        newest_ms=max(profile.newest_ms, event.timestamp),
        last_event_id=event.event_id,
        lists=profile.lists,
        erased_ms=profile.erased_ms,
        version_floor=profile.version_floor,
        hour=hour,
        said=said + consuming,
        since_ms=min(profile.since_ms, event.timestamp)
        if profile.events_applied
        else event.timestamp,
    )
    return Folded(after, links, counted)


def _mark(event_id: str) -> bytes:
    return blake2b(event_id.encode(), digest_size=_MARK).digest()


_MARK = 8
_REFUSING = NEGATIVE - {"skip"}
