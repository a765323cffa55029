"""Where every re-ranker starts: the usual size of each feature, and weights that rank sanely.

Written by the name of the feature, so that a feature may be added without touching the others.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rec.ranking.features import Feature

HIDDEN = 32
F = Feature

# centre, scale, weight, and weight added for a user without history
_START: dict[Feature, tuple[float, float, float, float]] = {
    F.POPULAR_100: (-2.4, 1.9, 0.15, 0.1),
    F.POPULAR_500: (-1.4, 2.0, 0.2, 0.3),
    F.POPULAR_2000: (-0.6, 2.0, 0.3, 0.5),
    F.POPULAR_16000: (0.0, 2.0, 0.1, 0.2),
    F.NEWCOMERS: (-2.0, 2.0, 0.0, 0.5),
    F.LINKED: (-6.5, 2.3, 1.0, 0.0),
    F.LINKED_WIDE: (-5.8, 2.3, 0.4, 0.0),
    F.FOLLOWING: (-6.3, 1.3, 0.2, 0.0),
    F.LIKE_NEAR: (0.25, 0.2, 0.8, 0.0),
    F.LIKE_LAST: (0.2, 0.2, 0.2, 0.0),
    F.LIKE_WIDE: (0.22, 0.2, 0.2, 0.0),
    F.LIKE_OTHER: (0.0, 0.3, 0.3, 0.0),
    F.COUNT: (2.0, 1.8, 0.0, 0.1),
    F.NEVER_SEEN: (0.2, 0.4, 0.0, 0.0),
    F.RARELY_SEEN: (0.45, 0.5, 0.0, 0.0),
    F.SINCE: (6.5, 3.0, -0.1, -0.1),
    F.OWN_COUNT: (0.05, 0.25, 0.3, 0.0),
    F.OWN_RECENCY: (0.02, 0.12, 0.3, 0.0),
    F.LABELS: (0.4, 0.6, 0.2, 0.0),
    F.PRICE_GAP: (0.4, 0.7, -0.05, 0.0),
    F.RATING: (0.0, 0.5, 0.05, 0.05),
    F.HISTORY: (1.2, 1.1, 0.0, 0.0),
    F.HISTORY_NONE: (0.3, 0.45, 0.0, 0.0),
    F.HISTORY_SHORT: (0.3, 0.45, 0.0, 0.0),
    F.HISTORY_MIDDLE: (0.3, 0.45, 0.0, 0.0),
    F.HISTORY_LONG: (0.2, 0.4, 0.0, 0.0),
}

CENTRE: NDArray[np.float32] = np.array([_START[feature][0] for feature in F], np.float32)
SCALE: NDArray[np.float32] = np.array([1.0 / _START[feature][1] for feature in F], np.float32)


def start_weights() -> NDArray[np.float32]:
    """Return the flat parameters of a re-ranker that has learned nothing yet."""
    inputs = 2 * len(F)
    generator = np.random.default_rng(0)
    hidden = generator.normal(0.0, 0.15, (inputs, HIDDEN))
    output = np.zeros(HIDDEN)
    linear = [_START[feature][2] for feature in F] + [_START[feature][3] for feature in F]
    flat = np.concatenate((hidden.ravel(), np.zeros(HIDDEN), output, np.array(linear)))
    return flat.astype(np.float32)
