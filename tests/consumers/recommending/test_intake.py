"""Refinements wait for their reviews, whatever is read first."""

from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition
from kafka.errors import OffsetOutOfRangeError

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import encode_refinement
from consumers.recommending.intake import Intake
from stream_rec.ledger import Ledger
from stream_rec.profiles.history import Understood
from stream_rec.profiles.refinement import Refinement

TOPICS = Topics("p")
REVIEWS, REFINEMENTS = TopicPartition(TOPICS.reviews, 0), TopicPartition(TOPICS.refinements, 0)


class Consumer:
    """A list source: two partitions, polled as Kafka's consumer is."""

    def __init__(self, **logs: list[Any]) -> None:
        self.logs = {TopicPartition(getattr(TOPICS, name), 0): log for name, log in logs.items()}
        self.at = dict.fromkeys(self.logs, 0)
        self.begin = dict.fromkeys(self.logs, 0)
        self.polls, self.lost_at_poll = 0, 0
        self.resting: set[TopicPartition] = set()
        self.open = {place: 10**9 for place in self.logs}  # how much has been written yet

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        found = {}
        self.polls += 1
        for place, log in self.logs.items():
            if self.at[place] < self.begin[place] and self.polls >= self.lost_at_poll:
                raise OffsetOutOfRangeError({place: self.at[place]})
            end = min(len(log), self.open[place], self.at[place] + max_records)
            if place not in self.resting and self.at[place] < end:
                found[place] = log[self.at[place] : end]
                self.at[place] = end
        return found

    def position(self, place: TopicPartition) -> int:
        return self.at[place]

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.at[place] = offset

    def pause(self, *places: TopicPartition) -> None:
        self.resting |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        self.resting -= set(places)

    def paused(self) -> set[TopicPartition]:
        return set(self.resting)

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    def highwater(self, place: TopicPartition) -> int:
        return len(self.logs[place])

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.begin[place] for place in places}


def record(offset: int, value: bytes = b"{}") -> Any:
    return SimpleNamespace(offset=offset, timestamp=5, key=b"u", value=value, headers=())


def refinement(offset: int, review: int) -> Any:
    said = Refinement(
        user_id="u",
        item_id="i",
        offset=review,
        text_version=0,
        sentiment=0.5,
        understood=Understood(),
    )
    return record(offset, encode_refinement(said))


def taken(intake: Intake) -> list[tuple[str, int]]:
    return [(arrival.kind, arrival.offset) for arrival in intake.read(0, most=10)]


def test_a_refinement_comes_with_its_review_or_after_it() -> None:
    consumer = Consumer(reviews=[record(0)], refinements=[refinement(0, 0)])
    intake = Intake(consumer, TOPICS)  # type: ignore[arg-type]
    assert taken(intake) == [("review", 0), ("refinement", 0)]
    assert taken(intake) == []


def test_one_that_is_early_waits_and_keeps_those_behind_it_waiting() -> None:
    consumer = Consumer(
        reviews=[record(n) for n in range(3)],
        refinements=[refinement(0, 0), refinement(1, 2), refinement(2, 1)],
    )
    consumer.open[REVIEWS] = 2
    intake = Intake(consumer, TOPICS)  # type: ignore[arg-type]
    assert taken(intake) == [("review", 0), ("review", 1), ("refinement", 0)]
    assert taken(intake) == []
    assert consumer.paused() == {REFINEMENTS}, "it would be polled again and again"
    intake.hold(frozenset({TOPICS.clicks}))
    intake.hold(frozenset())
    assert consumer.paused() == {REFINEMENTS}, "resumed with the topics of other reasons"
    consumer.open[REVIEWS] = 3
    found = taken(intake) + taken(intake)
    assert found == [("review", 2), ("refinement", 1), ("refinement", 2)]


def test_what_waits_is_no_lag() -> None:
    consumer = Consumer(reviews=[record(0)], refinements=[refinement(0, 7)])
    intake = Intake(consumer, TOPICS)  # type: ignore[arg-type]
    taken(intake)
    ledger = Ledger(next_offsets={TOPICS.reviews: 1, TOPICS.refinements: 0})
    assert intake.lag({0: ledger}) == 0


def test_events_that_no_ledger_has_counted_are_lag() -> None:
    consumer = Consumer(reviews=[record(number) for number in range(5)], refinements=[])
    intake = Intake(consumer, TOPICS)  # type: ignore[arg-type]
    ledger = Ledger(next_offsets={TOPICS.reviews: 2})
    assert intake.lag({0: ledger}) == 3
    intake.read(0, most=2)  # and as many that came meanwhile
    assert intake.lag({0: ledger}) == 1


def test_one_that_cannot_be_read_passes_as_nothing() -> None:
    consumer = Consumer(reviews=[], refinements=[record(0, b"torn"), record(1, b"\x81\xa1")])
    intake = Intake(consumer, TOPICS)  # type: ignore[arg-type]
    assert [arrival.refinement for arrival in intake.read(0, most=10)] == [None, None]


def test_deleted_refinements_are_skipped() -> None:
    consumer = Consumer(reviews=[record(0)], refinements=[record(0, b""), refinement(1, 0)])
    consumer.begin[REFINEMENTS] = 1
    intake = Intake(consumer, TOPICS)  # type: ignore[arg-type]
    found = taken(intake) + taken(intake)
    assert ("refinement", 1) in found
    assert ("refinement", 0) not in found


def test_events_polled_before_the_loss_of_refinements_is_seen_are_kept() -> None:
    consumer = Consumer(clicks=[record(0)], refinements=[record(0, b""), record(1, b"")])
    consumer.begin[REFINEMENTS], consumer.lost_at_poll = 2, 2
    consumer.pause(REFINEMENTS)
    intake = Intake(consumer, TOPICS)  # type: ignore[arg-type]
    assert taken(intake) == [("click", 0)]
