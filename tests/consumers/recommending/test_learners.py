from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from consumers.recommending.learners import FORGOTTEN_MS, Learners
from stream_rec.events import Event
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.ranking.reranker import Reranker
from stream_rec.replica import Replica

NOW_MS = 1_763_790_285_000


class Written(list[tuple[bytes, bytes]]):
    """A producer that keeps what is sent."""

    def send(self, topic: str, *, key: bytes, value: bytes, partition: int) -> None:
        self.append((key, value))

    def close(self, timeout: float) -> None:
        """Do nothing."""


def learned(examples: int, weight: float) -> Reranker:
    made = Reranker()
    made.examples = made.evidence = examples
    made.weights = np.full_like(made.weights, weight)
    return made


def record(key: str, value: bytes, timestamp: int = NOW_MS) -> Any:
    return SimpleNamespace(key=key.encode(), value=value, timestamp=timestamp)


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def learners(written: Written, replica: Replica) -> Learners:
    return Learners(written, "t", 0, replica)  # type: ignore[arg-type]


def test_worker_goes_on_from_its_own_last_words(learners: Learners, replica: Replica) -> None:
    learners.take(record("reranker/default/0", learned(7, 0.5).to_bytes()))
    learners.take(record("reranker/default/1", learned(100, 0.1).to_bytes()))
    learners.restore()
    assert replica.rerankers["default"].examples == 7
    assert replica.rerankers["default"].weights[0] == 0.5


def test_worker_without_words_goes_on_from_the_others(learners: Learners, replica: Replica) -> None:
    learners.take(record("reranker/default/1", learned(10, 0.2).to_bytes()))
    learners.take(record("reranker/default/2", learned(30, 0.6).to_bytes()))
    learners.restore()
    assert replica.rerankers["default"].weights[0] == pytest.approx(0.5)
    assert replica.rerankers["default"].examples == 0


def test_exchange_writes_once_and_takes_the_average(
    learners: Learners, replica: Replica, written: Written
) -> None:
    learners.restore()
    replica.rerankers["default"] = learned(10, 1.0)
    learners.take(record("reranker/default/1", learned(30, 0.0).to_bytes()))
    learners.exchange(NOW_MS)
    assert [key for key, _ in written] == [b"reranker/default/0"]
    assert Reranker.from_bytes(written[0][1]).weights[0] == 1.0
    assert replica.rerankers["default"].weights[0] == pytest.approx(0.25)
    assert replica.rerankers["default"].examples == 10
    assert replica.rerankers["default"].pace == 2
    learners.exchange(NOW_MS + 10)
    learners.exchange(NOW_MS + 5_000)
    assert len(written) == 1, "nothing was learned since"


def test_worker_silent_for_long_is_left_out(learners: Learners, replica: Replica) -> None:
    learners.restore()
    replica.rerankers["default"] = learned(10, 1.0)
    learners.take(record("reranker/default/1", learned(30, 0.0).to_bytes()))
    learners.exchange(NOW_MS + FORGOTTEN_MS)
    assert replica.rerankers["default"].weights[0] == 1.0


def test_own_words_read_back_change_nothing(learners: Learners, replica: Replica) -> None:
    learners.restore()
    replica.rerankers["default"] = learned(10, 1.0)
    learners.take(record("reranker/default/0", learned(9, 0.0).to_bytes()))
    learners.exchange(NOW_MS)
    assert replica.rerankers["default"].weights[0] == 1.0


def test_torn_words_are_skipped(learners: Learners, replica: Replica) -> None:
    learners.take(record("reranker/default/1", learned(9, 0.0).to_bytes()[:-3]))
    learners.take(record("sentiment//1", b"\x00"))
    learners.restore()
    assert replica.rerankers == {}


def test_judge_of_reviews_comes_back(
    learners: Learners, replica: Replica, written: Written
) -> None:
    learners.restore()
    for _ in range(30):
        replica.sentiment.learn("the hinge squeaks", 1.0, neutral=3.0)
    learners.exchange(NOW_MS)
    assert [key for key, _ in written] == [b"sentiment//0"]
    later = Replica()
    successor = Learners(written, "t", 0, later)  # type: ignore[arg-type]
    successor.take(record("sentiment//0", written[0][1]))
    successor.restore()
    before, after = (r.sentiment.predict("it squeaks") for r in (Replica(), later))
    assert before is not None
    assert after is not None
    assert after < before
    assert isinstance(later.sentiment, Sentiment)


def test_what_exploring_taught_and_lists_not_seen_yet_survive_a_restart(
    learners: Learners, replica: Replica, written: Written
) -> None:
    event = {"event_id": "e", "event_type": "click", "user_id": "u", "item_id": "i"}
    learners.restore()
    replica.exploration.published("r1", {1: 5, 2: 3})
    replica.exploration.learn(
        Event(**event, timestamp=NOW_MS, recommendation_id="r1", position=1)  # type: ignore[arg-type]
    )
    learners.exchange(NOW_MS)
    ((key, value),) = [(k, v) for k, v in written if k.startswith(b"exploration/")]
    assert key == b"exploration//0"
    learners.exchange(NOW_MS + 60_000)
    assert [k for k, _ in written].count(key) == 1  # nothing new, nothing written

    again = Replica()
    heir = Learners(Written(), "t", 0, again)  # type: ignore[arg-type]
    heir.take(record(key.decode(), value))
    heir.restore()
    assert again.exploration.rates.tolist() == replica.exploration.rates.tolist()
    assert again.exploration.rates[5] > again.exploration.rates[3]
