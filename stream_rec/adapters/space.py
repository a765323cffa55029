"""The vectors of one adapter version in memory, built from its bundle beside the ones that serve.

    Texts    text vectors of one text version, their neighbours, and which text each was made of
    Space    one version: its texts (or the frozen ones), and where its tower puts every item

A bundle is read and a space is built by a thread of its own (`Loading.build`); what arrives
meanwhile is noted by the loop's thread and put in at the end (`Loading.finish`). A table never
mixes adapters. Knows no topics and no scenario.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.checkpoint import Checkpoint
from stream_rec.adapters.tower import check_tower, place
from stream_rec.catalogue.neighbours import Neighbours
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.errors import CheckpointRejected
from stream_rec.experts.views import TEXT, TOWER
from stream_rec.ranking.derived import Derived
from stream_rec.statistics.item_index import ItemIndex


class Hashes:
    """A text's 64-bit hash by row, 0 where there is none."""

    def __init__(self) -> None:
        self.of: NDArray[np.uint64] = np.zeros(1024, np.uint64)  # (capacity,)
        self.changes = 0

    def at(self, row: int) -> int:
        """Return the hash of a row."""
        return int(self.of[row]) if 0 <= row < len(self.of) else 0

    def put(self, row: int, hashed: int) -> None:
        """Set the hash of a row."""
        self._reserve(row + 1)
        self.of[row] = hashed
        self.changes += 1

    def fill(self, rows: NDArray[np.integer], hashes: NDArray[np.uint64]) -> None:
        """Set the hashes of many rows."""
        self._reserve(int(rows.max(initial=-1)) + 1)
        self.of[rows] = hashes
        self.changes += len(rows)

    def _reserve(self, rows: int) -> None:
        if rows > len(self.of):
            longer = np.zeros(max(rows, 2 * len(self.of)), np.uint64)
            longer[: len(self.of)] = self.of
            self.of = longer


@dataclass(slots=True, eq=False)
class Texts:
    """What one text version made of the items' texts."""

    version: int
    table: VectorTable
    neighbours: Neighbours = field(default_factory=Neighbours)
    hashes: Hashes = field(default_factory=Hashes)

    def put(self, row: int, hashed: int, vector: NDArray[np.floating] | None) -> None:
        """Take the vector, (dimension,), of the text with this hash; None where there is none.

        Raises:
            StateRejected: the vector has another dimension or is not finite.
        """
        if vector is None:
            self.table.drop(row)
        else:
            self.table.put(row, vector)
        self.hashes.put(row, hashed)


# What a bundle says of one item: its row there, tower vector, text vector, hash of the text.
Bundled = tuple[int, NDArray[np.float16], NDArray[np.float16], int]


