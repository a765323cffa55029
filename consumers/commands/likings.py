"""What a user likes and shuns, by catalogue and reviews: part of every explanation."""

from collections.abc import Mapping

import msgspec

from stream_rec.items import Item
from stream_rec.policy import Policy
from stream_rec.profiles.interests import interests
from stream_rec.profiles.profile import Profile


class Liking(msgspec.Struct, frozen=True, kw_only=True):
    """A category, tag or brand that a user likes, or shuns where the strength is below 0.

    Or a `topic` or an `aspect` that the language model has found in the user's reviews.
    """

    kind: str
    label: str
    strength: float


def likings(profile: Profile | None, items: Mapping[str, Item], policy: Policy) -> list[Liking]:
    """Return the strongest likings, faded as at the user's newest event.

    `items` are those of the user's past; one that is not among them says nothing.
    """
    if profile is None:
        return []
    found = interests(profile, items.get, policy, now_ms=profile.newest_ms)
    return [
        Liking(kind=kind, label=label, strength=round(strength, 3))
        for (kind, label), strength in list(found.items())[:MOST]
        if abs(strength) >= LEAST
    ]


MOST, LEAST = 8, 0.01
