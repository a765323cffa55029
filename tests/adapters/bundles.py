"""Bundles made by hand: a shop whose texts say nothing, and adapters that know its secret kinds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.checkpoint import FORMAT, Checkpoint, Manifest
from stream_rec.adapters.text_model import text_model
from stream_rec.adapters.tower import place
from stream_rec.items import Item, item_text, text_hash
from stream_rec.replica import Replica

DIMENSION, KINDS = 16, 8
BASE = "base"
MODEL = text_model(BASE, "mean")  # what made the frozen vectors


def item(number: int) -> Item:
    """Return an item; its text says nothing of its kind, which is its number modulo `KINDS`."""
    return Item(item_id=f"i{number}", title=f"Item {number}", categories=("all",))


def noise(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return vectors without any meaning, (count, dimension)."""
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def by_kind(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Return vectors that put items of a kind side by side, (count, dimension)."""
    directions = np.random.default_rng(99).normal(size=(KINDS, DIMENSION))
    kinds = directions[np.arange(count) % KINDS]
    return (kinds + 0.3 * noise(count, seed)).astype(np.float32)


def tower(items: int = 0, seed: int = 5) -> dict[str, NDArray[np.float32]]:
    """Return a tower whose map changes nothing; residuals are small."""
    return {
        "centre": np.zeros(DIMENSION, np.float32),
        "down": np.zeros((DIMENSION, 2), np.float32),
        "up": np.zeros((2, DIMENSION), np.float32),
        "residual": 0.01 * noise(items, seed),
        "recency": np.ones(10, np.float32),
        "numbers": np.zeros(3, np.float32),
    }


def bundle(
    version: int,
    text: NDArray[np.float32],
    *,
    text_version: int | None = None,
    scenario: str = "default",
    ids: Sequence[str] | None = None,
) -> Checkpoint:
    """Return a bundle whose tower puts items near their text vectors; one row an item."""
    own = version if text_version is None else text_version
    items = [item(number) for number in range(len(text))]
    placed = place(arrays := tower(len(text)), text, np.arange(len(text)))
    manifest = Manifest(
        format=FORMAT,
        scenario=scenario,
        version=version,
        text_version=own,
        base_model="none",
        base_model_hash=BASE,
        dimension=text.shape[1],
        items=len(text),
        offsets={},
        metrics={},
        policy={},
        code_version="tests",
        created_at=1,
    )
    return Checkpoint(
        manifest=manifest,
        item_ids=tuple(ids or [one.item_id for one in items]),
        vectors=placed.astype(np.float16),
        text=text.astype(np.float16),
        text_hash=np.array([text_hash(item_text(one)) for one in items], np.uint64),
        tower=arrays,
    )


def shop(count: int = 64) -> Replica:
    """Return a replica with a catalogue and the frozen vectors of its texts."""
    replica = Replica()
    for number, vector in enumerate(noise(count)):
        one = item(number)
        replica.put_item(one)
        replica.put_text_vector(one.item_id, text_hash(item_text(one)), vector)
    return replica


def load(replica: Replica, made: Checkpoint) -> None:
    """Bring a bundle into memory, as the recommender does; nothing is served from it yet."""
    loading = replica.spaces.begin(
        made.manifest.version, made.manifest.text_version, replica.items, replica.frozen_texts()
    )
    space = loading.build(made)
    replica.spaces.finish(space)
