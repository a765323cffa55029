"""What the programs count and time, in Prometheus' words; one registry a process.

Labels are topics, outcomes, stages and reasons: never a user, an item or a text. Knows nothing of
where the figures come from.
"""

from collections import Counter as Tallied
from collections.abc import Callable, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stream_rec.step import Arrival, Outcome, Step


class Stamps:
    """When a batch passed each stage, in milliseconds of the wall clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.passed: dict[str, int] = {}

    def mark(self, stage: str) -> None:
        """Note that the batch has passed `stage` now."""
        self.passed[stage] = self._now_ms()


class RecommenderMetrics:
    """The figures of one recommender."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter(
            "stream_rec_events",
            "Records by topic and outcome",
            ["topic", "outcome"],
            registry=registry,
        )
        self.read = Counter(
            "stream_rec_records_read",
            "Event records whose batch has committed; the outcomes of a topic add up to this",
            ["topic"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "stream_rec_dead_letters", "Dead letters", ["topic", "stage"], registry=registry
        )
        self.lists = Counter("stream_rec_lists", "Lists published", ["cause"], registry=registry)
        self.transactions = Counter(
            "stream_rec_transactions", "Committed transactions", registry=registry
        )
        self.freshness = Histogram(
            "stream_rec_freshness_seconds",
            "From a record's append to the end of each stage of its batch",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.commit = Histogram(
            "stream_rec_commit_seconds",
            "Duration of a transaction",
            buckets=SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "stream_rec_batch_records", "Records a batch", buckets=RECORDS, registry=registry
        )
        self.lag = Gauge("stream_rec_lag_records", "Event records not yet read", registry=registry)
        self.paused = Gauge(
            "stream_rec_paused",
            "1 while a topic is not read because most of its records are bad",
            ["topic"],
            registry=registry,
        )
        self.learnable = Counter(
            "stream_rec_learnable_events",
            "Events the re-ranker could learn from",
            registry=registry,
        )
        self.learned = Counter(
            "stream_rec_learned_events", "Events the re-ranker learned from", registry=registry
        )
        self.state = Gauge(
            "stream_rec_state",
            "Sizes of the state, by what is counted",
            ["what"],
            registry=registry,
        )
        self.restore = Gauge(
            "stream_rec_restore_seconds", "Duration of the last restore", registry=registry
        )
        self.ready = Gauge("stream_rec_ready", "1 when ready", registry=registry)

    def expect(self, topics: Sequence[str]) -> None:
        """Start every count of these event topics at 0.

        A counter that first appears at 1 has not increased, to Prometheus: an alert on the first
        refused record of a kind would never be raised.
        """
        for topic in topics:
            self.read.labels(topic)
            for outcome in get_args(Outcome):
                self.events.labels(topic, outcome)
            for stage in STAGES:
                self.dead_letters.labels(topic, stage)
        for cause in ("event", "spare"):
            self.lists.labels(cause)

    def observe_batch(self, batch: Sequence[Arrival], result: Step, stamps: Stamps) -> None:
        """Count a committed batch; freshness is taken from a regular sample of its records."""
        self.batch.observe(len(batch))
        for topic, count in Tallied(arrival.topic for arrival in batch).items():
            self.read.labels(topic).inc(count)
        self.lists.labels("event").inc(len(result.lists))
        self.learnable.inc(result.learnable)
        self.learned.inc(result.learned)
        for (topic, outcome), count in result.outcomes.items():
            self.events.labels(topic, outcome).inc(count)
        sample = batch[:: 1 + len(batch) // SAMPLED]
        for stage, stamp in stamps.passed.items():
            observe = self.freshness.labels(stage).observe
            for arrival in sample:
                if arrival.append_ms:
                    observe(max(0, stamp - arrival.append_ms) / 1000)


class EncoderMetrics:
    """The figures of one encoder."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.encoded = Counter(
            "stream_rec_encoded_items",
            "Items encoded or found textless",
            ["how"],
            registry=registry,
        )
        self.waiting = Gauge("stream_rec_items_waiting", "Items not yet encoded", registry=registry)
        self.seconds = Histogram(
            "stream_rec_encode_seconds", "Duration of a batch", buckets=SECONDS, registry=registry
        )
        self.ready = Gauge("stream_rec_ready", "1 when ready", registry=registry)


def exposition(registry: CollectorRegistry) -> bytes:
    """Return the registry in Prometheus' text format."""
    return generate_latest(registry)


SECONDS = (
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.18,
    0.25, 0.4, 0.6, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0,
)  # fmt: skip
SAMPLED = 32
STAGES = ("decode", "key", "partition", "validate")  # that refuse an event record
RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 500)
