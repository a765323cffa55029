"""What a round leaves: its bundle for the store, and its record for the `adapters` topic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

import msgspec
import numpy as np

from consumers.training.job import Job
from consumers.training.texts import Texts
from stream_rec.adapters.checkpoint import FORMAT, Checkpoint, Manifest
from stream_rec.adapters.life import AdapterVersion
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.learning_round import Candidate


def bundle_of(job: Job, candidate: Candidate, texts: Texts, backbone: Backbone) -> Checkpoint:
    """Return all of a candidate as it is stored."""
    manifest = Manifest(
        format=FORMAT,
        scenario=job.due.scenario,
        version=job.version,
        text_version=job.text_version,
        base_model=backbone.name,
        base_model_hash=backbone.model_hash,
        base_model_revision=backbone.revision,
        dimension=backbone.dimension,
        items=len(texts.item_ids),
        offsets={p: [job.begun.before.get(p, 0), to] for p, to in job.begun.offsets.items()},
        metrics=_finite(candidate.metrics | candidate.verdict.figures),
        policy=msgspec.to_builtins(job.policy),
        code_version=code_version(),
        created_at=_now_ms(),
    )
    return Checkpoint(
        manifest=manifest,
        item_ids=tuple(texts.item_ids),
        vectors=candidate.vectors,
        text=candidate.text,
        text_hash=texts.hashes,
        adapter=candidate.adapter,
        tower=candidate.tower,
    )


def record_of(
    job: Job, candidate: Candidate, backbone: Backbone, champion: Checkpoint | None
) -> AdapterVersion:
    """Return what is told of a candidate: in shadow if the gate let it pass, else refused."""
    now = _now_ms()
    verdict = candidate.verdict
    return AdapterVersion(
        scenario=job.due.scenario,
        version=job.version,
        text_version=job.text_version,
        state="shadow" if verdict.decision == "shadow" else "refused",
        kind=job.due.kind,
        champion=champion.manifest.version if champion else 0,
        base_model_hash=backbone.model_hash,
        method=job.policy.method,
        created_at=now,
        changed_at=now,
        reason="; ".join(verdict.reasons),
        metrics=_finite(candidate.metrics),
        gate=_finite(verdict.figures),
    )


def _finite(figures: Mapping[str, float]) -> dict[str, Any]:
    """Figures as JSON takes them: no NaN or Inf, six digits."""
    return {
        name: float(f"{value:.6g}") if np.isfinite(value) else None
        for name, value in figures.items()
    }


def _now_ms() -> int:
    return int(time.time() * 1000)


def code_version() -> str:
    """Return the version of this program."""
    try:
        return installed("stream-rec")
    except PackageNotFoundError:
        return "source"
