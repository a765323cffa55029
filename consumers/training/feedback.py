"""From events to feedback that a model can learn from: what was taken, and how much it counts.

Weights, and how good a rating is, come from the policy in force when an event is read. An item that
the user took and did not like still tells of a need, so under `negative_review: alternatives` it
counts a little; otherwise it takes no part. Knows no topics and no buffers.
"""

from stream_rec.events import Event
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.policy import Signals
from stream_rec.profiles.signals import rated_by


def feedback_of(event: Event, signals: Signals) -> Feedback | None:
    """Return what an event teaches, None for one that was only seen or is worth nothing.

    >>> seen = Event(event_id="e", event_type="impression", user_id="u", item_id="i", timestamp=1)
    >>> feedback_of(seen, Signals()) is None
    True
    """
    weight = weight_of(event, signals)
    if weight == 0.0:
        return None
    return Feedback(
        user_id=event.user_id,
        item_id=event.item_id,
        timestamp=event.timestamp,
        weight=weight,
        rating=None if event.rating is None else (1.0 + rated_by(event.rating, signals)) / 2.0,
        text=event.words[:MOST_CHARACTERS] if signals.review_text else "",
    )


def weight_of(event: Event, signals: Signals) -> float:
    """Return how much an event counts: positive for what was taken, negative for what was refused.

    >>> bought = Event(event_id="e", event_type="purchase", user_id="u", item_id="i", timestamp=1)
    >>> weight_of(bought, Signals())
    3.0
    """
    worth = signals.weight(event.event_type)
    if event.rating is None or not event.consuming:
        return worth
    opinion = rated_by(event.rating, signals)
    if opinion < 0.0 and signals.negative_review == "avoid":
        return abs(worth) * opinion
    return abs(worth) * max(opinion, SHARE_OF_A_NEED)


MOST_CHARACTERS = 600
# What an item that was taken and not liked still counts, of the weight of its event's type.
SHARE_OF_A_NEED = 0.25
