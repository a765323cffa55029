import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from consumers.encoding.vocabulary import Vocabulary, nearest_labels
from stream_rec.policy import Policy, policy_of


def item(item_id: str, *tags: str) -> Any:
    value = json.dumps({"item_id": item_id, "tags": tags}).encode()
    return SimpleNamespace(key=item_id.encode(), value=value)


def test_labels_that_tell_items_apart_are_the_catalogues_vocabulary() -> None:
    vocabulary = Vocabulary()
    for number in range(6):
        own = "Puzzle" if number < 2 else "Racing"
        vocabulary.take_item(item(f"i{number}", "Game", own, f"only-{number}"))
    assert vocabulary.labels(Policy()) == ("Puzzle",), "Racing and Game are on most, others on one"
    vocabulary.take_item(item("i5", "Puzzle"))
    vocabulary.take_item(SimpleNamespace(key=b"i4", value=None))
    assert vocabulary.labels(Policy()) == ("Racing",), "2 of 5 have it now"
    vocabulary.take_item(SimpleNamespace(key=b"i0", value=b"{"))
    assert vocabulary.labels(policy_of({"signals": {"topics": ["b", "a"]}})) == ("b", "a")


def test_vectors_are_made_once_for_each_way_of_reading() -> None:
    vocabulary, asked = Vocabulary(), []

    def encoded(texts: Any) -> Any:
        asked.append(tuple(texts))
        return np.eye(len(texts), dtype=np.float32)

    for version in (0, 0, 3):
        vectors = vocabulary.vectors(("a", "b", "c"), version, encoded)
    assert asked == [("a", "b", "c")] * 2
    assert np.allclose(vectors.sum(0), 0.0, atol=1e-6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)


def test_only_near_labels_are_given_and_at_most_three() -> None:
    vectors = np.eye(5, dtype=np.float32)
    text = np.array([0.6, 0.5, 0.45, 0.41, 0.1], np.float32)
    assert nearest_labels(text, "abcde", vectors) == ("a", "b", "c")
    assert nearest_labels(text / 2, "abcde", vectors) == ()
