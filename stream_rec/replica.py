"""What every worker holds a whole copy of: catalogue, vectors, item statistics, policies, learners.

It is mutable and changes only through the methods here, each one the arrival of one replicated
record. Knows no user and no topic.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rec.adapters.serving import Served, Spaces, grouped
from stream_rec.adapters.space import Hashes, Texts
from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.experts.trust import newcomer_ms
from stream_rec.experts.views import TEXT, Views
from stream_rec.items import Item, item_text, text_hash
from stream_rec.policy import Policies, Trust
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.ranking.derived import Derived
from stream_rec.ranking.exploration import Exploration
from stream_rec.ranking.reranker import Reranker
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics


@dataclass(slots=True)
class Replica:
    """One worker's copy; `vectors` by modality, all rows numbered by `items`.

    By itself it is the frozen language model, version 0; `spaces` holds the adapters, and `served`
    is what serves a scenario.
    """

    items: ItemIndex = field(default_factory=ItemIndex)
    policies: Policies = field(default_factory=Policies)
    sentiment: Sentiment = field(default_factory=Sentiment)
    exploration: Exploration = field(default_factory=Exploration)
    rerankers: dict[str, Reranker] = field(default_factory=dict)
    vectors: dict[str, VectorTable] = field(default_factory=dict)
    scenarios: set[str] = field(default_factory=lambda: {"default"})
    adapter_version: int = 0
    spaces: Spaces = field(default_factory=Spaces)
    views: Views = field(default_factory=Views)
    derived: Derived = field(default_factory=Derived)
    catalogue: Catalogue = field(init=False)
    statistics: Statistics = field(init=False)
    _encoded: Hashes = field(default_factory=Hashes)  # of the text encoded, by row
    _wanted: Hashes = field(default_factory=Hashes)  # of the present text, by row
    _awaiting: dict[int, int] = field(default_factory=dict)  # row -> hash of the text to encode

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.items)
        self.statistics = Statistics(self.items)

    def put_item(self, item: Item) -> None:
        """Take an item into the catalogue, or replace it; its other modalities come with it."""
        row = self.catalogue.put(item)
        hashed = text_hash(item_text(item))
        self._wanted.put(row, hashed)
        self.spaces.take_item(item.item_id, row)
        if hashed in (self._encoded.at(row), NO_TEXT):
            self._awaiting.pop(row, None)
        else:
            self._awaiting[row] = hashed
        for name, vector in item.vectors.items():
            table = f"modality:{name}"
            if table in self.vectors or len(self.vectors) < MAX_TABLES:
                self._put_vector(table, row, np.asarray(vector, np.float32))

    def withdraw_item(self, item_id: str) -> None:
        """Take an item out of the catalogue; what is known of its past stays."""
        self.catalogue.withdraw(item_id)
        row = self.items.row(item_id)
        if row >= 0:
            self._awaiting.pop(row, None)
            self._encoded.put(row, 0)
            self._wanted.put(row, 0)
            for table in self.vectors.values():
                table.drop(row)

    def put_text_vector(
        self, item_id: str, hashed: int, vector: NDArray[np.float32] | None, text_version: int = 0
    ) -> None:
        """Take the vector, (d,), of the text with this `text_hash`; None where there is none.

        Raises:
            StateRejected: an adapter's vector has another dimension or is not finite.
        """
        row = self.items.add(item_id)
        self.spaces.take_text(text_version, item_id, row, (hashed, vector))
        if text_version:
            return
        self._encoded.put(row, hashed)
        if self._awaiting.get(row) == hashed:
            del self._awaiting[row]
        if vector is not None:
            self._put_vector(TEXT, row, vector)
        elif TEXT in self.vectors:
            self.vectors[TEXT].drop(row)

    def put_policy(self, scenario: str, offset: int, patch: dict[str, object] | None) -> None:
        """Take an accepted policy layer.

        Raises:
            InvalidPolicy: it is not valid; nothing changes.
        """
        self.policies.put(scenario, offset, patch)
        if scenario != "*":
            self.scenarios.add(scenario)

    def forget_user(self, user_id: str, scenarios: Iterable[str]) -> None:
        """Drop what is remembered of a user's lists; nothing else here knows users."""
        self.views.impressions.forget(user_id, scenarios)

    @property
    def trust(self) -> Trust:
        """How much of what newcomers say is passed on, in all scenarios."""
        return self.policies.effective("*").policy.trust

    @property
    def newcomer_ms(self) -> float:
        """Who has been known for less is a newcomer now."""
        return newcomer_ms(self.statistics, self.trust)

    def reranker(self, scenario: str) -> Reranker:
        """Return the scenario's re-ranker; for a scenario without one, fresh start weights."""
        return self.rerankers.get(scenario) or Reranker()

    def served(self, scenario: str) -> "Replica | Served":
        """Return what serves a scenario: this replica itself where no adapter does."""
        return self.seen_through(self.spaces.version_of(scenario))

    def groups(self, scenarios: Sequence[str]) -> list[tuple["Replica | Served", list[int]]]:
        """Return what serves each scenario, with its places in `scenarios`."""
        if not self.spaces.serving:
            return [(self, list(range(len(scenarios))))]
        versions = grouped([self.spaces.version_of(scenario) for scenario in scenarios])
        return [(self.seen_through(version), places) for version, places in versions.items()]

    def seen_through(self, version: int) -> "Replica | Served":
        """Return this replica with a version's vectors; frozen when it is not in memory."""
        space = self.spaces.made.get(version)
        if space is None:
            return self
        texts, views, counted = space.texts, self.views, self.encoded_items
        if texts is not None:
            views = self.spaces.views_of(texts, self.views)
            count, wanted = self.catalogue.count, self._wanted
            counted = lambda: self.spaces.encoded(texts, wanted, count, NO_TEXT)  # noqa: E731
        return Served(
            items=self.items,
            catalogue=self.catalogue,
            statistics=self.statistics,
            vectors=self.vectors | space.tables,
            views=views,
            derived=space.derived(self.derived),
            exploration=self.exploration,
            rerankers=self.rerankers,
            adapter_version=version,
            trust=self.trust,
            count_encoded=counted,
        )

    def frozen_texts(self) -> Texts | None:
        """Return the text vectors of the frozen model; None before the first has come."""
        table = self.vectors.get(TEXT)
        return None if table is None else Texts(0, table, self.views.neighbours, self._encoded)

    def catch_up(self, *, most: int) -> None:
        """Find the neighbours of at most so many new text vectors of each version that serves."""
        for version in {0, *self.spaces.serving.values()}:
            seen = self.seen_through(version)
            seen.views.catch_up(seen, most=most)

    def encoded_items(self) -> int:
        """Count the known items that need no more encoding; one without any text counts."""
        return self.catalogue.count - len(self._awaiting)

    def sizes(self) -> dict[str, int]:
        """Count items: of the catalogue, encoded, known, and pushed by newcomers alone just now."""
        return {
            "catalogue_items": self.catalogue.count,
            "encoded_items": self.encoded_items(),
            "known_items": len(self.items),
            "bounded_items": self.views.bounded_items,
        }

    def _put_vector(self, name: str, row: int, vector: NDArray[np.float32]) -> None:
        table = self.vectors.get(name)
        if table is None:
            table = self.vectors[name] = VectorTable(len(vector))
        if len(vector) == table.dimension:
            table.put(row, vector)


NO_TEXT = text_hash("")
# Each takes a row for every item: names that producers invent must not cost without end.
MAX_TABLES = 8
