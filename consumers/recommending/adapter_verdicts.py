"""Decide on adapters: promote, reject, roll back; each exactly once, by the owner of partition 0.

A decision's records (version, pointer, audit) go into the worker's own transaction with a mark in
`judged`, which says that the version is decided until the records have been read back: a successor
finds either both or none of it, and decides again only in the second case. Knows no transaction.
"""

import logging
import time
from typing import Literal

import msgspec

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.transaction import Outgoing, crash_point
from consumers.recommending.adapters import Adapters
from consumers.recommending.shadowing import Shadowing
from consumers.recommending.trials import SHADOW, Trial
from consumers.recommending.verdicts import Audit, Verdicts
from stream_rec.adapters.life import (
    AdapterVersion,
    LivePointer,
    encode_adapter,
    record_key,
)
from stream_rec.adapters.shadow import Evidence, PromotionWatch, decide
from stream_rec.adapters.turns import Known, Records, Turn, promotion, rejection, rollback
from stream_rec.policy import Gate
from stream_rec.replica import Replica

Decision = Literal["promoted", "rejected", "rolled_back"]


class AdapterVerdicts:
    """What one worker decides while it owns the verdicts; used by the loop's thread."""

    def __init__(
        self, replica: Replica, topics: Topics, verdicts: Verdicts, adapters: Adapters
    ) -> None:
        self._replica = replica
        self._topics = topics
        self._verdicts = verdicts
        self._adapters = adapters
        self._watches: dict[Trial, tuple[PromotionWatch, Evidence]] = {}

    def look(self, shadowing: Shadowing) -> list[Decision]:
        """Decide what can be decided now; the records are written with the next transaction."""
        if not self._verdicts.owned:
            self._watches.clear()
            return []
        self._drop_marks()
        found = shadowing.evidence()
        self._watches = {trial: known for trial, known in self._watches.items() if trial in found}
        decided = []
        for trial, evidence in found.items():
            if _mark(trial.version) in self._verdicts.judged:
                continue
            verdict = self._verdict(trial, evidence)
            if verdict is not None:
                decided.append(verdict)
        return decided + self._look_at_refused()

    def _verdict(self, trial: Trial, evidence: Evidence) -> Decision | None:
        gate = self._gate(trial.scenario)
        figures = f"{evidence.events} events, mean {evidence.mean:+.4f}"
        if trial.kind == SHADOW:
            said = decide(evidence, confidence=gate.confidence, shadow_events=gate.shadow_events)
            if said == "promote":
                return self._promote(trial, evidence, f"better than {trial.against}: {figures}")
            if said == "reject":
                reason = f"not better than {trial.against}: {figures}"
                return self._reject(trial.version, reason, _figures(trial, evidence))
        elif gate.auto_rollback and self._fallen(trial, evidence):
            reason = f"fell below {trial.against}: {figures}"
            told = _figures(trial, evidence)
            return self._roll_back(trial.scenario, trial.version, reason, told)
        return None

    def _fallen(self, trial: Trial, evidence: Evidence) -> bool:
        watch, before = self._watches.get(trial, (PromotionWatch(), Evidence()))
        self._watches[trial] = (watch, evidence)
        if evidence.events < before.events:  # a worker came back with what it had last written
            return False
        return watch.absorb(before, evidence)

    def _look_at_refused(self) -> list[Decision]:
        """End the life of versions that cannot be loaded, after some tries."""
        adapters, decided = self._adapters, []
        for version, reason in adapters.refused.items():
            if adapters.tries(version) < TRIES or _mark(version) in self._verdicts.judged:
                continue
            record = adapters.versions.get(version)
            pointed = [p.scenario for p in adapters.pointers.values() if p.version == version]
            if record is not None and record.state == "shadow":
                decided.append(self._reject(version, reason, {}))
            elif pointed:
                decided.append(self._roll_back(pointed[0], version, reason, {}))
        return decided

    def _promote(self, trial: Trial, evidence: Evidence, reason: str) -> Decision:
        turn = Turn(now_ms=_now_ms(), reason=reason, shadow=_figures(trial, evidence))
        records = promotion(self._known(), trial.version, turn)
        return self._write(records, trial.version, "promoted", turn)

    def _reject(self, version: int, reason: str, figures: dict[str, object]) -> Decision:
        turn = Turn(now_ms=_now_ms(), reason=reason, shadow=figures)
        return self._write(rejection(self._known(), version, turn), version, "rejected", turn)

    def _roll_back(
        self, scenario: str, version: int, reason: str, figures: dict[str, object]
    ) -> Decision:
        turn = Turn(now_ms=_now_ms(), reason=reason, shadow=figures)
        records = rollback(self._known(), scenario, turn)
        return self._write(records, version, "rolled_back", turn)

    def _write(self, records: Records, version: int, verdict: Decision, turn: Turn) -> Decision:
        scenario = records[-1].scenario
        line = Audit(
            at=turn.now_ms,
            kind="adapter",
            scenario=scenario,
            verdict=verdict,
            offset=version,
            by=None,
            reason=turn.reason,
        )
        self._verdicts.records += [adapter_record(self._topics, record) for record in records]
        self._verdicts.records.append(
            Outgoing(
                topic=self._topics.audit,
                partition=0,
                key=scenario.encode(),
                value=msgspec.json.encode(line),
            )
        )
        of = OF_ROLLBACK if verdict == "rolled_back" else OF_SHADOW
        self._verdicts.judged[_mark(version)] = of
        LOG.info("adapters: version %d of %s is %s: %s", version, scenario, verdict, turn.reason)
        crash_point("after_decision")
        return verdict

    def _drop_marks(self) -> None:
        """A mark has served when the records written with it have been read back."""
        judged, versions = self._verdicts.judged, self._adapters.versions
        pointed = {pointer.version for pointer in self._adapters.pointers.values()}
        for name in [name for name in judged if name.startswith(MARK)]:
            version = int(name.removeprefix(MARK))
            record = versions.get(version)
            if judged[name] == OF_ROLLBACK:
                waiting = version in pointed
            else:
                waiting = record is not None and record.state == "shadow"
            if not waiting:
                del judged[name]

    def _known(self) -> Known:
        return Known(versions=self._adapters.versions, pointers=self._adapters.pointers)

    def _gate(self, scenario: str) -> Gate:
        return self._replica.policies.effective(scenario).policy.adapter.gate


def adapter_record(topics: Topics, record: AdapterVersion | LivePointer) -> Outgoing:
    """Return a record of the `adapters` topic."""
    key, value = record_key(record), encode_adapter(record)
    return Outgoing(topic=topics.adapters, partition=0, key=key, value=value)


def _figures(trial: Trial, evidence: Evidence) -> dict[str, object]:
    return {"against": trial.against, "events": evidence.events, "mean": evidence.mean}


def _mark(version: int) -> str:
    return f"{MARK}{version}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


LOG = logging.getLogger(__name__)
MARK = "adapter/"
OF_SHADOW, OF_ROLLBACK = 1, 2
TRIES = 3
