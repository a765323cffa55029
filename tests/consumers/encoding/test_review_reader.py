import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kafka import TopicPartition
from numpy.typing import NDArray

from consumers.encoding.review_reader import MOST_WAITING, Eyes, ReviewReader, Written
from consumers.kafka_io.topics import REFINED_WITHIN_MS
from consumers.kafka_io.wire import AcceptedPolicy, decode_refinement, encode_accepted_policy
from stream_rec.profiles.aspects import ASPECTS
from stream_rec.profiles.refinement import Refinement
from stream_rec.pseudonyms import PLAIN, Pseudonyms, read_keys

PLACE = TopicPartition("p.events.reviews", 1)
NOW = 1_763_790_285_000


def by_words(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of 16 places: each word has one; the empty text has none."""
    found = np.zeros((len(texts), 16), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().replace(",", " ").replace(".", " ").split():
            found[row, sum(word.encode()) % 16] += 1
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def eyes(_: str, version: int = 0) -> Eyes:
    return Eyes(version=version, encoded=by_words)


def review(offset: int, text: str = "Great picture", **more: Any) -> Any:
    record = {
        "event_id": f"e{offset}",
        "user_id": "ann",
        "item_id": f"i{offset}",
        "timestamp": NOW,
        "text": text,
    }
    value = json.dumps(record | more).encode()
    return SimpleNamespace(key=b"ann", value=value, offset=offset, timestamp=NOW, headers=())


def policy(reader: ReviewReader, **signals: Any) -> None:
    value = encode_accepted_policy(
        AcceptedPolicy(offset=3, patch={"signals": signals}, accepted_at=NOW)
    )
    reader.take_policy(SimpleNamespace(key=b"*", value=value, offset=3))


@pytest.fixture
def reader() -> ReviewReader:
    return ReviewReader(16, PLAIN)


def read(reader: ReviewReader, most: int = 10, now_ms: int = NOW) -> list[Refinement]:
    return [decode_refinement(made.value) for made in reader.read(most, eyes, now_ms)]


def test_a_review_is_answered_in_its_partition_under_its_user(reader: ReviewReader) -> None:
    reader.take_review(PLACE, review(7, "Great picture, but the fan is unbearable.", rating=2))
    (made,) = reader.read(10, eyes, NOW)
    assert (made.partition, made.key) == (1, b"ann")
    refinement = decode_refinement(made.value)
    assert (refinement.user_id, refinement.item_id, refinement.offset) == ("ann", "i7", 7)
    assert len(reader) == 0


def test_the_newest_is_read_first_and_the_oldest_gives_way(reader: ReviewReader) -> None:
    for offset in range(MOST_WAITING + 5):
        reader.take_review(PLACE, review(offset))
    assert len(reader) == MOST_WAITING
    assert reader.passed_over == 5
    assert [made.offset for made in read(reader, 2)] == [MOST_WAITING + 4, MOST_WAITING + 3]


def test_what_has_waited_too_long_is_passed_over(reader: ReviewReader) -> None:
    reader.take_review(PLACE, review(1))
    assert read(reader, now_ms=NOW + REFINED_WITHIN_MS + 1) == []
    assert (len(reader), reader.passed_over) == (0, 1)


def test_sentiment_is_learned_from_ratings_and_predicted_before(reader: ReviewReader) -> None:
    """Words that no lexicon knows come to mean something."""
    for offset in range(200):
        good = offset % 2 == 0
        text = "zorb zorb" if good else "quix quix"
        reader.take_review(PLACE, review(offset, text, rating=5 if good else 1))
        (made,) = read(reader)
        if offset < 2:
            assert abs(made.sentiment) < 0.5, "the rating was known to the prediction"
    reader.take_review(PLACE, review(300, "quix"))
    (made,) = read(reader)
    assert made.sentiment < -0.5
    assert made.understood.rating is not None
    assert made.understood.rating < 2


def test_who_says_the_same_of_an_item_again_teaches_nothing(reader: ReviewReader) -> None:
    for offset in range(100):
        reader.take_review(PLACE, review(offset, "zorb", rating=1, item_id="i"))
        read(reader)
    reader.take_review(PLACE, review(300, "zorb", item_id="j"))
    (made,) = read(reader)
    assert abs(made.sentiment) < 0.9


def test_policy_turns_it_off_and_names_the_topics(reader: ReviewReader) -> None:
    for offset in range(3):  # the mean of what was read is known
        reader.take_review(PLACE, review(offset, "alpha beta gamma delta", rating=5))
        read(reader)
    policy(reader, topics=["zorb", "quix", "blap"])
    reader.take_review(PLACE, review(8, "zorb"))
    (made,) = read(reader)
    assert made.understood.tags == ("zorb",)
    policy(reader, review_text=False)
    reader.take_review(PLACE, review(9))
    assert len(reader) == 0


def test_aspects_are_named_by_the_nearest_description(reader: ReviewReader) -> None:
    reader.take_review(PLACE, review(1, f"Great {ASPECTS['battery']}."))
    (made,) = read(reader)
    assert all(strength > 0 for _, strength in made.understood.aspects)


def test_unreadable_reviews_and_wordless_ones_are_passed_over(reader: ReviewReader) -> None:
    reader.take_review(PLACE, review(1, text=""))
    torn = review(2)
    torn.value = b"{"
    reader.take_review(PLACE, torn)
    assert len(reader) == 0


def test_a_restart_reads_what_waited_again_and_nothing_else(
    reader: ReviewReader, tmp_path: Path
) -> None:
    log = [review(offset, rating=5) for offset in range(6)]
    for record in log:
        reader.take_review(PLACE, record)
    assert [made.offset for made in read(reader, 2)] == [5, 4]
    reader.save(tmp_path / "reviews.state")
    again = ReviewReader(16, PLAIN)
    again.restore(tmp_path / "reviews.state", "")
    for record in log:
        again.take_review(PLACE, record)
    assert [made.offset for made in read(again)] == [5, 4, 3, 2, 1, 0]
    again.save(tmp_path / "reviews.state")
    third = ReviewReader(16, PLAIN)
    third.restore(tmp_path / "reviews.state", "")
    for record in log:
        third.take_review(PLACE, record)
    assert len(third) == 0


@pytest.mark.parametrize("damage", ["torn", "gone", "other topic"])
def test_damaged_state_is_learned_anew(reader: ReviewReader, tmp_path: Path, damage: str) -> None:
    file, topic = tmp_path / "reviews.state", "t"
    reader.restore(file, "t")
    reader.take_review(PLACE, review(0, rating=5))
    read(reader)
    reader.save(file)
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "gone":
        file.unlink()
    else:
        topic = "another"
    again = ReviewReader(16, PLAIN)
    again.restore(file, topic)
    again.take_review(PLACE, review(0))
    assert [made.offset for made in read(again)] == [0]


def test_under_a_key_neither_key_nor_value_names_the_user() -> None:
    names = Pseudonyms(read_keys("k1:a secret of some length"))
    reader = ReviewReader(16, names)
    reader.take_review(PLACE, review(1))
    made: Written = next(reader.read(1, eyes, NOW))
    assert b"ann" not in made.key + made.value
    assert decode_refinement(made.value, names).user_id == "ann"
