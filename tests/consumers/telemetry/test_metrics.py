"""What a committed batch adds to the figures of a recommender."""

from collections import Counter

import pytest

from consumers.telemetry.metrics import RecommenderMetrics, Stamps, exposition
from stream_rec.step import Arrival, Step

CLICKS, REVIEWS = "shop.clicks", "shop.reviews"


def arrival(topic: str, offset: int, append_ms: int | None = 1_000) -> Arrival:
    return Arrival(
        kind="click",
        topic=topic,
        partition=0,
        offset=offset,
        append_ms=append_ms,
        key=b"u",
        value=b"",
    )


def value(metrics: RecommenderMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_figure_of_a_batch_is_counted() -> None:
    metrics, result = RecommenderMetrics(), Step()
    result.outcomes = Counter({(CLICKS, "applied"): 2, (REVIEWS, "dead_lettered"): 1})
    result.learnable, result.learned = 3, 2
    now = iter([1_030, 1_250])
    stamps = Stamps(now_ms=lambda: next(now))
    stamps.mark("polled")
    stamps.mark("committed")
    batch = [arrival(CLICKS, 0), arrival(CLICKS, 1), arrival(REVIEWS, 0)]
    for _ in range(2):
        metrics.observe_batch(batch, result, stamps)
    assert value(metrics, "stream_rec_records_read_total", topic=CLICKS) == 4
    assert value(metrics, "stream_rec_records_read_total", topic=REVIEWS) == 2
    assert value(metrics, "stream_rec_events_total", topic=CLICKS, outcome="applied") == 4
    assert value(metrics, "stream_rec_events_total", topic=REVIEWS, outcome="dead_lettered") == 2
    assert value(metrics, "stream_rec_learnable_events_total") == 6
    assert value(metrics, "stream_rec_learned_events_total") == 4
    assert value(metrics, "stream_rec_batch_records_sum") == 6
    for stage, seconds in (("polled", 0.18), ("committed", 1.5)):
        taken = value(metrics, "stream_rec_freshness_seconds_sum", stage=stage)
        assert taken == pytest.approx(seconds)
    assert b"stream_rec_learned_events_total 4.0" in exposition(metrics.registry)


def test_a_record_whose_broker_names_no_time_has_no_freshness() -> None:
    metrics, stamps = RecommenderMetrics(), Stamps(now_ms=lambda: 1_030)
    stamps.mark("polled")
    metrics.observe_batch([arrival(CLICKS, 0, append_ms=None)], Step(), stamps)
    assert value(metrics, "stream_rec_freshness_seconds_count", stage="polled") in (None, 0)
    assert value(metrics, "stream_rec_batch_records_sum") == 1
