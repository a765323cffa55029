"""Gather live evidence on adapters, and exchange it with the other workers.

What was taken is noted after its transaction has committed and compared in slices, at most a fifth
of the time, so events come first; under load the oldest are left out. About once a second a worker
writes its evidence to `internal.rerankers`, outside of every transaction, under
`<kind>/<scenario>/<adapter>/<slot>`: a restart loses a second of it, never counts any twice. Knows
not what evidence decides.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from kafka import KafkaProducer

from consumers.recommending.adapters import Adapters
from consumers.recommending.trials import SHADOW, WATCH, Trial
from stream_rec.adapters.comparison import Taken, differences
from stream_rec.adapters.shadow import Evidence, gather, merge
from stream_rec.catalogue.vectors import VectorTable
from stream_rec.experts.views import TEXT, TOWER
from stream_rec.record_fields import whole_number
from stream_rec.replica import Replica


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker says of one trial."""

    format: int = 1
    against: int  # the adapter it is compared with, whichever tower that has
    since: int
    evidence: Evidence


class Shadowing:
    """The evidence of one worker and the newest words of the others; used by the loop's thread."""

    def __init__(
        self, replica: Replica, adapters: Adapters, producer: KafkaProducer, topic: str, slot: int
    ) -> None:
        self._replica = replica
        self._adapters = adapters
        self._producer = producer
        self._topic = topic
        self._slot = str(slot)
        self._taken: deque[Taken] = deque(maxlen=MOST_NOTED)
        self._own: dict[Trial, Evidence] = {}
        self._words: dict[tuple[str, str, int], dict[str, Word]] = {}
        self._written: dict[Trial, Evidence] = {}
        self._trials: list[Trial] = []
        self._rested_until = 0.0
        self._live = False

    def take(self, record: Any) -> bool:
        """Note what a worker wrote, oneself only before `start`; False when it is no evidence."""
        parts = (record.key or b"").decode("utf-8", "replace").split("/")
        version = whole_number(parts[2]) if len(parts) == 4 else None
        if version is None or parts[0] not in {SHADOW, WATCH}:
            return False
        kind, scenario, _, slot = parts
        words = self._words.setdefault((kind, scenario, version), {})
        if record.value is None:
            words.pop(slot, None)
        elif not (self._live and slot == self._slot):
            try:
                words[slot] = msgspec.json.decode(record.value, type=Word)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                LOG.warning("evidence of slot %s is skipped: %s", slot, error)
        return True

    def start(self) -> None:
        """Go on from this slot's own words."""
        self._live = True
        self.look()

    def look(self) -> None:
        """Find what is to be compared now; a watch that went well comes to its end."""
        trials, adapters = self._adapters.trials(), self._adapters
        adapters.unwatched &= set(adapters.watches())
        for trial in trials:
            known = self._own.get(trial)
            if known is None or known.min_gain != self._min_gain(trial):
                self._own[trial] = self._restored(trial)
        # The words on a watch that has ended stay until another adapter serves, or the evidence of
        # those who still watch would shrink.
        for trial in self._own.keys() - {*trials, *adapters.unwatched}:
            del self._own[trial]
            if self._written.pop(trial, None) is not None:
                self._write(trial, None)  # decided; until then a crash may have it decided again
        self._trials = trials
        if not trials:
            self._taken.clear()
        for trial in trials:
            gate = self._replica.policies.effective(trial.scenario).policy.adapter.gate
            if trial.kind == WATCH and self.merged(trial).events > WATCHED * gate.shadow_events:
                adapters.unwatched.add(trial)

    @property
    def comparing(self) -> bool:
        """Whether there is anything to compare."""
        return bool(self._trials)

    def note(self, taken: Iterable[Taken]) -> None:
        """Note what users took, to be compared in spare time."""
        self._taken.extend(taken)

    def work(self) -> None:
        """Compare a few noted events, if this worker has rested long enough."""
        started = time.monotonic()
        if not self._taken or started < self._rested_until:
            return
        batch = [self._taken.popleft() for _ in range(min(AT_ONCE, len(self._taken)))]
        now_ms = self._replica.statistics.newest_ms
        for trial in self._trials:
            mine = [one for one in batch if self._concerns(one, trial)]
            champion, challenger = (self._tables(n) for n in (trial.against, trial.version))
            if mine and champion and challenger:
                found = differences(self._replica, mine, champion, challenger, now_ms=now_ms)
                self._own[trial] = gather(self._own[trial], found)
        took = time.monotonic() - started
        self._rested_until = started + (1 + REST) * took

    def merged(self, trial: Trial) -> Evidence:
        """Return the evidence of all workers on a trial."""
        found = self._own.get(trial, Evidence(min_gain=self._min_gain(trial)))
        for slot, word in self._words.get(_place(trial), {}).items():
            if slot != self._slot and _same(word, trial, found):
                found = merge(found, word.evidence)
        return found

    def evidence(self) -> dict[Trial, Evidence]:
        """Return the merged evidence of all trials."""
        return {trial: self.merged(trial) for trial in self._trials}

    def exchange(self) -> None:
        """Write what was gathered since the last time."""
        for trial, evidence in self._own.items():
            if evidence.events and self._written.get(trial) != evidence:
                self._written[trial] = evidence
                word = Word(against=trial.rival, since=trial.since, evidence=evidence)
                self._write(trial, msgspec.json.encode(word))

    def _concerns(self, one: Taken, trial: Trial) -> bool:
        scenario = one.scenario
        return trial.scenario in (scenario, self._adapters.scenario_of(scenario))

    def _tables(self, version: int) -> list[VectorTable]:
        """Return what a version serves with, empty where it is not in memory any more."""
        if version and version not in self._replica.spaces.made:
            return []
        vectors = self._replica.seen_through(version).vectors
        if version and TOWER not in vectors:
            return []
        return [vectors[name] for name in (TEXT, TOWER) if name in vectors]

    def _min_gain(self, trial: Trial) -> float:
        policy = self._replica.policies.effective(trial.scenario).policy
        return policy.adapter.gate.min_gain if trial.kind == SHADOW else 0.0

    def _restored(self, trial: Trial) -> Evidence:
        fresh = Evidence(min_gain=self._min_gain(trial))
        word = self._words.get(_place(trial), {}).get(self._slot)
        return word.evidence if word is not None and _same(word, trial, fresh) else fresh

    def _write(self, trial: Trial, value: bytes | None) -> None:
        key = "/".join((*map(str, _place(trial)), self._slot)).encode()
        try:
            self._producer.send(self._topic, key=key, value=value, partition=0)
        except Exception as error:  # best effort: the next second brings newer evidence
            LOG.warning("evidence was not written: %s", error)


def taken_of(events: Sequence[Any]) -> list[Taken]:
    """Return what can be compared of a step's consuming events (profile before, event, policy)."""
    return [
        Taken(profile=profile, scenario=event.scenario, policy=policy, item_id=event.item_id)
        for profile, event, policy in events
        if profile is not None and profile.history
    ]


def _place(trial: Trial) -> tuple[str, str, int]:
    return trial.kind, trial.scenario, trial.adapter


def _same(word: Word, trial: Trial, evidence: Evidence) -> bool:
    """Whether a word is about this very trial and asks the same question."""
    asked = (word.against, word.since, word.evidence.min_gain)
    return asked == (trial.rival, trial.since, evidence.min_gain)


LOG = logging.getLogger(__name__)
MOST_NOTED = 512
AT_ONCE = 4
WATCHED = 10  # times as many events as a shadow takes
REST = 4.0  # times as long as the last slice took
