"""Exchange what each worker learns online: re-rankers, the judge of review texts, explored places.

About once a second a worker writes its own weights to a compacted topic, outside of every
transaction, and goes on from the average of all workers that wrote lately, each weighed by its own
examples (federated averaging: McMahan et al., AISTATS 2017). The same records bring a worker its
weights back after a restart. Losing one costs a second of learning, never correctness.
"""

import logging
from typing import Any

import msgspec
from kafka import KafkaProducer

from stream_rec.errors import StateRejected
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.ranking.exploration import Exploration
from stream_rec.ranking.reranker import Reranker
from stream_rec.replica import Replica


class Learners:
    """The learners of one worker and the newest words of the others; used by the loop's thread.

    Keys are `<kind>/<scenario>/<slot>`. Sentiment and exploration of others are only taken by a
    worker that has none of its own: sums of them would count the same events twice.
    """

    def __init__(self, producer: KafkaProducer, topic: str, slot: int, replica: Replica) -> None:
        self._producer = producer
        self._topic = topic
        self._slot = str(slot)
        self._replica = replica
        self._others: dict[str, dict[str, tuple[int, Reranker]]] = {}
        self._own: dict[str, Reranker] = {}
        self._sentiments: dict[str, Sentiment] = {}
        self._explorations: dict[str, Exploration] = {}
        self._explored = b""
        self._written: dict[str, int] = {}
        self._next_ms = 0
        self._next_slow_ms = 0
        self._live = False

    def take(self, record: Any) -> None:
        """Note what a worker wrote; its own counts only before `restore`."""
        kind, _, rest = (record.key or b"").decode("utf-8", "replace").partition("/")
        scenario, _, slot = rest.rpartition("/")
        if record.value is None or (self._live and slot == self._slot):
            return
        try:
            if kind == SENTIMENT:
                self._sentiments[slot] = Sentiment.from_bytes(record.value)
            elif kind == EXPLORATION:
                self._explorations[slot] = Exploration.from_bytes(record.value)
            elif kind == RERANKER and slot == self._slot:
                self._own[scenario] = Reranker.from_bytes(record.value)
            elif kind == RERANKER:
                known = (record.timestamp, Reranker.from_bytes(record.value))
                self._others.setdefault(scenario, {})[slot] = known
        except UNUSABLE as error:
            LOG.warning("weights of slot %s are skipped: %s", slot, error)

    def restore(self) -> None:
        """Go on from this slot's own words, or from what the others know."""
        self._live = True
        for scenario, own in self._own.items():
            self._replica.rerankers[scenario] = own
            self._written[scenario] = own.examples
        for scenario, others in self._others.items():
            if scenario not in self._replica.rerankers:
                fresh = Reranker()
                fresh.adopt(Reranker.merged([known for _, known in others.values()]))
                self._replica.rerankers[scenario] = fresh
        if self._slot in self._sentiments:
            self._replica.sentiment = self._sentiments[self._slot]
        elif self._sentiments:
            self._replica.sentiment = Sentiment.merged(self._sentiments.values())
        self._written[SENTIMENT] = self._replica.sentiment.observations
        if self._slot in self._explorations:
            self._replica.exploration = self._explorations[self._slot]
        elif self._explorations:
            self._replica.exploration = Exploration.merged(self._explorations.values())
        self._explored = self._replica.exploration.to_bytes()
        self._own = {}
        self._sentiments = {}
        self._explorations = {}

    def exchange(self, now_ms: int) -> None:
        """Write what was learned since the last time, and take the others' in; once a second."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + EXCHANGE_EVERY_MS
        for scenario, own in list(self._replica.rerankers.items()):
            if own.examples != self._written.get(scenario, 0):
                self._written[scenario] = own.examples
                self._write(f"{RERANKER}/{scenario}/{self._slot}", own.to_bytes())
            others = self._others.get(scenario, {})
            lately = [known for at, known in others.values() if at > now_ms - FORGOTTEN_MS]
            own.pace = 1 + len(lately)
            if lately:
                own.adopt(Reranker.merged([own, *lately]))
        if now_ms >= self._next_slow_ms:
            self._next_slow_ms = now_ms + SLOW_EVERY_MS
            self._exchange_slowly()

    def _exchange_slowly(self) -> None:
        sentiment = self._replica.sentiment
        if sentiment.observations != self._written.get(SENTIMENT, 0):
            self._written[SENTIMENT] = sentiment.observations
            self._write(f"{SENTIMENT}//{self._slot}", sentiment.to_bytes())
        explored = self._replica.exploration.to_bytes()
        if explored != self._explored:
            self._explored = explored
            self._write(f"{EXPLORATION}//{self._slot}", explored)

    def close(self) -> None:
        """Write the last words."""
        self._next_ms = self._next_slow_ms = 0
        self.exchange(1)
        self._producer.close(timeout=3)

    def _write(self, key: str, value: bytes) -> None:
        try:
            self._producer.send(self._topic, key=key.encode(), value=value, partition=0)
        except Exception as error:  # best effort: the next second brings newer weights
            LOG.warning("weights were not written: %s", error)


LOG = logging.getLogger(__name__)
RERANKER, SENTIMENT, EXPLORATION = "reranker", "sentiment", "exploration"
EXCHANGE_EVERY_MS = 1_000
SLOW_EVERY_MS = 10_000  # what is larger, and changes less
# A worker silent for this long has left or died; its share is learned by others now.
FORGOTTEN_MS = 30_000
# A checksum is right in what a hostile writer wrote, too, so what stands behind it may be anything.
UNUSABLE = (StateRejected, msgspec.DecodeError, KeyError, TypeError, ValueError)
