"""A worker's adapters without a broker: loading, swapping, refusing, deciding."""

import json
from pathlib import Path

import numpy as np
import pytest

from stream_rec.adapters.checkpoint import write_checkpoint
from stream_rec.adapters.life import live_key
from stream_rec.adapters.text_model import text_model
from tests.adapters.bundles import MODEL, bundle, by_kind, noise
from tests.consumers.recommending.adapter_records import (
    Outgoing,
    Worker,
    pointer,
    read,
    version_record,
)

GOOD, RANDOM = by_kind(256), noise(256, 3)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def test_a_good_adapter_is_promoted_after_its_shadow_and_serves(worker: Worker) -> None:
    worker.announce(bundle(5, GOOD))
    worker.settle()
    worker.compare(40)
    assert worker.decide() == []
    worker.compare(40, seed=1)
    assert worker.decide() == ["promoted"]
    assert worker.replica.spaces.serving == {}, "nothing serves before it is committed"
    worker.read_back()
    assert worker.replica.spaces.serving == {"default": 5}
    record = worker.adapters.versions[5]
    assert (record.state, record.shadow["events"]) == ("promoted", 80)
    assert record.shadow["mean"] > 0.05
    assert worker.decide() == []
    assert worker.verdicts.judged == {}


def test_random_and_shuffled_vectors_are_never_promoted(worker: Worker) -> None:
    shuffled = GOOD[np.random.default_rng(8).permutation(256)]
    worker.announce(bundle(5, RANDOM))
    worker.announce(bundle(6, shuffled))
    worker.settle()
    decided: list[str] = []
    for seed in range(13):
        worker.compare(60, seed=seed)
        decided += worker.decide()
        worker.read_back()
    assert decided == ["rejected", "rejected"]
    assert {record.state for record in worker.adapters.versions.values()} == {"rejected"}
    assert worker.replica.spaces.serving == {}
    assert worker.replica.spaces.made == {}, "what is rejected leaves memory"


def test_a_version_may_leave_memory_before_the_worker_looks_what_is_to_be_compared(
    worker: Worker,
) -> None:
    worker.announce(bundle(5, GOOD))
    worker.settle()
    worker.take(version_record(bundle(5, GOOD), "rejected"))
    worker.adapters.between_batches()
    assert worker.replica.spaces.made == {}
    worker.compare(4)
    assert [found.events for found in worker.shadowing.evidence().values()] == [0]


def test_an_adapter_that_turns_bad_is_rolled_back_by_the_watch(worker: Worker) -> None:
    worker.announce(bundle(5, GOOD), state="retired")
    worker.announce(bundle(6, RANDOM), state="promoted", champion=5)
    worker.take(pointer(6, previous=5))
    worker.settle()
    assert worker.replica.spaces.serving == {"default": 6}
    assert worker.decided_within(10, events=20) == ["rolled_back"]
    assert worker.decide() == [], "decided once, though nothing has been read back"
    worker.read_back()
    assert worker.replica.spaces.serving == {"default": 5}
    assert worker.adapters.versions[6].state == "rolled_back"
    assert worker.adapters.versions[5].state == "promoted"


def test_the_watch_heeds_a_policy_without_rollback(worker: Worker) -> None:
    worker.announce(bundle(5, GOOD), state="retired")
    worker.announce(bundle(6, RANDOM), state="promoted")
    worker.take(pointer(6, previous=5))
    worker.replica.put_policy("*", 2, {"adapter": {"gate": {"auto_rollback": False}}})
    worker.settle()
    worker.compare(200)
    assert worker.decide() == []


def test_a_watch_that_goes_well_ends_and_frees_the_old_version(worker: Worker) -> None:
    worker.replica.put_policy("*", 2, {"adapter": {"gate": {"shadow_events": 5}}})
    worker.announce(bundle(5, RANDOM), state="retired")
    worker.announce(bundle(6, GOOD), state="promoted")
    worker.take(pointer(6, previous=5))
    worker.settle()
    assert set(worker.replica.spaces.made) == {5, 6}
    worker.compare(60)
    assert worker.decide() == []
    worker.shadowing.look()
    worker.settle()
    assert set(worker.replica.spaces.made) == {6}


