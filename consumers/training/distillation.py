"""`stream-rec adapter distil`: what a larger model puts side by side, into an adapter of this one.

    read     the catalogue, from its topic
    teach    `stream_rec.language_model.distillation`, in this process
    store    a bundle with a tower that moves nothing, and a record in state `shadow`

Live events decide on it as on any other; the trainer gives it a tower once it serves. Knows no
user.
"""

import getpass
import time
from dataclasses import dataclass

import numpy as np

from consumers import terminal
from consumers.kafka_io.topic_reading import newest, partitions_of, reader
from consumers.kafka_io.topics import Topics
from consumers.settings import Settings, model_path
from consumers.training.announced import Announced, announce
from consumers.training.finished import code_version
from stream_rec.adapters.checkpoint import FORMAT, Checkpoint, Manifest, write_checkpoint
from stream_rec.adapters.life import DISTILLED, AdapterVersion
from stream_rec.adapters.version_claims import claim_version
from stream_rec.errors import InvalidRecord
from stream_rec.items import item_text, parse_item, text_hash
from stream_rec.language_model.adapter import merge_adapter
from stream_rec.language_model.backbone import Backbone, load_backbone
from stream_rec.language_model.distillation import Distilled, distil
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.lesson import LoraSettings, Step
from stream_rec.language_model.next_item_examples import decayed_recency
from stream_rec.language_model.tower_training import Tower, tower_arrays, tower_vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an operator asks for."""

    teacher: str
    scenario: str
    max_s: float
    rank: int


def run(settings: Settings, wish: Wish) -> AdapterVersion:
    """Distil, store, announce, and say what came of it.

    Raises:
        ModelUnavailable: one of the two models cannot be loaded.
        TrainingFailed: too few texts, or NaN or Inf on the way.
        BrokerUnavailable: nobody answers.
    """
    items, announced = _read(settings)
    student = load_backbone(
        model_path(settings.model),
        device=settings.device,  # type: ignore[arg-type]
    )
    teacher = load_backbone(wish.teacher, device=settings.device)  # type: ignore[arg-type]
    terminal.say(f"{len(items)} items; {student.name} learns from {teacher.name}")
    told = [time.monotonic()]

    def progress(step: Step) -> None:
        if time.monotonic() - told[0] > TELL_EVERY_S:
            told[0] = time.monotonic()
            terminal.say(f"step {step.step}, loss {step.loss:.3f}, {step.seconds:.0f} s")

    lora = LoraSettings(method="fine_tune", rank=wish.rank, max_s=wish.max_s)
    found = distil(
        student, teacher, list(items.values()), lora, seed=1, monotonic=time.monotonic,
        progress=progress,
    )  # fmt: skip
    version = claim_version(settings.checkpoint_root, above=announced.newest)
    bundle = _bundle(student, items, found, wish, version=version)
    write_checkpoint(settings.checkpoint_root, bundle)
    record = _record(student, bundle, wish, announced)
    announce(settings, [record])
    terminal.say(
        f"{wish.scenario}/{version} in shadow: shares {found.agreement:.0%} of the teacher's "
        f"nearest on texts it did not learn from, {found.agreement_before:.0%} before"
    )
    return record


def _read(settings: Settings) -> tuple[dict[str, str], Announced]:
    topics, announced = Topics(settings.prefix), Announced()
    items: dict[str, str] = {}
    with reader(settings) as consumer:
        found = newest(consumer, topics.items, partitions_of(consumer, topics.items))
        for key, record in found.items():
            try:
                item = parse_item(record.value or b"", key=key)
            except InvalidRecord:
                continue
            items[item.item_id] = item_text(item)
        known = newest(consumer, topics.adapters, partitions_of(consumer, topics.adapters))
        for record in known.values():
            announced.take(record)
    return items, announced


def _bundle(
    student: Backbone, items: dict[str, str], found: Distilled, wish: Wish, *, version: int
) -> Checkpoint:
    texts = list(items.values())
    text = encode(merge_adapter(student, found.trained.arrays), texts)
    tower = _still_tower(text)
    manifest = Manifest(
        format=FORMAT,
        scenario=wish.scenario,
        version=version,
        text_version=version,
        base_model=student.name,
        base_model_hash=student.model_hash,
        base_model_revision=student.revision,
        dimension=student.dimension,
        items=len(items),
        offsets={},
        metrics=_figures(found),
        policy={"teacher": wish.teacher, "rank": wish.rank, "max_s": wish.max_s},
        code_version=code_version(),
        created_at=int(time.time() * 1000),
    )
    return Checkpoint(
        manifest=manifest,
        item_ids=tuple(items),
        vectors=tower_vectors(tower, text).astype(np.float16),
        text=text.astype(np.float16),
        text_hash=np.array([text_hash(words) for words in texts], np.uint64),
        adapter=dict(found.trained.arrays),
        tower=tower_arrays(tower),
    )


def _still_tower(text: np.ndarray) -> Tower:
    """Return a tower that leaves every text where it is, but for the direction all share."""
    dimension = text.shape[1]
    return Tower(
        centre=text[text.any(axis=1)].mean(axis=0).astype(np.float32),
        down=np.zeros((dimension, 1), np.float32),
        up=np.zeros((1, dimension), np.float32),
        residual=np.zeros((len(text), dimension), np.float32),
        recency=decayed_recency(10),
        temperature=1.0,
        steps=0,
        held_out_loss=0.0,
    )


def _record(
    student: Backbone, bundle: Checkpoint, wish: Wish, announced: Announced
) -> AdapterVersion:
    serving = announced.serving(wish.scenario)
    made = bundle.manifest
    return AdapterVersion(
        scenario=made.scenario,
        version=made.version,
        text_version=made.version,
        state="shadow",
        champion=serving.version if serving else 0,
        base_model_hash=student.model_hash,
        method=DISTILLED,
        created_at=made.created_at,
        changed_at=made.created_at,
        reason=f"distilled from {wish.teacher}",
        by=getpass.getuser(),
        metrics=made.metrics,
    )


def _figures(found: Distilled) -> dict[str, float]:
    return {
        "lora_steps": found.trained.steps,
        "lora_loss_before": found.trained.loss_before,
        "lora_loss": found.trained.loss,
        "agreement_before": found.agreement_before,
        "agreement": found.agreement,
    }


TELL_EVERY_S = 10.0
