"""What vectors in bytes cost and save, on a real stream and with frozen texts of the real model.

    python -m benchmarks int8_vectors [--events 60000] [--test 4000] [--json]

Texts of amazon_games are encoded once; the newest events are ranked over the whole catalogue from
float32, from float16 as small bundles keep vectors, and from bytes with a scale a row as bundles of
200,000 items and more do. Told are bytes an item, NDCG@10, how much of the ten nearest items of
each item is the same, and how much of the ten best of each event. Ends with 1 when bytes lose more
than one percent of NDCG@10.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.printed import options, show
from benchmarks.update_cycle import remembered
from stream_rec import recorded
from stream_rec.catalogue.quantised import quantised, restored
from stream_rec.items import item_text
from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.encoding import encode, unit
from stream_rec.language_model.gate import Space, discounted_gain, rank_next_items
from stream_rec.language_model.next_item_examples import (
    NextItems,
    decayed_recency,
    next_items,
    user_vectors,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "amazon_games"
MOST_LOST, TOP = 0.01, 10


def main() -> int:
    """Measure, print, return the exit status."""
    chosen = options(__doc__, events=60_000, test=4_000)
    if not DATA.is_dir():
        sys.exit("amazon_games is not here: this benchmark reads ../shared/data")
    items = list(recorded.items(DATA / "items.jsonl.gz"))
    text = encode(load_backbone(), [item_text(item) for item in items])
    rows = {item.item_id: row for row, item in enumerate(items)}
    examples = next_items(remembered(chosen.events).buffers["default"].histories(), rows)
    later = examples.select(slice(max(0, len(examples) - chosen.test), None))
    found = measure(unit(text - text[text.any(axis=1)].mean(axis=0)), later)
    title = f"vectors in bytes, {len(items):,} items, {len(later):,} events"
    show(title, found, as_json=chosen.json)
    return 0 if found[-1]["ndcg"] >= (1 - MOST_LOST) * found[0]["ndcg"] else 1


def measure(vectors: NDArray[np.float32], later: NextItems) -> list[dict[str, Any]]:
    """Return a row for each way of keeping unit vectors, (items, dimension)."""
    small, worth = quantised(vectors)
    kept = {
        "float32": (vectors, vectors.nbytes),
        "float16": (vectors.astype(np.float16).astype(np.float32), vectors.nbytes // 2),
        "int8": (restored(small, worth).astype(np.float32), small.nbytes + worth.nbytes),
    }
    recency, popular = decayed_recency(10), np.zeros(len(vectors), np.bool_)
    rows: list[dict[str, Any]] = []
    near, best = None, None
    for name, (table, size) in kept.items():
        users = user_vectors(table, later.context, recency)
        nearest, listed = top(table, table), top(users, table)
        near, best = (nearest, listed) if near is None or best is None else (near, best)
        ranking = rank_next_items(Space(vectors=table, recency=recency), later, popular)
        rows.append(
            {
                "kept as": name,
                "bytes an item": size / len(vectors),
                "ndcg": float(discounted_gain(ranking.rank).mean()),
                "same neighbours": shared(near, nearest),
                "same lists": shared(best, listed),
            }
        )
    return rows


def top(
    asked: NDArray[np.float32], vectors: NDArray[np.float32], *, batch: int = 256
) -> NDArray[np.int64]:
    """Return the rows of the nearest vectors, (asked, 10), in no order."""
    parts = []
    for start in range(0, len(asked), batch):
        scores = asked[start : start + batch] @ vectors.T
        parts.append(np.argpartition(-scores, TOP, axis=1)[:, :TOP])
    return np.concatenate(parts)


def shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the mean share of rows that two tops have in common.

    >>> shared(np.array([[1, 2]]), np.array([[2, 3]]))
    0.5
    """
    same = (one[:, :, None] == other[:, None, :]).any(axis=2)
    return float(same.mean())


if __name__ == "__main__":
    sys.exit(main())
