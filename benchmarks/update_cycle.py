"""Seconds of a whole update cycle on a real stream: a tower, then an adapter with its own tower.

    python -m benchmarks update_cycle [--events 20000] [--max_s 120] [--json]

What the trainer does between "a round is due" and "its record is announced", without a broker:
training, encoding the catalogue, the offline gate, the bundle on disk. Frozen vectors are there, as
the encoder has made them before. One thread; seconds of the clock and of the processor.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.printed import options, show
from consumers.kafka_io.wire import StoredVector
from consumers.settings import Settings
from consumers.training.due import Due, begin
from consumers.training.feedback import feedback_of
from consumers.training.job import Job, Outcome
from consumers.training.memory import Memory
from consumers.training.rounds import Rounds
from consumers.training.texts import Texts
from stream_rec import recorded
from stream_rec.events import parse_event
from stream_rec.items import Item, item_text, text_hash
from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.vector_cache import cache_fingerprint
from stream_rec.policy import AdapterPolicy, Signals

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "amazon_games"
MOST_TOWER_S = 120.0


def main() -> int:
    """Run both rounds, print, return the exit status."""
    chosen = options(__doc__, events=20_000, max_s=120)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        items = list(recorded.items(DATA / "items.jsonl.gz"))
        memory = remembered(chosen.events)
        clock, processor = time.monotonic(), time.process_time()
        texts = encoded(items)
        rows = [row("frozen catalogue encoded", clock, processor, {"items": len(items)})]
        rounds = Rounds(settings, cancelled=lambda: False)
        policy = AdapterPolicy(max_s=float(chosen.max_s))
        tower, first = timed(rounds, job(memory, policy, texts, "tower", version=1))
        adapter, second = timed(
            rounds, replace(job(memory, policy, texts, "adapter", version=2), **on_top(tower))
        )
        rows += [first, second]
    title = f"an update on amazon_games, {len(items):,} items, {chosen.events:,} events, one thread"
    show(title, rows, as_json=chosen.json)
    made = tower.record is not None and adapter.record is not None
    return 0 if made and tower.seconds <= MOST_TOWER_S else 1


def remembered(limit: int) -> Memory:
    """Return the memory of a trainer that has read the first events."""
    memory = Memory()
    for arrival in recorded.arrivals(DATA / "events.jsonl.gz", limit):
        event = parse_event(arrival.value, key=arrival.key, kind="review", source="recorded")
        feedback = feedback_of(event, Signals())
        if feedback is not None:
            memory.take(event.scenario, feedback)
    return memory


def encoded(items: Sequence[Item]) -> Texts:
    """Return the catalogue as the encoder leaves it."""
    backbone = load_backbone()
    texts = [item_text(item) for item in items]
    vectors = encode(backbone, texts).astype(np.float16)
    model = cache_fingerprint(backbone.model_hash, backbone.pooling, 0)
    hashes = [text_hash(text) for text in texts]
    return Texts(
        item_ids=[item.item_id for item in items],
        texts=texts,
        hashes=np.array(hashes, np.uint64),
        stored=[
            StoredVector(model=model, text_hash=hashed, vector=vector.tobytes())
            for hashed, vector in zip(hashes, vectors, strict=True)
        ],
    )


def job(memory: Memory, policy: AdapterPolicy, texts: Texts, kind: str, *, version: int) -> Job:
    """Return a round on all that is remembered, after the frozen model."""
    due = Due(scenario="default", kind=kind, reason="benchmark")  # type: ignore[arg-type]
    return Job(
        due=due,
        version=version,
        policy=policy,
        texts=texts,
        histories=memory.buffers["default"].histories(),
        start=None,
        champion=None,
        begun=begin(memory, due, now_ms=1),
    )


def on_top(tower: Outcome) -> dict[str, object]:
    """Return how a round goes on from a tower that serves."""
    return {"start": tower.record, "champion": tower.record}


def timed(rounds: Rounds, job: Job) -> tuple[Outcome, dict[str, object]]:
    """Run a round and return what came of it, as a row too."""
    clock, processor = time.monotonic(), time.process_time()
    outcome = rounds.run(job)
    record = outcome.record
    figures: dict[str, object] = {"outcome": outcome.reason}
    if record is not None:
        figures = {
            "outcome": record.state,
            "log-rank gain": record.gate.get("log_rank_gain"),
            "z": record.gate.get("log_rank_z"),
            "ndcg": record.gate.get("challenger_ndcg"),
            "champion ndcg": record.gate.get("champion_ndcg"),
            "lora steps": record.metrics.get("lora_steps"),
            "texts/s": record.metrics.get("lora_texts_per_s"),
            "phases": json.dumps(record.metrics.get("phases")),
        }
    return outcome, row(job.due.kind, clock, processor, figures)


def row(what: str, clock: float, processor: float, more: dict[str, object]) -> dict[str, object]:
    """Return a row with the seconds since a start."""
    return {
        "what": what,
        "s": round(time.monotonic() - clock, 1),
        "processor s": round(time.process_time() - processor, 1),
        **{name: more.get(name, "") for name in FIGURES},
    }


FIGURES = (
    "items", "outcome", "log-rank gain", "z", "ndcg", "champion ndcg", "lora steps", "texts/s",
    "phases",
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
