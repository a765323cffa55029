"""A round in this process: what it starts from, what it stores, and how it fails."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from consumers.kafka_io.wire import StoredVector
from consumers.settings import Settings
from consumers.training.due import Due, begin
from consumers.training.feedback import feedback_of
from consumers.training.finished import code_version
from consumers.training.job import Job
from consumers.training.latest import Cancelled
from consumers.training.memory import Memory
from consumers.training.rounds import Rounds
from consumers.training.texts import Texts
from stream_rec.adapters.checkpoint import list_versions, read_checkpoint
from stream_rec.adapters.life import AdapterVersion
from stream_rec.events import event_of
from stream_rec.items import text_hash
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.vector_cache import cache_fingerprint
from stream_rec.policy import AdapterPolicy, Gate, Signals
from tests.consumers.training.learning import TEXTS, behaviour
from tests.language_model.serving_encoder import ServingEncoder

POLICY = AdapterPolicy(
    method="fine_tune",
    rank=4,
    learning_rate=0.02,
    max_s=30.0,
    gate=Gate(min_gain=-1.0, confidence=0.999),
)


@pytest.fixture
def settings(tmp_path: Path, causal_folder: Path) -> Settings:
    return Settings(data_dir=tmp_path, model=str(causal_folder), device="cpu")


@pytest.fixture
def rounds(settings: Settings) -> Rounds:
    return Rounds(settings, cancelled=lambda: False)


@pytest.fixture(scope="module")
def texts(causal: Backbone) -> Texts:
    vectors = encode(causal, TEXTS).astype(np.float16)
    model = cache_fingerprint(causal.model_hash, causal.pooling, 0)
    return Texts(
        item_ids=[f"i{number}" for number in range(len(TEXTS))],
        texts=list(TEXTS),
        hashes=np.array([text_hash(text) for text in TEXTS], np.uint64),
        stored=[
            StoredVector(model=model, text_hash=text_hash(text), vector=vector.tobytes())
            for text, vector in zip(TEXTS, vectors, strict=True)
        ],
    )


def job(texts: Texts, kind: str, version: int, *, scenario: str = "default") -> Job:
    memory = Memory()
    for record in behaviour(range(200), scenario=scenario):
        feedback = feedback_of(event_of(record, kind="click", source="s"), Signals())
        assert feedback is not None
        memory.take(scenario, feedback)
    due = Due(scenario=scenario, kind=kind, reason="test")  # type: ignore[arg-type]
    return Job(
        due=due,
        version=version,
        policy=POLICY,
        texts=texts,
        histories=memory.buffers[scenario].histories(),
        start=None,
        champion=None,
        begun=begin(memory, due, now_ms=1),
    )


def done(rounds: Rounds, work: Job) -> AdapterVersion:
    outcome = rounds.run(work)
    assert outcome.record is not None, outcome.reason
    return outcome.record


def test_scenario_s_first_adapter_starts_from_that_of_default(
    rounds: Rounds, settings: Settings, texts: Texts, causal: Backbone
) -> None:
    first = done(rounds, job(texts, "adapter", 1))
    afresh = replace(texts, stored=[None] * len(TEXTS))  # nothing known under version 1 but here
    work = replace(job(afresh, "adapter", 2, scenario="tv"), start=first, champion=first)
    second = done(rounds, work)
    assert (second.scenario, second.text_version, second.champion) == ("tv", 2, 1)
    assert second.metrics["lora_loss_before"] < first.metrics["lora_loss_before"]
    root = settings.checkpoint_root
    assert (list_versions(root, "default"), list_versions(root, "tv")) == ([1], [2])
    bundle = read_checkpoint(root, "tv", 2, base_model_hash=causal.model_hash)
    assert bundle.manifest.policy["rank"] == 4
    assert bundle.manifest.base_model_revision == causal.revision
    assert set(bundle.manifest.files) == {"adapter.safetensors", "tower.safetensors"} | {
        "vectors.safetensors"
    }
    assert bundle.manifest.code_version == code_version()
    assert bundle.manifest.metrics["log_rank_gain"] == second.gate["log_rank_gain"]


def test_tower_keeps_the_texts_of_what_serves(
    rounds: Rounds, settings: Settings, texts: Texts, causal: Backbone
) -> None:
    first = done(rounds, job(texts, "adapter", 1))
    second = done(rounds, replace(job(texts, "tower", 2), start=first, champion=first))
    assert (second.kind, second.text_version) == ("tower", 1)
    one, two = (
        read_checkpoint(settings.checkpoint_root, "default", n, base_model_hash=causal.model_hash)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one.text, two.text)
    assert set(one.adapter) == set(two.adapter)


def test_items_not_encoded_yet_are_left_out_of_a_tower(
    rounds: Rounds, settings: Settings, texts: Texts, causal: Backbone
) -> None:
    some = replace(texts, stored=[None, *texts.stored[1:]])
    made = done(rounds, job(some, "tower", 1))
    bundle = read_checkpoint(
        settings.checkpoint_root, "default", made.version, base_model_hash=causal.model_hash
    )
    assert "i0" not in bundle.item_ids
    assert len(bundle.item_ids) == len(TEXTS) - 1


def test_changed_rank_starts_anew(rounds: Rounds, texts: Texts) -> None:
    first = done(rounds, job(texts, "adapter", 1))
    work = replace(job(texts, "adapter", 2), start=first, champion=first)
    second = done(rounds, replace(work, policy=AdapterPolicy(rank=8, max_s=5.0)))
    assert second.champion == 1


def test_torn_bundle_stops_a_tower_and_lets_an_adapter_start_from_the_frozen_model(
    rounds: Rounds, settings: Settings, texts: Texts
) -> None:
    first = done(rounds, job(texts, "adapter", 1))
    file = Path(settings.checkpoint_root) / "default" / "1" / "vectors.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    outcome = rounds.run(replace(job(texts, "tower", 2), start=first, champion=first))
    assert outcome.record is None
    assert "cannot be read" in outcome.reason
    third = done(rounds, replace(job(texts, "adapter", 3), start=first, champion=first))
    assert third.champion == 0


def test_nan_throws_the_round_away_and_stores_nothing(
    rounds: Rounds, settings: Settings, texts: Texts
) -> None:
    broken = [
        StoredVector(
            model=stored.model,
            text_hash=stored.text_hash,
            vector=np.full(32, np.nan, "<f2").tobytes(),
        )
        for stored in texts.stored
        if stored is not None
    ]
    for kind in ("tower", "adapter"):
        outcome = rounds.run(job(replace(texts, stored=broken), kind, 1))
        assert outcome.record is None
        assert "nan" in outcome.reason
    assert list_versions(settings.checkpoint_root, "default") == []


def test_round_that_is_called_off_stores_nothing(settings: Settings, texts: Texts) -> None:
    asked = iter([False] * 5)
    with pytest.raises(Cancelled):
        Rounds(settings, cancelled=lambda: next(asked, True)).run(job(texts, "adapter", 1))
    assert list_versions(settings.checkpoint_root, "default") == []


def test_adapter_stands_aside_while_a_tower_is_made(settings: Settings, texts: Texts) -> None:
    looks: list[str] = []  # every round looks often whether it is called off

    def cancelled() -> bool:
        looks.append(threading.current_thread().name)
        return False

    rounds = Rounds(settings, cancelled=cancelled)
    adapter = threading.Thread(target=rounds.run, args=(job(texts, "adapter", 1),), name="adapter")
    adapter.start()
    while rounds.step is None:
        assert adapter.is_alive()
        time.sleep(0.001)
    before = looks.count("adapter")
    done(rounds, job(texts, "tower", 2))
    meanwhile = looks.count("adapter") - before
    adapter.join(60)
    assert not adapter.is_alive()
    assert looks.count("adapter") > before + 30, "it had much left to do"
    assert meanwhile <= 3, "the step it was at, no more"


def test_another_scenario_teaches_the_shared_adapter_by_its_own_head(
    rounds: Rounds, settings: Settings, texts: Texts, causal: Backbone
) -> None:
    others = job(texts, "adapter", 9, scenario="tv").histories
    seldom = {f"tv-{user}": history for user, history in others.items()}
    work = replace(job(texts, "adapter", 1), scenarios={"tv": seldom, "radio": {}})
    assert work.pupils == {*work.histories, *seldom}
    made = done(rounds, work)
    assert made.metrics["lora_loss_of_tv"] < made.metrics["lora_loss_of_tv_before"]
    assert not any("radio" in name for name in made.metrics)
    bundle = read_checkpoint(
        settings.checkpoint_root, "default", 1, base_model_hash=causal.model_hash
    )
    heads = {name for name in bundle.adapter if name.startswith("scenario_head.tv.")}
    assert heads == {f"scenario_head.tv.{part}" for part in ("down", "up", "log_scale")}
    reading = ServingEncoder(causal, bundle)  # what serves knows nothing of heads
    vectors = reading.encode(["quiet fan"])
    assert np.linalg.norm(vectors) == pytest.approx(1.0, abs=1e-3)
    again = done(rounds, replace(work, version=2, start=made, champion=made))
    assert again.metrics["lora_loss_of_tv_before"] < made.metrics["lora_loss_of_tv_before"]
