"""Encodes as a checkpoint serves, by the shortest way: what the product must agree with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.checkpoint import Checkpoint
from stream_rec.language_model.adapter import merge_adapter
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.stored_adapter import served_adapter
from stream_rec.language_model.tower_training import tower_of_arrays, tower_vectors


class ServingEncoder:
    """Encodes the texts of later items into the space of a checkpoint."""

    def __init__(self, backbone: Backbone, checkpoint: Checkpoint) -> None:
        """Merge the adapter; the backbone itself stays as it is.

        Raises:
            CheckpointRejected: the adapter does not fit the backbone.
        """
        self.backbone = merge_adapter(backbone, served_adapter(checkpoint))
        self.tower = tower_of_arrays(checkpoint.tower) if checkpoint.tower else None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors ``(texts, dimension)``; zero for a text without words."""
        text = encode(self.backbone, texts)
        if self.tower is None:
            return text
        vectors = tower_vectors(self.tower, text, residuals=False)
        vectors[~text.any(axis=1)] = 0.0
        return vectors
