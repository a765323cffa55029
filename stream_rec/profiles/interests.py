"""A user's decayed interests: in categories, tags and brands, and in what reviews are about.

Interests are derived, not stored: what the catalogue learns about an item counts at once for
everybody who ever touched it, and a new policy for all of their past.
"""

from collections.abc import Callable

from stream_rec.items import Item
from stream_rec.policy import Policy
from stream_rec.profiles.history import Understood
from stream_rec.profiles.profile import Profile
from stream_rec.profiles.signals import weights

KINDS = ("category", "tag", "brand")


def interests(
    profile: Profile, item_of: Callable[[str], Item | None], policy: Policy, *, now_ms: int
) -> dict[tuple[str, str], float]:
    """Return the signed interest by (kind, label), strongest first, by the slowest half-life.

    An item's weight is shared among its labels of one kind, so an item with many tags says no more
    than one with few. Kind `topic` are the tags that the encoder gave to reviews, `aspect` what
    these praise or blame: an aspect has a sign of its own, whatever the review thinks of the item.
    """
    faded = weights(profile, policy.signals, policy.profile, now_ms=now_ms)[-1]
    found: dict[tuple[str, str], float] = {}
    for worth, past in zip(faded, reversed(profile.history), strict=False):
        understood = past.understood or Understood()
        for tag in understood.tags:
            share = float(worth) / len(understood.tags)
            found["topic", tag] = found.get(("topic", tag), 0.0) + share
        for aspect, strength in understood.aspects:
            said = abs(float(worth)) * strength
            found["aspect", aspect] = found.get(("aspect", aspect), 0.0) + said
        item = item_of(past.item_id)
        if item is None:
            continue
        for kind, labels in zip(KINDS, (item.categories, item.tags, (item.brand,)), strict=True):
            for label in labels:
                if label:
                    found[kind, label] = found.get((kind, label), 0.0) + float(worth) / len(labels)
    return dict(sorted(found.items(), key=lambda entry: -abs(entry[1])))
