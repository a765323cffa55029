"""Where every re-ranker starts: the usual size of each feature, and weights that rank sanely.

`start_weights.json` beside this file holds what was pretrained on several streams, by the names of
features. A feature that it does not name starts with the scale and the straight weight given here.
"""

import json
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rec.ranking.features import Feature

HIDDEN = 32

# centre, scale, weight of the linear path
_UNTRAINED: dict[Feature, tuple[float, float, float]] = {
    Feature.LIKE_OTHER: (0.0, 0.3, 0.4),
    Feature.LIKE_TOWER: (0.0, 0.3, 0.4),
    Feature.TOWER_LAST: (0.0, 0.3, 0.2),
    Feature.TOWER_MOST: (0.0, 0.3, 0.3),
    Feature.TOWER_GAP: (0.0, 0.3, 0.0),
}


def _read() -> dict[str, Any]:
    written = resources.files("stream_rec.ranking").joinpath("start_weights.json").read_text()
    read: dict[str, Any] = json.loads(written)
    return read


def _scales(read: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the centre and one over the scale of every feature."""
    centre, scale = np.zeros(len(Feature), np.float32), np.ones(len(Feature), np.float32)
    for feature, (middle, size, _) in _UNTRAINED.items():
        centre[feature], scale[feature] = middle, size
    for name, middle, size in zip(read["features"], read["centre"], read["scale"], strict=True):
        centre[Feature[name]], scale[Feature[name]] = middle, size
    return centre, (1.0 / scale).astype(np.float32)


def _weights(read: dict[str, Any]) -> NDArray[np.float32]:
    """Return the flat parameters: hidden (2 * features, HIDDEN), bias, output, linear path."""
    trained, inputs = len(read["features"]), 2 * len(Feature)
    hidden, linear = np.zeros((inputs, HIDDEN)), np.zeros(inputs)
    for feature, (_, _, weight) in _UNTRAINED.items():
        linear[feature] = weight
    for place, name in enumerate(read["features"]):
        for own, theirs in (
            (Feature[name], place),
            (Feature[name] + len(Feature), place + trained),
        ):
            hidden[own], linear[own] = read["hidden"][theirs], read["linear"][theirs]
    flat = np.concatenate((hidden.ravel(), read["bias"], read["output"], linear))
    return flat.astype(np.float32)


_START = _read()
CENTRE, SCALE = _scales(_START)
_FLAT = _weights(_START)


def start_weights() -> NDArray[np.float32]:
    """Return the flat parameters of a re-ranker that has learned nothing yet."""
    return _FLAT.copy()