@dataclass(slots=True, eq=False)
class Space:
    """One version as it serves; `texts` None are the frozen ones.

    `bundled` maps rows of items to rows of the bundle, -1 for items that came later.
    """

    version: int
    texts: Texts | None
    placed: VectorTable
    tower: Mapping[str, NDArray[Any]]
    bundled: NDArray[np.int32]  # (capacity,)
    strangers: dict[str, Bundled] = field(default_factory=dict)
    _derived: Derived | None = None

    @property
    def text_version(self) -> int:
        """Whose adapter read the texts."""
        return 0 if self.texts is None else self.texts.version

    @property
    def tables(self) -> dict[str, VectorTable]:
        """The tables that stand in for, or beside, those of the frozen model."""
        return {TOWER: self.placed} | ({} if self.texts is None else {TEXT: self.texts.table})

    def derived(self, frozen: Derived) -> Derived:
        """Return what ranking derives, with needs found in these texts and all else shared."""
        if self.texts is None:
            return frozen
        if self._derived is None:
            self._derived = Derived(rules=frozen.rules, titles=frozen.titles)
        return self._derived

    def place_text(self, row: int, vector: NDArray[np.floating] | None) -> None:
        """Put an item where the tower sees its new text; an item it knows keeps its residual."""
        of_bundle = int(self.bundled[row]) if row < len(self.bundled) else -1
        zeros = np.zeros(self.placed.dimension, np.float32)
        text = (zeros if vector is None else np.asarray(vector, np.float32))[None]
        self.placed.put(row, place(self.tower, text, np.array([of_bundle]))[0])

    def meet(self, item_id: str, row: int) -> None:
        """Give an item of the bundle that was unknown here the row that it has now."""
        found = self.strangers.pop(item_id, None)
        if found is None:
            return
        of_bundle, placed, text, hashed = found
        if row >= len(self.bundled):
            more = np.full(row + 1 + row // 4 - len(self.bundled), -1, np.int32)
            self.bundled = np.concatenate((self.bundled, more))
        self.bundled[row] = of_bundle
        self.placed.put(row, placed)
        if self.texts is not None and not self.texts.hashes.at(row):
            self.texts.put(row, hashed, text)


Arrived = tuple[int, NDArray[np.floating] | None]
"""The hash of a text and its vector, as they came after a bundle."""


@dataclass(slots=True, eq=False, kw_only=True)
class Loading:
    """A version on its way into memory.

    Made by the loop's thread, built by another one, finished by the loop's thread again; `late`
    names the items whose text vectors came in between.
    """

    version: int
    text_version: int
    items: ItemIndex
    shared: Texts | None  # of the same text version, in use already; for version 0 the frozen ones
    arrived: Mapping[str, Arrived]
    pause: Callable[[float], object] = time.sleep
    late: dict[str, Arrived] = field(default_factory=dict)

    def build(self, checkpoint: Checkpoint, *, eager: bool = True) -> Space:
        """Make the space; `eager` finds all neighbours before it serves, resting in between.

        Raises:
            CheckpointRejected: the bundle does not fit the catalogue's vectors, or is no tower.
        """
        check_tower(checkpoint.tower)
        manifest = checkpoint.manifest
        found = (manifest.version, manifest.text_version)
        if found != (self.version, self.text_version):
            msg = f"bundle {found} does not fit its record {(self.version, self.text_version)}"
            raise CheckpointRejected(msg)
        self._check_dimension(manifest.dimension)
        rows = self.items.rows(checkpoint.item_ids)
        known = np.flatnonzero(rows >= 0)
        texts = self.shared or self._read(checkpoint, rows, known)
        placed = VectorTable(manifest.dimension)
        placed.fill(rows[known], checkpoint.vectors[known])
        bundled = np.full(max(len(self.items), 1024), -1, np.int32)
        bundled[rows[known]] = known
        space = Space(
            version=self.version,
            texts=texts if self.text_version else None,
            placed=placed,
            tower=checkpoint.tower,
            bundled=bundled,
            strangers=_strangers(checkpoint, np.flatnonzero(rows < 0)),
        )
        self._place_others(space, texts, checkpoint.text_hash)
        while eager and texts is not self.shared and texts.table.unfollowed:
            started = time.monotonic()
            texts.neighbours.follow(texts.table, most=_NEIGHBOURS_AT_ONCE)
            self.pause(time.monotonic() - started)
        return space

    def finish(self, space: Space) -> None:
        """Put in what came while the space was built; called by the loop's thread."""
        for item_id, (hashed, vector) in self.late.items():
            row = self.items.row(item_id)
            if space.texts is not None and space.texts is not self.shared:
                space.texts.put(row, hashed, vector)
            space.place_text(row, vector)
        for item_id in [name for name in space.strangers if self.items.row(name) >= 0]:
            space.meet(item_id, self.items.row(item_id))

    def _check_dimension(self, dimension: int) -> None:
        if self.shared is not None and self.shared.table.dimension != dimension:
            msg = f"vectors of {dimension} dimensions, not {self.shared.table.dimension}"
            raise CheckpointRejected(msg)

    def _read(
        self, checkpoint: Checkpoint, rows: NDArray[np.int32], known: NDArray[np.int64]
    ) -> Texts:
        texts = Texts(self.text_version, VectorTable(checkpoint.manifest.dimension))
        if not self.text_version:  # no frozen vector has come yet
            return texts
        texts.table.fill(rows[known], checkpoint.text[known])
        texts.hashes.fill(rows[known], checkpoint.text_hash[known])
        later = {self.items.row(item_id): came for item_id, came in self.arrived.items()}
        later.pop(-1, None)
        width = checkpoint.manifest.dimension
        whole = {row: came for row, came in later.items() if _fits(came[1], width)}
        if whole:
            vectors = np.stack([vector for _, vector in whole.values() if vector is not None])
            texts.table.fill(np.array(list(whole), np.int32), vectors)
        for row, (hashed, vector) in later.items():
            texts.hashes.put(row, hashed)
            if vector is None:
                texts.table.drop(row)
        return texts

    def _place_others(self, space: Space, texts: Texts, hashes: NDArray[np.uint64]) -> None:
        """Place the items that came after the bundle, and those whose text is another one now."""
        rows = np.flatnonzero(texts.table.present)
        of_bundle = np.full(len(rows), -1, np.int64)
        inside = rows < len(space.bundled)
        of_bundle[inside] = space.bundled[rows[inside]]
        same = np.zeros(len(rows), np.bool_)
        listed = np.flatnonzero((of_bundle >= 0) & (rows < len(texts.hashes.of)))
        same[listed] = texts.hashes.of[rows[listed]] == hashes[of_bundle[listed]]
        for start in range(0, len(rows), _PLACED_AT_ONCE):
            part = start + np.flatnonzero(~same[start : start + _PLACED_AT_ONCE])
            if len(part):
                text = texts.table.came(rows[part])
                space.placed.fill(rows[part], place(space.tower, text, of_bundle[part]))
                self.pause(0.001)


def _fits(vector: NDArray[np.floating] | None, dimension: int) -> bool:
    return vector is not None and vector.shape == (dimension,)


def _strangers(checkpoint: Checkpoint, rows: NDArray[np.int64]) -> dict[str, Bundled]:
    return {
        checkpoint.item_ids[row]: (
            row,
            checkpoint.vectors[row].copy(),
            checkpoint.text[row].copy(),
            int(checkpoint.text_hash[row]),
        )
        for row in rows.tolist()
    }


_NEIGHBOURS_AT_ONCE = 64
_PLACED_AT_ONCE = 2048
