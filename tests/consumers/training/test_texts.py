"""What is encoded already is not encoded again, and only what is of the same text and model."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from consumers.kafka_io.wire import encode_vector, vector_key
from consumers.training.texts import ItemTexts, known_vectors, subset
from stream_rec.adapters.checkpoint import FORMAT, Checkpoint, Manifest
from stream_rec.items import text_hash


def item(item_id: str, title: str | None) -> Any:
    body = None if title is None else json.dumps({"item_id": item_id, "title": title}).encode()
    return SimpleNamespace(key=item_id.encode(), value=body, offset=0)


def vector(item_id: str, text: str, value: float, *, version: int = 0, model: str = "m") -> Any:
    stored = encode_vector(model, text_hash(text), np.full(4, value, np.float32))
    return SimpleNamespace(key=vector_key(version, item_id), value=stored, offset=0)


@pytest.fixture
def shelf() -> ItemTexts:
    texts = ItemTexts()
    for item_id, title in (("a", "Fan"), ("b", "Lamp"), ("c", ""), ("d", "Desk")):
        texts.take_item(item(item_id, title))
    return texts


def bundle(items: dict[str, str]) -> Checkpoint:
    manifest = Manifest(
        format=FORMAT, scenario="default", version=3, text_version=3, base_model="m",
        base_model_hash="h", dimension=4, items=len(items), offsets={}, metrics={}, policy={},
        code_version="0", created_at=1,
    )  # fmt: skip
    return Checkpoint(
        manifest=manifest,
        item_ids=tuple(items),
        vectors=np.zeros((len(items), 4), np.float16),
        text=np.full((len(items), 4), 0.5, np.float16),
        text_hash=np.array([text_hash(text) for text in items.values()], np.uint64),
    )


def test_vectors_come_from_the_encoder_where_they_fit(shelf: ItemTexts) -> None:
    shelf.take_vector(vector("a", "Fan", 1.0))
    shelf.take_vector(vector("b", "Old lamp", 2.0))
    shelf.take_vector(vector("d", "Desk", 3.0, model="other"))
    vectors, known = known_vectors(shelf.now(0), None, "m", 4)
    assert known.tolist() == [True, False, True, False], "an empty text needs no vector"
    assert vectors[0].tolist() == [1.0] * 4
    assert not vectors[1:].any()


def test_vectors_of_another_version_are_not_mixed_in(shelf: ItemTexts) -> None:
    shelf.take_vector(vector("a", "Fan", 1.0, version=3))
    assert known_vectors(shelf.now(0), None, "m", 4)[1].tolist() == [False, False, True, False]
    vectors, known = known_vectors(shelf.now(3), bundle({"b": "Lamp", "d": "Old"}), "m", 4)
    assert known.tolist() == [True, True, True, False]
    assert vectors[1].tolist() == [0.5] * 4


def test_withdrawn_items_and_vectors_are_gone(shelf: ItemTexts) -> None:
    shelf.take_vector(vector("a", "Fan", 1.0))
    gone = vector("a", "Fan", 1.0)
    gone.value = None
    shelf.take_vector(gone)
    shelf.take_item(item("b", None))
    texts = shelf.now(0)
    assert texts.item_ids == ["a", "c", "d"]
    assert texts.stored == [None, None, None]


def test_part_of_a_catalogue_keeps_its_rows_together(shelf: ItemTexts) -> None:
    part = subset(shelf.now(0), [3, 0])
    assert part.item_ids == ["d", "a"]
    assert part.hashes.tolist() == [text_hash("Desk"), text_hash("Fan")]
