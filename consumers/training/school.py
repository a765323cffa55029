"""Starts the rounds that are due, one at a time, and announces how they ended.

The loop calls `turn` between two polls; the round itself runs on a thread, on copies, and hands its
outcome over. Knows the memory, the policies and what is announced; not how anything is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from consumers.processes.watchdog import Watchdog
from consumers.settings import Settings
from consumers.telemetry.trainer_metrics import TrainerMetrics
from consumers.training.announced import Announced, announce, records_of
from consumers.training.due import Due, begin, end, next_round, sharing
from consumers.training.memory import Memory, Pupils, user_hashes
from consumers.training.texts import ItemTexts
from stream_rec.adapters.checkpoint import list_versions, prune_checkpoints
from stream_rec.adapters.life import AdapterVersion, version_key
from stream_rec.policy import Policies

if TYPE_CHECKING:
    from consumers.training.rounds import Job, Outcome, Rounds


@dataclass(slots=True, kw_only=True)
class Materials:
    """All that rounds draw on, and where they report; the loop keeps it up to date."""

    settings: Settings
    watchdog: Watchdog
    metrics: TrainerMetrics
    stopping: threading.Event
    memory: Memory
    texts: ItemTexts
    policies: Policies
    announced: Announced
    save: Callable[[], None]


class School:
    """Used by the loop's thread alone, but for `_work`."""

    def __init__(self, materials: Materials) -> None:
        self._at_hand = materials
        self._rounds: Rounds | None = None
        self._running: tuple[Job, threading.Thread] | None = None
        self._ended: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        self._told = 0.0

    @property
    def running(self) -> bool:
        """Whether a round runs now."""
        return self._running is not None and self._running[1].is_alive()

    def turn(self, now_ms: int) -> None:
        """Finish the round that has ended, or begin the one that is due."""
        if self._running is not None:
            job, thread = self._running
            if thread.is_alive():
                self._tell_progress()
                return
            self._running = None
            self._finish(job, self._ended.get())
        at_hand = self._at_hand
        for scenario in sorted(at_hand.memory.buffers):
            policy = at_hand.policies.effective(scenario).policy.adapter
            trying = at_hand.announced.in_shadow(scenario) is not None
            due = next_round(at_hand.memory, scenario, policy, trying=trying, now_ms=now_ms)
            if due is not None:
                self._begin(due, now_ms)
                return

    def stop(self, wait_s: float) -> None:
        """Give a running round a moment to notice that the program ends."""
        if self._running is not None:
            self._at_hand.stopping.set()
            self._running[1].join(wait_s)

    def _begin(self, due: Due, now_ms: int) -> None:
        from consumers.training.rounds import (
            Job,
            Rounds,
        )  # torch: seconds that a start need not wait

        at_hand = self._at_hand
        if self._rounds is None:
            with at_hand.watchdog.within(LOAD_S, "loading torch"):
                self._rounds = Rounds(at_hand.settings, cancelled=at_hand.stopping.is_set)
        champion = at_hand.announced.serving(due.scenario)
        start = self._untainted(champion) if due.kind == "adapter" else champion
        begun = begin(at_hand.memory, due, now_ms=now_ms)
        at_hand.save()
        job = Job(
            due=due,
            version=self._next_version(),
            policy=at_hand.policies.effective(due.scenario).policy.adapter,
            texts=at_hand.texts.now(start.text_version if start else 0),
            histories=at_hand.memory.buffers[due.scenario].histories(),
            start=start,
            champion=champion,
            begun=begun,
            scenarios=sharing(at_hand.memory, due),
        )
        LOG.info(
            "%s/%d: a round of the %s begins: %s; %d events of %d users, %d items, after %s",
            due.scenario,
            job.version,
            due.kind,
            due.reason,
            len(at_hand.memory.buffers[due.scenario]),
            len(job.histories),
            len(job.texts.item_ids),
            start.version if start else "the frozen model",
        )
        at_hand.metrics.running.labels(due.kind).set(1)
        thread = threading.Thread(
            target=self._work, args=(self._rounds, job), name="round", daemon=True
        )
        self._running = job, thread
        thread.start()

    def _work(self, rounds: Rounds, job: Job) -> None:
        try:
            self._ended.put(rounds.run(job))
        except BaseException as error:
            self._ended.put(error)

    def _finish(self, job: Job, outcome: Outcome | BaseException) -> None:
        if isinstance(outcome, BaseException):
            if self._at_hand.stopping.is_set():
                return
            raise outcome
        at_hand, kind = self._at_hand, job.due.kind
        at_hand.metrics.running.labels(kind).set(0)
        at_hand.metrics.seconds.labels(kind).set(outcome.seconds)
        if outcome.record is None:
            LOG.warning(
                "%s/%d: the round is thrown away: %s", job.due.scenario, job.version, outcome.reason
            )
            at_hand.metrics.rounds.labels(kind, "failed").inc()
        else:
            self._announce(job, outcome.record)
        end(at_hand.memory, job.due, job.begun, took_s=outcome.seconds)
        at_hand.save()

    def _announce(self, job: Job, made: AdapterVersion) -> None:
        at_hand = self._at_hand
        if made.kind == "adapter":
            start = job.start.text_version if job.start else 0
            users = user_hashes(job.pupils).tobytes()
            at_hand.memory.learned(
                made.version, Pupils(scenario=made.scenario, start=start, users=users)
            )
        records = records_of(made, at_hand.announced)
        first = next(r for r in records if isinstance(r, AdapterVersion))
        gone = self._old_towers(made.scenario)
        with at_hand.watchdog.within(ANNOUNCE_S, "announcing"):
            announce(at_hand.settings, records, gone)
        at_hand.announced.note(records)
        _log(first)
        metrics = at_hand.metrics
        metrics.rounds.labels(first.kind, first.state).inc()
        loss = first.metrics.get("lora_loss" if first.kind == "adapter" else "tower_loss")
        metrics.loss.labels(first.kind).set(loss if loss is not None else float("nan"))
        metrics.texts.set(first.metrics.get("lora_texts_per_s") or 0.0)
        metrics.gain.labels(first.kind).set(first.gate.get("log_rank_gain") or 0.0)
        self._prune(made.scenario)

    def _next_version(self) -> int:
        """Return a version that no scenario has, announced or left as a bundle by a kill."""
        at_hand = self._at_hand
        root = at_hand.settings.checkpoint_root
        scenarios = {
            *at_hand.memory.buffers,
            *(v.scenario for v in at_hand.announced.versions.values()),
        }
        stored = [v for scenario in scenarios for v in list_versions(root, scenario)]
        newest: int = max([at_hand.announced.newest, *stored])
        return newest + 1

    def _untainted(self, champion: AdapterVersion | None) -> AdapterVersion | None:
        """Return what the next adapter starts from: never one that learned from an erased user."""
        at_hand = self._at_hand
        version = champion.text_version if champion else 0
        if version == 0 or not self._learned_from_erased(version):
            return champion
        while version and self._learned_from_erased(version):
            pupils = at_hand.memory.pupils.get(version)
            version = pupils.start if pupils else 0
        stored = [
            v
            for v in at_hand.announced.versions.values()
            if v.text_version == version
            and v.version in list_versions(at_hand.settings.checkpoint_root, v.scenario)
        ]
        found = max(stored, key=lambda v: v.version, default=None) if version else None
        LOG.info(
            "what serves learned from an erased user: going on from %s",
            f"version {found.version}" if found else "the frozen model",
        )
        return found

    def _learned_from_erased(self, version: int) -> bool:
        """Whether an adapter did; one whose pupils are not known may have."""
        memory = self._at_hand.memory
        pupils = memory.pupils.get(version)
        return bool(memory.erased) if pupils is None else pupils.erased > 0

    def _old_towers(self, scenario: str) -> list[bytes]:
        """Return keys of records of towers that came and went long ago."""
        kept = self._at_hand.announced.kept(scenario)
        towers = [
            v
            for v in self._at_hand.announced.versions.values()
            if v.scenario == scenario and v.kind == "tower" and v.version not in kept
        ]
        towers.sort(key=lambda v: v.version)
        return [version_key(scenario, v.version) for v in towers[:-TOWERS_TOLD]]

    def _prune(self, scenario: str) -> None:
        announced = self._at_hand.announced
        adapters = sorted(
            v.version
            for v in announced.versions.values()
            if v.scenario == scenario and v.kind == "adapter"
        )
        kept = announced.kept(scenario) | set(adapters[-ADAPTERS_KEPT:])
        root = self._at_hand.settings.checkpoint_root
        removed = prune_checkpoints(root, scenario, keep=BUNDLES_KEPT, promoted=kept)
        if removed:
            LOG.debug("bundles removed: %s", removed)

    def _tell_progress(self) -> None:
        step = self._rounds.step if self._rounds else None
        if step is None or time.monotonic() - self._told < TELL_EVERY_S:
            return
        self._told = time.monotonic()
        LOG.info(
            "adapter: step %d, loss %.3f, %.0f texts/s, %.0f s",
            step.step,
            step.loss,
            step.texts / max(step.seconds, 1e-9),
            step.seconds,
        )


def _log(record: AdapterVersion) -> None:
    gate = record.gate
    LOG.info(
        "%s/%d: %s %s: %s (log-rank %+.4f, z %.1f; NDCG@10 %.4f after %.4f), %.0f s",
        record.scenario,
        record.version,
        record.kind,
        record.state,
        record.reason,
        gate.get("log_rank_gain") or 0.0,
        gate.get("log_rank_z") or 0.0,
        gate.get("challenger_ndcg") or 0.0,
        gate.get("champion_ndcg") or 0.0,
        record.metrics.get("seconds") or 0.0,
    )


LOG = logging.getLogger(__name__)
LOAD_S = 300.0
ANNOUNCE_S = 20.0
TELL_EVERY_S = 20.0
BUNDLES_KEPT = 3
ADAPTERS_KEPT = 3
TOWERS_TOLD = 20
