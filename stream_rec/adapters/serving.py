"""Which adapter version serves which scenario, and a replica seen through one of them.

Everything but vectors, their neighbours and the needs found with them is shared with the frozen
model, version 0. A swap is one assignment (`Spaces.serve`), made between two batches. Knows no
topics, and not why a version serves.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.life import DEFAULT_SCENARIO
from stream_rec.adapters.space import Arrived, Hashes, Loading, Space, Texts
from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.experts.views import Views
from stream_rec.policy import Trust
from stream_rec.ranking.derived import Derived
from stream_rec.ranking.exploration import Exploration
from stream_rec.ranking.reranker import Reranker
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics


@dataclass(slots=True, kw_only=True)
class Served:
    """What lists of one version are made from; made for a batch and then thrown away."""

    items: ItemIndex
    catalogue: Catalogue
    statistics: Statistics
    vectors: dict[str, VectorTable]
    views: Views
    derived: Derived
    exploration: Exploration
    rerankers: dict[str, Reranker]
    adapter_version: int
    trust: Trust
    count_encoded: Callable[[], int]

    def reranker(self, scenario: str) -> Reranker:
        """Return the scenario's re-ranker; for a scenario without one, fresh start weights."""
        return self.rerankers.get(scenario) or Reranker()

    def encoded_items(self) -> int:
        """Count the known items that need no more encoding under this version."""
        return self.count_encoded()


@dataclass(slots=True)
class Spaces:
    """The versions in memory; `serving` maps a scenario to the one that serves it."""

    made: dict[int, Space] = field(default_factory=dict)
    serving: dict[str, int] = field(default_factory=dict)
    _texts: dict[int, Texts] = field(default_factory=dict)
    _arrived: dict[int, dict[str, Arrived]] = field(default_factory=dict)
    _loading: dict[int, Loading] = field(default_factory=dict)
    _views: dict[int, Views] = field(default_factory=dict)
    _awaiting: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def version_of(self, scenario: str) -> int:
        """Return the version that serves a scenario; without one of its own, the default's."""
        found = self.serving.get(scenario)
        return self.serving.get(DEFAULT_SCENARIO, 0) if found is None else found

    def serve(self, serving: Mapping[str, int]) -> None:
        """Let these versions serve from the next batch on; each is 0 or in memory."""
        self.serving = dict(serving)

    def begin(
        self, version: int, text_version: int, items: ItemIndex, frozen: Texts | None
    ) -> Loading:
        """Start to load a version; `frozen` are the texts of version 0."""
        arrived = dict(self._arrived.get(text_version, {}))
        shared = self._texts.get(text_version) if text_version else frozen
        loading = Loading(
            version=version, text_version=text_version, items=items, shared=shared, arrived=arrived
        )
        self._loading[version] = loading
        return loading

    def finish(self, space: Space) -> None:
        """Take a space that was built; nothing is served from it yet."""
        loading = self._loading.pop(space.version)
        loading.finish(space)
        if space.texts is not None:
            self._texts[space.text_version] = space.texts
        self.made[space.version] = space

    def abandon(self, version: int) -> None:
        """Forget a version that could not be loaded."""
        self._loading.pop(version, None)

    def keep_only(self, versions: Collection[int]) -> None:
        """Let go of all versions in memory but these, and of texts that none of them uses."""
        self.made = {v: space for v, space in self.made.items() if v in versions}
        used = {space.text_version for space in self.made.values()}
        used |= {job.text_version for job in self._loading.values()}
        self._texts = {v: texts for v, texts in self._texts.items() if v in used}
        self._views = {v: views for v, views in self._views.items() if v in used}
        self._awaiting = {v: known for v, known in self._awaiting.items() if v in used}

    def take_item(self, item_id: str, row: int) -> None:
        """Note that an item has a row."""
        for space in self.made.values():
            if space.strangers:
                space.meet(item_id, row)

    def take_text(
        self, version: int, item_id: str, row: int, found: tuple[int, NDArray[np.float32] | None]
    ) -> None:
        """Take a text vector of one text version: the hash of its text, and (dimension,) or None.

        Raises:
            StateRejected: it has another dimension or is not finite.
        """
        hashed, vector = found
        if version:
            if (texts := self._texts.get(version)) is not None:
                texts.put(row, hashed, vector)
            small = None if vector is None else vector.astype(np.float16)
            self._arrived.setdefault(version, {})[item_id] = (hashed, small)
        for space in self.made.values():
            if space.text_version == version:
                space.place_text(row, vector)
        for loading in self._loading.values():
            if loading.text_version == version:
                loading.late[item_id] = found

    def drop_text(self, version: int, item_id: str) -> None:
        """Note that a vector was withdrawn; one that a table holds stays until its item changes."""
        arrived = self._arrived.get(version)
        if arrived is not None:
            arrived.pop(item_id, None)
            if not arrived:
                del self._arrived[version]

    def views_of(self, texts: Texts, beside: Views) -> Views:
        """Return the views of a text version, which share with the frozen ones what they can."""
        views = self._views.get(texts.version)
        if views is None:
            views = self._views[texts.version] = beside.beside(texts.table, texts.neighbours)
        return views

    def encoded(self, texts: Texts, wanted: Hashes, count: int, no_text: int) -> int:
        """Count which of `count` items have the vector of their text in `texts`, or no text."""
        known = self._awaiting.get(texts.version)
        mark = (wanted.changes, texts.hashes.changes)
        if known is None or known[:2] != mark:
            rows = min(len(wanted.of), len(texts.hashes.of))
            have = np.zeros(len(wanted.of), np.uint64)
            have[:rows] = texts.hashes.of[:rows]
            asked = (wanted.of != 0) & (wanted.of != no_text)
            known = (*mark, int(np.count_nonzero(asked & (wanted.of != have))))
            self._awaiting[texts.version] = known
        return count - known[2]


def grouped(versions: Sequence[int]) -> dict[int, list[int]]:
    """Return the places of each version, in order of first appearance.

    >>> grouped([0, 5, 0])
    {0: [0, 2], 5: [1]}
    """
    groups: dict[int, list[int]] = {}
    for place, version in enumerate(versions):
        groups.setdefault(version, []).append(place)
    return groups
