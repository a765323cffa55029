"""Forgetting a user: what a request says, what is left after it, and the mark that stays.

A request forgets everything that happened up to its time. What the user did later stays, because
requests are often carried out hours after they were made, and because the result must not depend
on which of two topics was read first. The mark has no user id in it; who keeps it under which key
is known to `consumers/recommending/erasures.py`.
"""

from dataclasses import dataclass

import msgspec

from stream_rec import record_fields as fields
from stream_rec.errors import InvalidRecord
from stream_rec.events import DAY_MS, NEGATIVE
from stream_rec.item_hash import item_hash
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """A request: events of the user up to `timestamp`, in epoch milliseconds, have no effect."""

    user_id: str
    timestamp: int


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a user: events up to `timestamp` have no effect, lists go on above `version`.

    `version` is at least that of the user's newest list, rounded up, so that it tells little.
    """

    timestamp: int
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What a request did: the mark, the scenarios whose lists go, and what is newer, if anything.

    `events` counts the distinct events that were known before.
    """

    marker: Marker
    scenarios: tuple[str, ...] = ()
    profile: Profile | None = None
    events: int = 0


def parse_erasure(
    value: bytes | None, *, key: bytes | None, append_ms: int | None = None
) -> Erasure:
    """Read one record of the erasures topic; its key must be the user's id.

    Raises:
        InvalidRecord: with the field and the reason; also for a time more than a day ahead of the
            append time, which would silence the user until then.
    """
    record = fields.decode_object(value, unique=(b'"user_id"', b'"timestamp"'))
    user_id = fields.identifier(record, "user_id")
    if user_id == "*":
        msg = "user_id must not be '*'"
        raise InvalidRecord(msg, stage="validate")
    if "timestamp" not in record:
        msg = "timestamp is required"
        raise InvalidRecord(msg, stage="validate")
    timestamp = fields.milliseconds(record["timestamp"])
    if key != user_id.encode():
        msg = "the record's key is not its user_id"
        raise InvalidRecord(msg, stage="key")
    if append_ms is not None and timestamp > append_ms + DAY_MS:
        msg = "timestamp is more than a day ahead of the append time"
        raise InvalidRecord(msg, stage="validate")
    return Erasure(user_id=user_id, timestamp=timestamp)


def erase(profile: Profile | None, marker: Marker | None, erasure: Erasure) -> Erased | None:
    """Return what a request does to a user; None if an earlier one did as much already.

    Args:
        profile: What is known of the user.
        marker: Left by an earlier request.
        erasure: The request.
    """
    if marker is not None and erasure.timestamp <= marker.timestamp:
        return None
    versions = [marker.version] if marker else []
    if profile is not None:
        versions += [profile.version_floor, *(made.version for made in profile.lists.values())]
    highest = max(versions, default=0)
    after = Marker(timestamp=erasure.timestamp, version=-(-highest // ROUNDED_TO) * ROUNDED_TO)
    if profile is None:
        return Erased(marker=after)
    return Erased(
        marker=after,
        scenarios=tuple(profile.lists),
        profile=_newer(profile, after),
        events=profile.events_applied,
    )


def merged(first: Erased, second: Erased) -> Erased:
    """Return what two requests of one user, the second one later, come to together."""
    return Erased(
        marker=second.marker,
        scenarios=tuple(dict.fromkeys((*first.scenarios, *second.scenarios))),
        profile=second.profile,
        events=max(first.events, second.events),
    )


def new_profile(user_id: str, marker: Marker | None) -> Profile:
    """Return the empty profile of a user, who may have been forgotten before."""
    if marker is None:
        return Profile(user_id)
    return Profile(user_id, erased_ms=marker.timestamp, version_floor=marker.version)


def _newer(profile: Profile, marker: Marker) -> Profile | None:
    """Fold what the history holds beyond the mark into an empty profile; None if it holds nothing.

    The history has the newest interactions, so nothing newer is missing but impressions, which are
    not remembered one by one. The dedupe window stays: hashes of event ids do not tell their time.
    """
    history = tuple(past for past in profile.history if past.timestamp > marker.timestamp)
    if not history:
        return None
    empty = new_profile(profile.user_id, marker)
    consumed, disliked = empty.consumed, empty.disliked
    for past in history:
        if past.consuming:
            consumed = consumed.added(item_hash(past.item_id))
        elif past.event_type in _REFUSING:
            disliked = disliked.added(item_hash(past.item_id))
    ratings = _thousandths([past.rating for past in history])
    sentiments = _thousandths([past.sentiment for past in history])
    return msgspec.structs.replace(
        empty,
        history=history,
        consumed=consumed,
        disliked=disliked,
        recent=profile.recent,
        events_applied=len(history),
        rating_count=len(ratings),
        rating_milli=sum(ratings),
        sentiment_count=len(sentiments),
        sentiment_milli=sum(sentiments),
        newest_ms=history[-1].timestamp,
        since_ms=history[0].timestamp,
    )


def scenarios_of(history: tuple[Interaction, ...]) -> dict[str, None]:
    """Return the scenarios of some interactions, oldest first."""
    return dict.fromkeys(past.scenario for past in history)


def _thousandths(values: list[float | None]) -> list[int]:
    return [round(value * 1000) for value in values if value is not None]


# A mark tells no more of how many lists a user had than which thousand their number lies in.
ROUNDED_TO = 1024
_REFUSING = NEGATIVE - {"skip"}
