"""What the model reads of each item, and the vectors of those texts that the encoder has made.

Both are folds of compacted topics, `items` and `internal.vectors`. A round takes from here what is
encoded already, so that a tower costs no encoding at all. Knows no users and no models but by name.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumers.kafka_io.wire import StoredVector, decode_vector, split_vector_key
from stream_rec.adapters.checkpoint import Checkpoint
from stream_rec.errors import InvalidRecord, StateRejected
from stream_rec.items import item_text, parse_item, text_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The catalogue as it is at one moment, one row an item."""

    item_ids: list[str]
    texts: list[str]
    hashes: NDArray[np.uint64]  # (items,)
    stored: list[StoredVector | None]  # of the text version that was asked for


class ItemTexts:
    """Texts by item, and their vectors by text version and item."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, int]] = {}
        self._vectors: dict[int, dict[str, StoredVector]] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def take_item(self, record: Any) -> None:
        """Apply one record of the catalogue; one that is refused changes nothing."""
        item_id = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._texts.pop(item_id, None)
            return
        try:
            text = item_text(parse_item(record.value, key=record.key))
        except InvalidRecord:  # the recommender sends it to the dead letters
            return
        self._texts[item_id] = (text, text_hash(text))

    def take_vector(self, record: Any) -> None:
        """Apply one record of the vectors, of whatever version."""
        try:
            version, item_id = split_vector_key(record.key or b"")
            of_version = self._vectors.setdefault(version, {})
            if record.value is None:
                of_version.pop(item_id, None)
                if not of_version:
                    del self._vectors[version]
            else:
                of_version[item_id] = decode_vector(record.value)
        except StateRejected as error:
            LOG.warning("vector at offset %d is skipped: %s", record.offset, error)

    def now(self, version: int) -> Texts:
        """Return the catalogue with the vectors that are known under a text version."""
        of_version = self._vectors.get(version, {})
        item_ids = list(self._texts)
        return Texts(
            item_ids=item_ids,
            texts=[self._texts[item_id][0] for item_id in item_ids],
            hashes=np.array([self._texts[item_id][1] for item_id in item_ids], np.uint64),
            stored=[of_version.get(item_id) for item_id in item_ids],
        )


def known_vectors(
    texts: Texts, bundle: Checkpoint | None, model: str, dimension: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return text vectors (items, dimension) and which of them are known.

    They come from a bundle whose adapter made them, then from what the encoder wrote since; only of
    the same text and the same model. An empty text needs none.
    """
    vectors = np.zeros((len(texts.item_ids), dimension), np.float32)
    known = np.array([not text.strip() for text in texts.texts], np.bool_)
    if bundle is not None:
        rows = {item_id: row for row, item_id in enumerate(bundle.item_ids)}
        at = np.array([rows.get(item_id, -1) for item_id in texts.item_ids], np.int64)
        same = at >= 0
        same[same] = bundle.text_hash[at[same]] == texts.hashes[same]
        vectors[same] = bundle.text[at[same]]
        known |= same
    for row, stored in enumerate(texts.stored):
        if stored is None or stored.model != model or stored.text_hash != texts.hashes[row]:
            continue
        if (values := stored.values) is not None and len(values) == dimension:
            vectors[row] = values
        known[row] = True
    return vectors, known


def subset(texts: Texts, chosen: Sequence[int] | NDArray[np.int64]) -> Texts:
    """Return some rows of a catalogue."""
    return Texts(
        item_ids=[texts.item_ids[int(row)] for row in chosen],
        texts=[texts.texts[int(row)] for row in chosen],
        hashes=texts.hashes[np.asarray(chosen, np.int64)],
        stored=[texts.stored[int(row)] for row in chosen],
    )


LOG = logging.getLogger(__name__)
