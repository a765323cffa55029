"""Events and erasures as the trainer hears them: in any dialect, by pseudonym, into its memory.

What the recommender sends to the dead letters is passed over here. Knows no topics and no rounds.
"""

import logging
from typing import Any

import msgspec

from consumers.settings import Settings
from consumers.telemetry.trainer_metrics import TrainerMetrics
from consumers.training.due import FEWEST_OF_ITS_OWN
from consumers.training.feedback import feedback_of
from consumers.training.memory import Memory
from consumers.training.shown import Shown
from stream_rec.adapters.life import DEFAULT_SCENARIO
from stream_rec.erasure import parse_erasure
from stream_rec.errors import InvalidRecord
from stream_rec.events import Event, Kind, parse_events
from stream_rec.policy import Policies


class Listener:
    """Used by the loop's thread alone; `join` says whether lists shown from now on are joined."""

    def __init__(self, settings: Settings, metrics: TrainerMetrics) -> None:
        self.shown = Shown()
        self.join = False
        self._form = settings.format
        self._names = settings.names()
        self._metrics = metrics

    def take_event(self, record: Any, kind: Kind, memory: Memory, policies: Policies) -> None:
        """Remember what one record teaches, each item of it by the policy of its scenario."""
        try:
            events = parse_events(
                record.value,
                key=record.key,
                kind=kind,
                source=f"{record.topic}-{record.partition}-{record.offset}",
                append_ms=record.timestamp,
                headers=tuple(record.headers or ()),
                form=self._form,
            )
        except InvalidRecord:
            self._metrics.events.labels("refused").inc()
            return
        for event in events:
            feedback = feedback_of(event, policies.effective(event.scenario).policy.signals)
            if feedback is None:
                self._metrics.events.labels("without feedback").inc()
                continue
            if self._names.keyed:
                name = self._names.of(event.user_id)
                feedback = msgspec.structs.replace(feedback, user_id=name)
            if not memory.take(event.scenario, feedback):
                self._metrics.events.labels("erased").inc()
                continue
            self._metrics.events.labels("learnable").inc()
            if self.join and event.consuming:
                self._join(event, record.timestamp, memory)

    def take_erasure(self, record: Any, memory: Memory) -> None:
        """Forget a user under every name that they were ever remembered by."""
        try:
            erasure = parse_erasure(record.value, key=record.key, append_ms=record.timestamp)
        except InvalidRecord:
            self._metrics.events.labels("refused").inc()
            return
        marked = [
            version
            for name in (self._names.of(erasure.user_id), *self._names.older(erasure.user_id))
            for version in memory.erase(name, erasure.timestamp)
        ]
        self._metrics.erased.inc()
        if marked:
            LOG.info("a user was erased; adapters that learned from them: %s", marked)

    def _join(self, event: Event, appended_ms: int, memory: Memory) -> None:
        """Join what was taken to what was shown; lists that stop fitting ask for an adapter.

        A scenario with too little of its own is trained as part of `default`: that one is asked.
        """
        outcome, fell = self.shown.take_event(event, appended_ms)
        self._metrics.joined.labels(outcome).inc()
        if fell:
            self._metrics.drifts.inc()
            own = len(memory.buffers.get(event.scenario, ())) >= FEWEST_OF_ITS_OWN
            trained = event.scenario if own else DEFAULT_SCENARIO
            memory.clock(trained, "adapter").drifted = True


LOG = logging.getLogger(__name__)
