"""Short prefixes of the real streams, without the language model, beside the honest baselines.

The shares are floors under what was measured on these prefixes: they catch a broken ranker, and
are not the product's figures, which the judge takes through the broker.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stream_rec import recorded
from stream_rec.baselines import Baselines, gain
from stream_rec.events import parse_event
from stream_rec.replay import Options, Report, replay
from stream_rec.replica import Replica
from stream_rec.step import Arrival


class Stream(NamedTuple):
    """A real stream, how much of it, and the least share of the best baseline's NDCG@10."""

    name: str
    events: int
    least: float


STREAMS = [
    Stream("amazon_games", 3000, 0.8),
    Stream("steam_au", 2000, 0.95),
    Stream("amazon_musical5", 2000, 0.95),
]


def read(folder: Path, limit: int) -> tuple[Replica, list[Arrival]]:
    """Return a replica with the catalogue, and the first events."""
    replica = Replica()
    for item in recorded.items(folder / "items.jsonl.gz"):
        replica.put_item(item)
    return replica, list(recorded.arrivals(folder / "events.jsonl.gz", limit))


def best_baseline(replica: Replica, arrivals: list[Arrival], warm_up: float) -> float:
    """Return the best NDCG@10 of popularity and co-visitation on the same events."""
    yardsticks = Baselines(replica.items.ids)
    sums, scored = dict.fromkeys(yardsticks.names, 0.0), 0
    for number, arrival in enumerate(arrivals):
        event = parse_event(arrival.value, key=arrival.key, kind=arrival.kind, source="file")
        known = yardsticks.consumed(event.user_id, event.item_id)
        if number >= int(len(arrivals) * warm_up) and not known:
            scored += 1
            for name, rank in yardsticks.ranks(event.user_id, event.item_id).items():
                sums[name] += gain(rank)
        yardsticks.learn(event.user_id, event.item_id)
    return max(sums.values()) / scored


def measured(folder: Path, limit: int) -> tuple[Report, float]:
    replica, arrivals = read(folder, limit)
    baseline = best_baseline(replica, arrivals, Options().warm_up)
    return replay(replica, arrivals, Options()), baseline


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_lists_are_not_worse_than_the_best_baseline(
    stream: Stream, real_data: Callable[[str], Path]
) -> None:
    report, baseline = measured(real_data(stream.name), stream.events)
    found = report.segments["all"]["ndcg"]
    assert found >= stream.least * baseline, f"{found:.4f} beside {baseline:.4f}"
    assert set(report.outcomes) <= {"applied", "duplicate"}
