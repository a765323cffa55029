"""A recorded stream, its items read by the frozen model once and kept in a file between runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.update_cycle import encoded
from consumers.kafka_io.wire import StoredVector
from consumers.training.texts import Texts
from stream_rec import recorded
from stream_rec.items import Item, item_text, text_hash
from stream_rec.step import Arrival

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A recorded stream with the frozen vectors of its items."""

    name: str
    items: Sequence[Item]
    arrivals: Sequence[Arrival]
    texts: Texts
    vectors: NDArray[np.float32]  # (items, dimension) of the frozen model


def read_stream(name: str, events: int, cache: Path) -> Stream:
    """Read a stream; its items are encoded once for each cache."""
    items = list(recorded.items(DATA / name / "items.jsonl.gz"))
    kept = cache / f"{name}.npz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        stored = [one for one in encoded(items).stored if one is not None]
        width = max(len(one.vector) for one in stored) // 2
        rows = [np.frombuffer(one.vector.ljust(2 * width, b"\0"), np.float16) for one in stored]
        np.savez(kept, vectors=np.stack(rows), model=np.array(stored[0].model))
    found = np.load(kept)
    texts, model = [item_text(item) for item in items], str(found["model"])
    hashes = [text_hash(text) for text in texts]
    return Stream(
        name=name,
        items=items,
        arrivals=list(recorded.arrivals(DATA / name / "events.jsonl.gz", events)),
        texts=Texts(
            item_ids=[item.item_id for item in items],
            texts=texts,
            hashes=np.array(hashes, np.uint64),
            stored=[
                StoredVector(model=model, text_hash=hashed, vector=vector.tobytes())
                for hashed, vector in zip(hashes, found["vectors"], strict=True)
            ],
        ),
        vectors=found["vectors"].astype(np.float32),
    )
