from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from consumers.encoding.review_vectors import ReviewVectors
from consumers.encoding.waiting import Waiting
from consumers.kafka_io.wire import encode_vector, vector_key
from stream_rec.items import text_hash

MODEL = "m1"


def item(item_id: str, title: str | None) -> Any:
    value = None if title is None else f'{{"item_id": "{item_id}", "title": "{title}"}}'.encode()
    return SimpleNamespace(key=item_id.encode(), value=value, offset=0)


def vector(item_id: str, text: str, *, model: str = MODEL, version: int = 0) -> Any:
    value = encode_vector(model, text_hash(text), np.ones(4, np.float32))
    return SimpleNamespace(key=vector_key(version, item_id), value=value, offset=0)


@pytest.fixture
def waiting() -> Waiting:
    return Waiting(MODEL, ReviewVectors(4))


def test_item_with_a_vector_of_its_text_does_not_wait(waiting: Waiting) -> None:
    waiting.take_vector(vector("a", "Fan"), 0)
    waiting.take_item(item("a", "Fan"))
    waiting.take_item(item("b", "Lamp"))
    waiting.take_vector(vector("b", "Lamp"), 0)
    assert len(waiting) == 0


def test_changed_text_waits_again(waiting: Waiting) -> None:
    waiting.take_item(item("a", "Fan"))
    assert waiting.next_batch(9) == {"a": "Fan"}
    waiting.take_item(item("a", "Fan"))
    assert waiting.next_batch(9) == {}
    waiting.take_item(item("a", "Quiet fan"))
    assert waiting.next_batch(9) == {"a": "Quiet fan"}


@pytest.mark.parametrize("other", [{"model": "m2"}, {"version": 1}])
def test_vector_of_another_model_or_adapter_is_no_vector(
    waiting: Waiting, other: dict[str, Any]
) -> None:
    waiting.take_vector(vector("a", "Fan", **other), 0)
    waiting.take_item(item("a", "Fan"))
    assert len(waiting) == 1


def test_vector_of_an_older_text_does_not_end_the_wait(waiting: Waiting) -> None:
    waiting.take_item(item("a", "Quiet fan"))
    waiting.take_vector(vector("a", "Fan"), 0)
    assert waiting.next_batch(9) == {"a": "Quiet fan"}


def test_new_item_is_not_kept_waiting_by_the_backlog(waiting: Waiting) -> None:
    for number in range(100):
        waiting.take_item(item(f"old{number}", "Old"))
    waiting.live = True
    waiting.take_item(item("new", "New"))
    assert waiting.next_batch(64) == {"new": "New"}
    assert len(waiting.next_batch(64)) == 64


def test_withdrawn_item_gives_its_vector_back(waiting: Waiting) -> None:
    waiting.take_item(item("a", "Fan"))
    assert not waiting.take_item(item("a", None)), "it has none yet"
    assert len(waiting) == 0
    waiting.take_vector(vector("a", "Fan"), 0)
    assert waiting.take_item(item("a", None))
    waiting.take_item(item("a", "Fan"))
    assert len(waiting) == 1


def test_item_without_text_is_answered_too(waiting: Waiting) -> None:
    bare = SimpleNamespace(key=b"a", value=b'{"item_id": "a"}', offset=0)
    waiting.take_item(bare)
    assert waiting.next_batch(9) == {"a": ""}
    waiting.take_item(bare)
    assert len(waiting) == 0


def test_record_that_is_no_item_is_left_to_the_dead_letters(waiting: Waiting) -> None:
    assert not waiting.take_item(SimpleNamespace(key=b"a", value=b"{", offset=0))
    assert not waiting.take_item(SimpleNamespace(key=None, value=b"{", offset=0))
    waiting.take_vector(SimpleNamespace(key=b"?", value=b"", offset=0), 0)
    waiting.take_vector(SimpleNamespace(key=b"0/a", value=b"\x00torn", offset=0), 0)
    assert len(waiting) == 0
