"""Starts the rounds that are due, one of each kind at a time, and announces how they ended.

The loop calls `turn` between two polls; a round itself runs on a thread, on copies, and hands its
outcome over. Towers go on while an adapter is trained, which takes many times as long. Knows the
memory, the policies and what is announced; not how anything is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumers.processes.watchdog import Watchdog
from consumers.settings import Settings
from consumers.telemetry.trainer_metrics import TrainerMetrics
from consumers.training.announced import Announced, announce, records_of
from consumers.training.due import Due, Kind, adapter_due, begin, end, sharing, tower_due
from consumers.training.job import Job, Outcome
from consumers.training.latest import Latest
from consumers.training.memory import Memory, Pupils, user_hashes
from consumers.training.succession import Succession, old_towers
from consumers.training.texts import ItemTexts
from stream_rec.adapters.life import AdapterVersion
from stream_rec.adapters.version_claims import claim_version
from stream_rec.policy import Policies

if TYPE_CHECKING:
    from consumers.training.rounds import Rounds


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A round on its thread, and what will become of it."""

    job: Job
    thread: threading.Thread
    outcome: Future[Outcome]


class School:
    """Used by the loop's thread alone, but for `_work`."""

    def __init__(self, materials: Materials) -> None:
        self._at_hand = materials
        self._succession = Succession(materials.settings.checkpoint_root)
        self._rounds: Rounds | None = None
        self._running: dict[Kind, _Running] = {}
        self._towers_rest_until_ms = 0
        self._told = 0.0

    @property
    def running(self) -> bool:
        """Whether a round runs now."""
        return any(round_.thread.is_alive() for round_ in self._running.values())

    def turn(self, now_ms: int) -> None:
        """Finish the rounds that have ended, and begin those that are due."""
        for kind in _DUE:
            running = self._running.get(kind)
            if running is not None and running.outcome.done():
                del self._running[kind]
                self._finish(running.job, running.outcome, now_ms)
            elif running is not None:
                self._give_latest(running.job)
                self._tell_progress(kind)
            if kind not in self._running and (due := self._due(kind, now_ms)) is not None:
                self._begin(due, now_ms)

    def stop(self, wait_s: float) -> None:
        """Give running rounds a moment to notice that the program ends."""
        self._at_hand.stopping.set()
        until = time.monotonic() + wait_s
        for running in self._running.values():
            running.thread.join(max(0.0, until - time.monotonic()))

    def _due(self, kind: Kind, now_ms: int) -> Due | None:
        at_hand = self._at_hand
        memory = at_hand.memory
        if kind == "tower" and now_ms < self._towers_rest_until_ms:
            return None
        # Whoever has waited longest, so that every scenario has its turn.
        for scenario in sorted(memory.buffers, key=lambda s: (memory.clock(s, kind).began_ms, s)):
            policy = at_hand.policies.effective(scenario).policy.adapter
            trying = at_hand.announced.in_shadow(scenario) is not None or any(
                job.due.scenario == scenario and job.latest is not None and job.latest.given
                for job in self._jobs
            )
            due = _DUE[kind](memory, scenario, policy, trying=trying, now_ms=now_ms)
            if due is not None:
                return due
        return None

    def _begin(self, due: Due, now_ms: int) -> None:
        from consumers.training.rounds import Rounds  # torch: seconds a start need not wait

        at_hand = self._at_hand
        if self._rounds is None:
            with at_hand.watchdog.within(LOAD_S, "loading torch"):
                self._rounds = Rounds(at_hand.settings, cancelled=at_hand.stopping.is_set)
        champion = start = at_hand.announced.serving(due.scenario)
        if due.kind == "adapter":
            start = self._succession.untainted(champion, at_hand.memory, at_hand.announced)
        begun = begin(at_hand.memory, due, now_ms=now_ms)
        job = Job(
            due=due,
            version=claim_version(at_hand.settings.checkpoint_root, above=at_hand.announced.newest),
            policy=at_hand.policies.effective(due.scenario).policy.adapter,
            texts=at_hand.texts.now(start.text_version if start else 0),
            histories=at_hand.memory.buffers[due.scenario].histories(),
            start=start,
            champion=champion,
            begun=begun,
            scenarios=sharing(at_hand.memory, due),
            latest=Latest(at_hand.stopping.is_set) if due.kind == "adapter" else None,
        )
        if due.kind == "adapter":  # noted now, so that who is erased meanwhile marks it
            users = user_hashes(job.pupils).tobytes()
            text_version = start.text_version if start else 0
            at_hand.memory.learned(
                job.version, Pupils(scenario=due.scenario, start=text_version, users=users)
            )
        at_hand.save()
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
        outcome: Future[Outcome] = Future()
        thread = threading.Thread(
            target=_work, args=(self._rounds, job, outcome), name=due.kind, daemon=True
        )
        self._running[due.kind] = _Running(job=job, thread=thread, outcome=outcome)
        thread.start()

    def _give_latest(self, job: Job) -> None:
        """Hand a round what the champion's tower knows, and wait for one that is being made."""
        tower = self._running.get("tower")
        if job.latest is None or not job.latest.wanted or tower is not None:
            return
        memory, scenario = self._at_hand.memory, job.due.scenario
        serving = self._at_hand.announced.serving(scenario)
        until_ms = memory.clock(serving.scenario, "tower").serves_ms if serving else -1
        if until_ms < 0:
            until_ms = job.begun.newest_ms
        histories = memory.buffers[scenario].histories(until_ms)
        memory.learned_more(job.version, histories)
        job.latest.give(histories)

    def _finish(self, job: Job, ended: Future[Outcome], now_ms: int) -> None:
        at_hand, kind = self._at_hand, job.due.kind
        if ended.exception() is not None and at_hand.stopping.is_set():
            return
        outcome = ended.result()
        at_hand.metrics.running.labels(kind).set(0)
        at_hand.metrics.seconds.labels(kind).set(outcome.seconds)
        if kind == "tower":
            self._towers_rest_until_ms = now_ms + int(1000 * REST * outcome.seconds)
        serves = False
        if outcome.record is None:
            LOG.warning(
                "%s/%d: the round is thrown away: %s", job.due.scenario, job.version, outcome.reason
            )
            at_hand.metrics.rounds.labels(kind, "failed").inc()
        else:
            serves = self._announce(outcome.record).state == "promoted"
        end(at_hand.memory, job.due, job.begun, serves=serves)
        at_hand.save()

    def _announce(self, made: AdapterVersion) -> AdapterVersion:
        """Tell of a round's outcome; return it as it was told."""
        at_hand = self._at_hand
        records = records_of(made, at_hand.announced)
        first = next(r for r in records if isinstance(r, AdapterVersion))
        gone = old_towers(made.scenario, at_hand.announced)
        with at_hand.watchdog.within(ANNOUNCE_S, "announcing"):
            announce(at_hand.settings, records, gone)
        at_hand.announced.note(records)
        _log(first)
        metrics = at_hand.metrics
        metrics.rounds.labels(first.kind, first.state).inc()
        loss = first.metrics.get("lora_loss" if first.kind == "adapter" else "tower_loss")
        metrics.loss.labels(first.kind).set(loss if loss is not None else float("nan"))
        if first.kind == "adapter":
            metrics.texts.set(first.metrics.get("lora_texts_per_s") or 0.0)
        metrics.gain.labels(first.kind).set(first.gate.get("log_rank_gain") or 0.0)
        self._succession.prune(made.scenario, at_hand.announced, self._versions_at_work)
        readers = self._succession.readers(at_hand.announced)
        at_hand.memory.forget_versions(readers | self._versions_at_work)
        return first

    @property
    def _versions_at_work(self) -> set[int]:
        return {version for job in self._jobs for version in job.versions}

    @property
    def _jobs(self) -> list[Job]:
        return [running.job for running in self._running.values()]

    def _tell_progress(self, kind: Kind) -> None:
        step = self._rounds.step if self._rounds and kind == "adapter" else None
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


def _work(rounds: Rounds, job: Job, outcome: Future[Outcome]) -> None:
    try:
        outcome.set_result(rounds.run(job))
    except BaseException as error:
        outcome.set_exception(error)


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
_DUE: dict[Kind, Callable[..., Due | None]] = {"tower": tower_due, "adapter": adapter_due}
LOAD_S = 300.0
ANNOUNCE_S = 20.0
TELL_EVERY_S = 20.0
# Towers rest as long as the last one took: an adapter, which stands aside for them, has half of the
# time at least.
REST = 1.0