def test_a_torn_bundle_is_refused_and_what_served_goes_on(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.announce(bundle(5, GOOD), state="promoted")
    worker.take(pointer(5))
    worker.settle()
    worker.announce(bundle(6, GOOD))
    path = worker.root / "default" / "6" / "vectors.safetensors"
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    worker.settle()
    assert "version 6 is refused" in caplog.text
    assert "torn or changed" in caplog.text
    assert worker.replica.spaces.serving == {"default": 5}
    worker.adapters._tries[6] = (3, 0.0)
    assert worker.decide() == ["rejected"]
    worker.read_back()
    assert worker.adapters.versions[6].state == "rejected"
    assert "torn or changed" in worker.adapters.versions[6].reason


@pytest.mark.parametrize("what", ["missing", "foreign", "not a number", "no tower"])
def test_at_a_start_what_cannot_be_loaded_gives_way_to_what_served_before(
    worker: Worker, what: str
) -> None:
    worker.announce(bundle(5, GOOD), state="retired")
    made = bundle(6, GOOD)
    if what == "missing":
        worker.take(version_record(made, "promoted"))
    elif what == "foreign":
        write_checkpoint(str(worker.root), made)
        record = json.loads(version_record(made, "promoted").value or b"")
        value = json.dumps(record | {"base_model_hash": "another"}).encode()
        worker.take(Outgoing(topic="", partition=0, key=b"default/6", value=value))
    elif what == "no tower":
        made.tower.clear()  # type: ignore[attr-defined]
        worker.announce(made, state="promoted")
    else:
        write_checkpoint(str(worker.root), made)
        (worker.root / "default" / "6" / "manifest.json").write_text("{nope")
        worker.take(version_record(made, "promoted"))
    worker.take(pointer(6, previous=5))
    worker.adapters.restore(lambda: None)
    assert worker.replica.spaces.serving == {"default": 5}
    assert set(worker.adapters.refused) == {6}
    worker.adapters._tries[6] = (3, 0.0)
    assert worker.decide() == ["rolled_back"]


def test_adapters_of_another_base_model_leave_when_the_catalogue_is_read_by_it(
    worker: Worker,
) -> None:
    worker.adapters.texts_are_of(MODEL)
    worker.announce(bundle(5, GOOD), state="promoted")
    worker.take(pointer(5))
    worker.settle()
    assert worker.replica.spaces.serving == {"default": 5}
    worker.adapters.texts_are_of(text_model("another", "mean"))
    worker.adapters.between_batches()
    assert worker.replica.spaces.serving == {"default": 0}
    assert "another base model" in worker.adapters.refused[5]


def test_evidence_of_two_workers_adds_up_and_survives_a_restart(tmp_path: Path) -> None:
    workers = [Worker(tmp_path, slot=slot) for slot in (0, 1)]
    made = bundle(5, GOOD)
    write_checkpoint(str(tmp_path), made)
    for seed, one in enumerate(workers):
        one.take(version_record(made))
        one.settle()
        one.compare(40, seed=seed)
        one.shadowing.exchange()
        assert one.decide() == []
    first, second = workers
    read(second, first)
    assert first.decide() == ["promoted"]
    again = Worker(tmp_path, slot=1)
    again.take(version_record(made))
    read(second, again)
    again.adapters.restore(lambda: None)
    again.shadowing.start()
    again.settle()
    assert [found.events for found in again.shadowing.evidence().values()] == [40]


def test_a_successor_does_not_decide_again_what_is_decided_and_not_yet_read(
    tmp_path: Path,
) -> None:
    worker = Worker(tmp_path)
    worker.announce(bundle(5, GOOD))
    worker.settle()
    worker.compare(80)
    assert worker.decide() == ["promoted"]
    worker.shadowing.exchange()
    standing = dict(worker.verdicts.judged)  # written with the decision
    successor = Worker(tmp_path, slot=1)
    successor.take(version_record(bundle(5, GOOD)))
    read(worker, successor)
    successor.settle()
    assert successor.shadowing.evidence()
    successor.verdicts.own(standing)
    assert successor.decide() == []
    successor.verdicts.own({})  # the decision was not committed
    assert successor.decide() == ["promoted"]


def test_a_scenario_follows_the_default_until_it_has_an_adapter_of_its_own(
    worker: Worker,
) -> None:
    worker.announce(bundle(5, GOOD), state="promoted")
    worker.take(pointer(5))
    worker.announce(bundle(7, GOOD, scenario="sport"), state="promoted")
    worker.settle()
    spaces = worker.replica.spaces
    assert [spaces.version_of(name) for name in ("default", "sport")] == [5, 5]
    worker.take(pointer(7, previous=5, scenario="sport"))
    worker.settle()
    assert [spaces.version_of(name) for name in ("default", "sport", "home")] == [5, 7, 5]
    worker.take(Outgoing(topic="", partition=0, key=live_key("sport"), value=None))
    worker.settle()
    assert spaces.version_of("sport") == 5
