"""What a remembered interaction is worth under a policy: a signed weight, and its fading with time.

Read from a profile each time, so a new policy counts at once for all of a user's past.
"""

import numpy as np

from stream_rec.events import DAY_MS
from stream_rec.policy import ProfilePolicy, Signals
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile

RATING_SHARE = 0.7


def weight(interaction: Interaction, signals: Signals) -> float:
    """Return the signed weight of one interaction.

    A rating scales the weight of its type by its distance from neutral, two steps being all of it;
    the sentiment of the text, in [-1, 1], has the smaller say, and the only one without a rating.

    >>> low = Interaction(0, 1, 0, "i", "review", "default", 1.0, None)
    >>> weight(low, Signals())
    -1.0
    """
    worth = signals.weight(interaction.event_type)
    opinion = opinion_of(interaction, signals)
    return worth if opinion is None else abs(worth) * opinion


def opinion_of(interaction: Interaction, signals: Signals) -> float | None:
    """Return how much the user liked the item, in [-1, 1], or None where nothing says so."""
    sentiment = interaction.sentiment if signals.review_text else None
    if interaction.rating is None:
        return sentiment
    rated = rated_by(interaction.rating, signals)
    return rated if sentiment is None else RATING_SHARE * rated + (1.0 - RATING_SHARE) * sentiment


def rated_by(rating: float, signals: Signals) -> float:
    """Return what a rating says, in [-1, 1]: two steps from neutral are all of it."""
    return max(-1.0, min(1.0, (rating - signals.rating_neutral) / 2.0))


def is_negative(interaction: Interaction, signals: Signals) -> bool:
    """Whether the user did not want the item: refused it, or spoke badly of it."""
    return weight(interaction, signals) < 0.0


def weights(
    profile: Profile, signals: Signals, reading: ProfilePolicy, *, now_ms: int
) -> np.ndarray:
    """Return faded signed weights of the newest interactions, newest first, (half-lives, n).

    Row h halves a weight every `half_life_events[h]` interactions and, in all rows, every
    `half_life_days` of event time.
    """
    newest = profile.history[: -reading.history - 1 : -1]
    signed = np.fromiter((weight(past, signals) for past in newest), np.float64, len(newest))
    ages = np.fromiter(
        (max(0, now_ms - past.timestamp) for past in newest), np.float64, len(newest)
    )
    steps = np.arange(len(newest)) / np.array(reading.half_life_events)[:, None]
    faded: np.ndarray = signed * np.exp2(-steps - ages / DAY_MS / reading.half_life_days)
    return faded.astype(np.float32)
