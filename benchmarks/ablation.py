"""What each part of a list is worth: published-list NDCG@10 of replays with parts left out.

    python -m benchmarks ablation [--events 4000] [--json]

Each stream of ../shared/data is replayed under the judge's condition (test, then train; a list is
scored as it was published at the user's previous event). An expert alone ranks the same candidates
by its one feature, with popularity to break ties. Reports ratios to the best honest baseline.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: replays are single-threaded

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.printed import options, show
from stream_rec import recorded
from stream_rec.baselines import Baselines, gain
from stream_rec.events import parse_event
from stream_rec.items import Item, item_text, text_hash
from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.encoding import encode
from stream_rec.ranking.features import Feature
from stream_rec.ranking.reranker import Reranker
from stream_rec.replay import Options, replay
from stream_rec.replica import Replica
from stream_rec.step import Arrival

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
STREAMS = ("amazon_games", "steam_au", "amazon_musical5")
ALONE = {
    "popularity, 500 events": Feature.POPULAR_500,
    "popularity, 2,000 events": Feature.POPULAR_2000,
    "co-visitation": Feature.LINKED,
    "last item": Feature.FOLLOWING,
    "text": Feature.LIKE_NEAR,
    "co-visitation of text neighbours": Feature.NEAR_LINKED,
    "labels and title words": Feature.TOKENS_LIKED,
    "fixed mixture of three": Feature.MIXTURE,
}


class Alone(Reranker):
    """Ranks by one feature and learns nothing."""

    def __init__(self, feature: Feature) -> None:
        super().__init__()
        self._feature = feature

    def scores(
        self, features: NDArray[np.float32], newness: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the feature; popularity decides between equals."""
        ties = np.float32(1e-3) * features[:, Feature.POPULAR_2000]
        return features[:, self._feature] + ties

    def learn(self, features: NDArray[np.float32], taken: int, newness: float) -> None:
        """Learn nothing."""


class Frozen(Reranker):
    """The start weights, unchanged."""

    def learn(self, features: NDArray[np.float32], taken: int, newness: float) -> None:
        """Learn nothing."""


def replica_of(
    items: Sequence[Item], vectors: NDArray[np.float32] | None, reranker: Reranker | None
) -> Replica:
    """Return a replica with a catalogue, its text vectors if any, and one way to rank."""
    replica = Replica()
    for number, item in enumerate(items):
        replica.put_item(item)
        text = item_text(item)
        if vectors is not None and text:
            replica.put_text_vector(item.item_id, text_hash(text), vectors[number])
    if reranker is not None:
        replica.rerankers["default"] = reranker
    return replica


def best_baseline(items: Sequence[Item], arrivals: Sequence[Arrival]) -> float:
    """Return the NDCG@10 of the best honest baseline, under the same condition."""
    yardsticks = Baselines([item.item_id for item in items])
    gains: dict[str, list[float]] = {}
    for number, arrival in enumerate(arrivals):
        event = parse_event(arrival.value, key=arrival.key, kind=arrival.kind, source="ablation")
        new = not yardsticks.consumed(event.user_id, event.item_id)
        if number >= 0.2 * len(arrivals) and new:
            for name, rank in yardsticks.ranks(event.user_id, event.item_id).items():
                gains.setdefault(name, []).append(gain(rank))
        yardsticks.learn(event.user_id, event.item_id)
    return max(float(np.mean(found)) for found in gains.values())


def ablation(stream: str, events: int) -> dict[str, float]:
    """Return NDCG@10 by variant."""
    items = list(recorded.items(DATA / stream / "items.jsonl.gz"))
    arrivals = list(recorded.arrivals(DATA / stream / "events.jsonl.gz", events))
    vectors = encode(load_backbone(), [item_text(item) for item in items])
    found = {"best baseline": best_baseline(items, arrivals)}

    def run(replica: Replica, chosen: Options = Options()) -> float:  # noqa: B008
        return replay(replica, arrivals, chosen).segments["all"]["ndcg"]

    for name, feature in ALONE.items():
        found[f"{name} alone"] = run(replica_of(items, vectors, Alone(feature)))
    found["start weights, no learning"] = run(replica_of(items, vectors, Frozen()))
    found["without text"] = run(replica_of(items, None, None))
    deaf = replica_of(items, vectors, None)
    deaf.put_policy("*", 0, {"signals": {"review_text": False}})
    found["without review text"] = run(deaf)
    found["everything"] = run(replica_of(items, vectors, None))
    found["everything, 4 stale lists an event"] = run(
        replica_of(items, vectors, None), Options(refresh=4.0)
    )
    return found


def main() -> None:
    """Replay every stream in every variant."""
    given = options(__doc__, events=4000)
    columns = {stream: ablation(stream, given.events) for stream in STREAMS}
    rows = []
    for variant in columns[STREAMS[0]]:
        row: dict[str, object] = {"variant": variant}
        for stream, found in columns.items():
            row[stream] = round(found[variant], 4)
            row[f"{stream} ratio"] = round(found[variant] / found["best baseline"], 3)
        rows.append(row)
    show(f"NDCG@10 of published lists, first {given.events} events", rows, as_json=given.json)


if __name__ == "__main__":
    main()
