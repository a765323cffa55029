"""What every worker holds a whole copy of: catalogue, vectors, item statistics, policies, learners.

It is mutable and changes only through the methods here, each one the arrival of one replicated
record. Knows no user and no topic.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.items import Item, item_text
from stream_rec.policy import Policies
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.ranking.exploration import Exploration
from stream_rec.ranking.reranker import Reranker
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics

TEXT = "text"


@dataclass(slots=True)
class Replica:
    """One worker's copy; `vectors` by modality, all rows numbered by `items`.

    `adapter_version` names the adapter that made the text vectors: 0 is the frozen model.
    """

    items: ItemIndex = field(default_factory=ItemIndex)
    policies: Policies = field(default_factory=Policies)
    sentiment: Sentiment = field(default_factory=Sentiment)
    exploration: Exploration = field(default_factory=Exploration)
    rerankers: dict[str, Reranker] = field(default_factory=dict)
    vectors: dict[str, VectorTable] = field(default_factory=dict)
    scenarios: set[str] = field(default_factory=lambda: {"default"})
    adapter_version: int = 0
    catalogue: Catalogue = field(init=False)
    statistics: Statistics = field(init=False)

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.items)
        self.statistics = Statistics(self.items)

    def put_item(self, item: Item) -> None:
        """Take an item into the catalogue, or replace it; its other modalities come with it."""
        row = self.catalogue.put(item)
        for name, vector in item.vectors.items():
            self._put_vector(f"modality:{name}", row, np.asarray(vector, np.float32))

    def withdraw_item(self, item_id: str) -> None:
        """Take an item out of the catalogue; what is known of its past stays."""
        self.catalogue.withdraw(item_id)
        row = self.items.row(item_id)
        if row >= 0:
            for table in self.vectors.values():
                table.drop(row)

    def put_text_vector(self, item_id: str, vector: NDArray[np.float32] | None) -> None:
        """Take an item's text vector, (d,); None for an item without any text."""
        row = self.items.add(item_id)
        if vector is not None:
            self._put_vector(TEXT, row, vector)
        self.catalogue.encoded[row] = True

    def put_policy(self, scenario: str, offset: int, patch: dict[str, object] | None) -> None:
        """Take an accepted policy layer.

        Raises:
            InvalidPolicy: it is not valid; nothing changes.
        """
        self.policies.put(scenario, offset, patch)
        if scenario != "*":
            self.scenarios.add(scenario)

    def reranker(self, scenario: str) -> Reranker:
        """Return the scenario's re-ranker; for a scenario without one, fresh start weights."""
        return self.rerankers.get(scenario) or Reranker()

    def encoded_items(self) -> int:
        """Count the known items that need no more encoding; one without any text counts."""
        rows = len(self.items)
        known = self.catalogue.known[:rows]
        done = self.catalogue.encoded[:rows] | self.catalogue.textless[:rows]
        return int((known & done).sum())

    def _put_vector(self, name: str, row: int, vector: NDArray[np.float32]) -> None:
        table = self.vectors.get(name)
        if table is None:
            table = self.vectors[name] = VectorTable(len(vector))
        if len(vector) == table.dimension:
            table.put(row, vector)


def text_of(replica: Replica, item_id: str) -> str | None:
    """Return the title of an item for a reason's words, or None for a stranger."""
    item = replica.catalogue.item(item_id)
    return None if item is None else item.title or item_text(item) or item_id
