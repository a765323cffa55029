"""What the encoder adds to a review that is folded already, and how it enters the profile.

The fast path has judged the review's words and refreshed the lists long before. A refinement names
its review by partition, offset and item; it changes that interaction alone, if it is remembered,
and nothing else: so it may come at any time after its review, twice, or never. The newest one of a
review wins. Knows neither the model nor topics.
"""

import msgspec

from stream_rec.profiles.history import Understood
from stream_rec.profiles.profile import Profile

REVIEWS = 1  # the topic's number in `Interaction.topic`


class Refinement(msgspec.Struct, frozen=True, kw_only=True):
    """What the words of one review say; `user_id` may be sealed on its way.

    `offset` is the review's in its partition, `text_version` that of the adapter which read it.
    """

    format: int = 1
    user_id: str
    item_id: str
    offset: int
    text_version: int
    sentiment: float
    understood: Understood


def refined(profile: Profile, refinement: Refinement) -> Profile | None:
    """Return the profile with a refinement in it; None where it changes nothing.

    >>> refined(
    ...     Profile("u"),
    ...     Refinement(user_id="u", item_id="i", offset=3, text_version=0, sentiment=0.5,
    ...                understood=Understood()),
    ... ) is None
    True
    """
    history = list(profile.history)
    for place, past in enumerate(history):
        named = (past.topic, past.offset, past.item_id)
        if named == (REVIEWS, refinement.offset, refinement.item_id):
            after = msgspec.structs.replace(
                past, sentiment=refinement.sentiment, understood=refinement.understood
            )
            if after == past:
                return None
            history[place] = after
            return msgspec.structs.replace(profile, history=tuple(history))
    return None
