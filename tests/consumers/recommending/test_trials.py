"""What is compared on live events while towers come and go, by one worker and by two."""

from pathlib import Path

import pytest

from stream_rec.adapters.checkpoint import write_checkpoint
from tests.adapters.bundles import bundle, by_kind, noise
from tests.consumers.recommending.adapter_records import Worker, pointer, read, version_record

GOOD, RANDOM = by_kind(256), noise(256, 3)
FEW = {"adapter": {"gate": {"shadow_events": 5}}}  # a watch takes ten times as many


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def test_a_watch_that_ends_at_one_worker_first_does_not_look_like_a_fall(tmp_path: Path) -> None:
    workers = [Worker(tmp_path, slot=slot) for slot in (0, 1)]
    owner, other = workers
    for made in (bundle(5, RANDOM), bundle(6, GOOD)):
        write_checkpoint(str(tmp_path), made)
    for seed, one in enumerate(workers):
        one.replica.put_policy("*", 2, FEW)
        one.take(version_record(bundle(5, RANDOM), "retired"))
        one.take(version_record(bundle(6, GOOD), "promoted"))
        one.take(pointer(6, previous=5))
        one.settle()
        one.compare(40, seed=seed)
        one.shadowing.exchange()
    read(other, owner)
    assert owner.decide() == []
    read(owner, other)
    other.shadowing.look()
    assert other.shadowing.evidence(), "the watch ends with this look, and is gone at the next one"
    other.shadowing.look()
    assert not other.shadowing.evidence()
    other.shadowing.exchange()
    read(other, owner)
    assert owner.decide() == []
    owner.shadowing.look()
    owner.shadowing.look()
    assert not owner.shadowing.evidence(), "what the other one said still counts"


def test_words_on_an_ended_watch_go_when_another_adapter_serves(worker: Worker) -> None:
    worker.replica.put_policy("*", 2, FEW)
    for made, state in ((bundle(5, RANDOM), "retired"), (bundle(6, GOOD), "promoted")):
        worker.announce(made, state=state)  # type: ignore[arg-type]
    worker.take(pointer(6, previous=5))
    worker.settle()
    worker.compare(60)
    worker.shadowing.exchange()
    worker.shadowing.look()
    worker.shadowing.look()
    assert worker.written.newest[b"watch/default/6/0"]
    worker.take(pointer(5))
    worker.settle()
    assert worker.written.newest[b"watch/default/6/0"] is None


def test_an_adapter_is_watched_against_what_it_replaced_though_it_gets_a_tower(
    worker: Worker,
) -> None:
    worker.announce(bundle(4, GOOD), state="retired")
    worker.announce(bundle(5, RANDOM), state="promoted", champion=4)
    worker.take(pointer(5, previous=4))
    worker.settle()
    worker.compare(20)
    assert worker.decide() == []
    worker.announce(bundle(6, RANDOM, text_version=5), state="promoted", champion=5)
    worker.take(pointer(6, previous=4))
    worker.settle()
    assert [found.events for found in worker.shadowing.evidence().values()] == [20]
    assert worker.decided_within(9, events=20) == ["rolled_back"]
    assert worker.decide() == [], "decided once, though nothing has been read back"
    worker.read_back()
    assert worker.replica.spaces.serving == {"default": 4}
    assert worker.adapters.versions[6].state == "rolled_back"
    assert worker.adapters.versions[6].shadow["against"] == 4


def test_evidence_on_an_adapter_in_shadow_outlives_a_tower_of_the_champion(worker: Worker) -> None:
    worker.announce(bundle(2, noise(256, 4), text_version=0), state="promoted")
    worker.take(pointer(2))
    worker.announce(bundle(5, GOOD), champion=2)
    worker.settle()
    worker.compare(40)
    assert worker.decide() == []
    worker.announce(bundle(6, noise(256, 5), text_version=0), state="promoted")
    worker.take(pointer(6, previous=2))
    worker.settle()
    assert {trial.against for trial in worker.adapters.trials() if trial.kind == "shadow"} == {6}
    worker.compare(40, seed=1)
    assert worker.decide() == ["promoted"]
    worker.read_back()
    assert worker.replica.spaces.serving == {"default": 5}


def test_an_adapter_that_is_promoted_again_is_watched_again(worker: Worker) -> None:
    worker.replica.put_policy("*", 2, FEW)
    worker.announce(bundle(5, RANDOM), state="retired")
    worker.announce(bundle(6, by_kind(256)), state="promoted")
    worker.take(pointer(6, previous=5))
    worker.settle()
    worker.compare(60)
    worker.shadowing.look()
    assert worker.adapters.trials() == []
    worker.take(pointer(5, changed_at=3))
    worker.settle()
    worker.take(pointer(6, previous=5, changed_at=4))
    worker.settle()
    assert [trial.version for trial in worker.adapters.trials()] == [6]
    assert [found.events for found in worker.shadowing.evidence().values()] == [0]
