"""Run one round: what serves now is read, a candidate is trained, judged and stored.

    1. load     the model, once; the bundle that serves; the vectors that are known already
    2. learn    `stream_rec.language_model.learning_round`
    3. store    the bundle, whole, before anything is said of it
    4. tell     the record for the `adapters` topic, which the loop writes

Runs on threads beside the loop, a tower's beside an adapter's. Knows no topics and no offsets.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import msgspec
import numpy as np
from numpy.typing import NDArray

from consumers.kafka_io.transaction import crash_point
from consumers.settings import Settings, model_path
from consumers.training.finished import bundle_of, record_of
from consumers.training.job import Job, Outcome
from consumers.training.latest import Cancelled
from consumers.training.texts import Texts, known_vectors, subset
from stream_rec.adapters.checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from stream_rec.adapters.life import AdapterVersion
from stream_rec.errors import CheckpointRejected, TrainingFailed
from stream_rec.language_model.adapter import adapter_rank, merge_adapter
from stream_rec.language_model.backbone import Backbone, compute_with, load_backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.learning_round import Catalogue, Conditions, learning_round
from stream_rec.language_model.lesson import Step, lora_settings
from stream_rec.language_model.stored_adapter import served_adapter
from stream_rec.language_model.tower_training import TowerSettings
from stream_rec.language_model.vector_cache import cache_fingerprint
from stream_rec.policy import AdapterPolicy
from stream_rec.record_fields import whole_number


class Rounds:
    """Runs rounds, of each kind one after the other; the model stays loaded between them."""

    def __init__(self, settings: Settings, *, cancelled: Callable[[], bool]) -> None:
        self.settings = settings
        self.step: Step | None = None  # how far the adapter being trained is
        self._cancelled = cancelled
        self._backbone: Backbone | None = None
        self._loading = threading.Lock()
        self._tower = threading.RLock()  # held while a tower is made: an adapter stands aside
        self._stood_aside_s = 0.0

    def run(self, job: Job) -> Outcome:
        """Run a round; whatever it meets ends in an outcome.

        Raises:
            Cancelled: the program ends.
            ModelUnavailable: the model cannot be loaded.
        """
        started = time.monotonic()
        if job.due.kind == "adapter":
            self.step = None
        phases = _Phases(job, self._cancelled)
        record: AdapterVersion | None = None
        try:
            with self._tower if job.due.kind == "tower" else nullcontext():
                record = self._run(job, phases)
            reason = record.reason
        except (TrainingFailed, CheckpointRejected) as error:
            reason = str(error)
        seconds = time.monotonic() - started
        if record is not None:
            metrics = record.metrics | {"seconds": round(seconds, 1), "phases": phases.seconds}
            record = msgspec.structs.replace(record, metrics=metrics)
        return Outcome(record=record, reason=reason, seconds=seconds)

    def _run(self, job: Job, phases: _Phases) -> AdapterVersion:
        backbone = self._loaded()
        phases.done("model loaded")
        start = self._bundle(job.start, backbone)
        if start is None and job.start is not None and job.due.kind == "tower":
            message = f"what serves, {job.start.scenario}/{job.start.version}, cannot be read"
            raise CheckpointRejected(message)
        champion = start if job.champion == job.start else self._bundle(job.champion, backbone)
        if job.due.kind == "adapter" and not _fits(start, job.policy):
            LOG.warning("rank is %d now: the adapter starts anew", job.policy.rank)
            champion, start = champion or start, None
        texts, catalogue = self._catalogue(job, start, backbone)
        phases.done(f"{len(texts.item_ids)} texts at hand")
        conditions = Conditions(
            lora=lora_settings(job.policy) if job.due.kind == "adapter" else None,
            # What passes is fitted once more, with the events held out too.
            tower=TowerSettings(max_s=min(TOWER_S, job.policy.max_s), refit=False),
            min_gain=job.policy.gate.min_gain,
            confidence=job.policy.gate.confidence,
            needed_z=NEEDED_Z[job.due.kind],
            seed=job.version,
            monotonic=self._busy_s,
            progress=self._progress,
            since_ms=job.begun.since_ms,
            replay_ratio=job.policy.replay_ratio,
            phase=phases.done,
            latest=job.latest.ask if job.latest else None,
            pause=self._pause,
        )
        judged_against = None if champion is start else champion
        candidate = learning_round(
            backbone,
            catalogue,
            job.histories,
            conditions,
            last=start,
            champion=judged_against,
            scenarios=job.scenarios,
        )
        accepted = candidate.verdict.decision == "shadow"
        if accepted or job.due.kind == "adapter":
            bundle = bundle_of(job, candidate, texts, backbone)
            write_checkpoint(self.settings.checkpoint_root, bundle)
            phases.done("bundle written")
        return record_of(job, candidate, backbone, champion)

    def _progress(self, step: Step) -> None:
        self.step = step
        self._pause()

    def _pause(self) -> None:
        """Let a tower go first: it takes seconds, and serves at once. On a GPU nobody waits."""
        if self._backbone is not None and self._backbone.device.type == "cpu":
            since = time.monotonic()
            with self._tower:
                self._stood_aside_s += time.monotonic() - since
        if self._cancelled():
            raise Cancelled

    def _busy_s(self) -> float:
        """Return a clock that stands still while an adapter stands aside: never during a tower."""
        return time.monotonic() - self._stood_aside_s

    def _loaded(self) -> Backbone:
        with self._loading:
            if self._backbone is None:
                compute_with(threads())
                self._backbone = load_backbone(
                    model_path(self.settings.model),
                    device=self.settings.device,  # type: ignore[arg-type]
                )
            return self._backbone

    def _bundle(self, record: AdapterVersion | None, backbone: Backbone) -> Checkpoint | None:
        """Read the bundle of a version; one that cannot be read is as none: the frozen model."""
        if record is None:
            return None
        try:
            return read_checkpoint(
                self.settings.checkpoint_root,
                record.scenario,
                record.version,
                base_model_hash=backbone.model_hash,
            )
        except CheckpointRejected as error:
            LOG.error("starting from the frozen model: %s", error)
            return None

    def _catalogue(
        self, job: Job, start: Checkpoint | None, backbone: Backbone
    ) -> tuple[Texts, Catalogue]:
        """Return the catalogue with its text vectors under the adapter that learning starts from.

        A tower takes only what is encoded already; for an adapter the rest is encoded here.
        """
        version = start.manifest.text_version if start else 0
        model = cache_fingerprint(backbone.model_hash, backbone.pooling, version)
        texts = job.texts
        vectors, known = known_vectors(texts, start, model, backbone.dimension)
        if job.due.kind == "tower":
            chosen = np.flatnonzero(known)
            texts, vectors = subset(texts, chosen), vectors[chosen]
        elif not known.all():
            missing = np.flatnonzero(~known)
            vectors[missing] = self._encoded(start, backbone, [texts.texts[i] for i in missing])
        return texts, Catalogue(item_ids=texts.item_ids, texts=texts.texts, text=vectors)

    def _encoded(
        self, start: Checkpoint | None, backbone: Backbone, texts: Sequence[str]
    ) -> NDArray[np.float32]:
        reading = merge_adapter(backbone, served_adapter(start)) if start else backbone
        return encode(reading, texts, progress=lambda *_: self._pause())


class _Phases:
    """Tells what is done and how long it took, and dies there when a test asks for it."""

    def __init__(self, job: Job, cancelled: Callable[[], bool]) -> None:
        self._kind = job.due.kind
        self._name = f"{job.due.scenario}/{job.version} ({job.due.kind})"
        self._cancelled = cancelled
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def done(self, what: str) -> None:
        now = time.monotonic()
        LOG.info("%s: %s, %.1f s", self._name, what, now - self._last)
        phase = "_".join(word for word in what.split() if word.isalpha())
        self.seconds[phase] = round(now - self._last, 2)
        self._last = now
        crash_point(f"{self._kind}_round_{phase}")
        if self._cancelled():
            raise Cancelled


def threads() -> int:
    """Return how many threads a round computes with: half the cores, unless the operator said."""
    said = os.environ.get("STREAM_REC_TRAINER_THREADS") or os.environ.get("OMP_NUM_THREADS")
    number = whole_number(said or "")
    return max(1, (os.cpu_count() or 2) // 2) if number is None else number


def _fits(start: Checkpoint | None, policy: AdapterPolicy) -> bool:
    arrays = served_adapter(start) if start else {}
    return not arrays or adapter_rank(arrays) == policy.rank


LOG = logging.getLogger(__name__)
TOWER_S = 240.0  # of the wall: a busy machine gives a round a small part of it
# An adapter must look better and then prove it on live events. A tower needs no proof: it has
# learned from newer events than the one it replaces, and only must be no worse than texts alone.
NEEDED_Z = {"adapter": 0.0, "tower": 0.0}
