"""What adapters ask of the recommender's loop, in one place: load, swap, compare, decide.

    each round     take in what was loaded, swap
    after commits  note what was taken; compare some of it
    each second    exchange evidence; decide, if this worker owns the verdicts

Knows the parts, not how they work.
"""

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from consumers.kafka_io.topics import Topics
from consumers.recommending.adapter_verdicts import AdapterVerdicts
from consumers.recommending.adapters import Adapters
from consumers.recommending.shadowing import Shadowing, taken_of
from consumers.recommending.verdicts import Verdicts
from consumers.settings import Settings
from consumers.telemetry.adapter_metrics import AdapterMetrics
from stream_rec.replica import Replica
from stream_rec.step import Step


class AdapterRounds:
    """The adapters of one worker; used by the loop's thread."""

    def __init__(
        self,
        replica: Replica,
        settings: Settings,
        verdicts: Verdicts,
        *,
        producer: KafkaProducer,
        registry: CollectorRegistry,
    ) -> None:
        topics = Topics(settings.prefix)
        self._replica = replica
        self._metrics = AdapterMetrics(registry)
        self._adapters = Adapters(replica, settings.checkpoint_root)
        self._shadowing = Shadowing(
            replica, self._adapters, producer, topics.rerankers, settings.slot
        )
        self._verdicts = AdapterVerdicts(replica, topics, verdicts, self._adapters)

    def take(self, record: Any) -> None:
        """Take one record of the `adapters` topic."""
        self._adapters.take(record)

    def texts_are_of(self, model: str) -> None:
        """Note which model made the frozen vectors."""
        self._adapters.texts_are_of(model)

    def take_evidence(self, record: Any) -> bool:
        """Take a worker's evidence; False when the record is none."""
        return self._shadowing.take(record)

    def restore(self, alive: Callable[[], None]) -> None:
        """Load what is live and let it serve, before this worker is ready."""
        self._adapters.restore(alive)
        self._shadowing.start()
        self._tell()

    def between_batches(self) -> bool:
        """Take in what was loaded; say whether another version serves from here on."""
        started = time.monotonic()
        swapped = self._adapters.between_batches()
        if swapped:
            self._metrics.swap.set(time.monotonic() - started)
            self._metrics.swaps.inc()
            self._tell()
        return swapped

    def committed(self, result: Step) -> None:
        """Note what was taken, and compare a little."""
        if self._shadowing.comparing:
            self._shadowing.note(taken_of(result.taken))
            self._shadowing.work()

    def idle(self) -> None:
        """Compare a little of what was noted."""
        self._shadowing.work()

    def each_second(self) -> None:
        """Exchange evidence and decide; what is decided is written with the next transaction."""
        self._shadowing.look()
        self._shadowing.exchange()
        for verdict in self._verdicts.look(self._shadowing):
            self._metrics.decisions.labels(verdict).inc()
        self._tell()

    def close(self) -> None:
        """Write the last words, and let go of what is being loaded."""
        self._shadowing.exchange()
        self._adapters.close()

    def _tell(self) -> None:
        spaces = self._replica.spaces
        self._metrics.spaces.set(len(spaces.made))
        self._metrics.refused.set(len(self._adapters.refused))
        self._metrics.load.set(self._adapters.load_s)
        found = {
            (trial.kind, trial.scenario, trial.version): (evidence.events, evidence.mean)
            for trial, evidence in self._shadowing.evidence().items()
        }
        self._metrics.shadowing(found)
