"""A review's refinement on a real broker: late, once, whatever is killed, and seen in `explain`."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from consumers.kafka_io.wire import LEDGER_KEY, decode_profile, decode_standing, encode_refinement
from consumers.processes.embedded_broker import EmbeddedBroker
from stream_rec.profiles.history import Understood
from stream_rec.profiles.refinement import Refinement
from tests.consumers.conftest import Command, Running
from tests.consumers.recommending.test_recommender import NOW_MS, Worker

SAID = Understood(rating=1.5, aspects=(("noise", -0.5),), tags=("Screens",))


def review(worker: Worker, user: str, item: str) -> int:
    """Send a review and wait for the list of the fast path; return its offset."""
    record = {"event_id": f"r-{user}-{item}", "user_id": user, "item_id": item}
    record |= {"timestamp": NOW_MS, "text": "The fan is unbearable."}  # type: ignore[dict-item]
    value = json.dumps(record).encode()
    sent = worker.producer.send(worker.topics.reviews, key=user.encode(), value=value).get(20)
    worker.list_after(user, f"r-{user}-{item}")
    return int(sent.offset)


def refine(worker: Worker, user: str, item: str, offset: int) -> None:
    """Write what an encoder would, where it would."""
    said = Refinement(
        user_id=user,
        item_id=item,
        offset=offset,
        text_version=0,
        sentiment=-0.75,
        understood=SAID,
    )
    worker.send(worker.topics.refinements, user, encode_refinement(said))


def outcomes(worker: Worker) -> dict[str, int]:
    """Return how refinements ended, by the ledgers."""
    standings = {
        record.partition: decode_standing(record.value)
        for record in worker.read(worker.topics.profiles)
        if record.key == LEDGER_KEY
    }
    found: dict[str, int] = {}
    for standing in standings.values():
        for outcome, count in standing.ledger.outcomes.get(worker.topics.refinements, {}).items():
            found[outcome] = found.get(outcome, 0) + count
    return found


def past(worker: Worker, user: str) -> Any:
    """Return what the changelog remembers of a user's only review."""
    found = [r.value for r in worker.read(worker.topics.profiles) if r.key == user.encode()]
    (interaction,) = decode_profile(found[-1]).history
    return interaction


def test_kills_neither_lose_nor_double_a_refinement(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    worker = Worker(broker.bootstrap_servers, prefix, tmp_path)
    worker.items()
    worker.start()
    try:
        offset = review(worker, "ann", "i1")
        before = worker.lists("ann")[-1]["version"]
        assert past(worker, "ann").understood is None
        worker.stop(signal.SIGKILL)
        refine(worker, "ann", "i1", offset)
        refine(worker, "ann", "i1", offset)  # an encoder that was killed writes it again
        for point in ("after_send", "after_merge"):
            try:
                worker.start(STREAM_REC_CRASH_AT=point)
            except pytest.fail.Exception:
                assert worker.process is not None  # it died before it was seen to be ready
            assert worker.process is not None
            worker.process.wait(60)
        worker.start()
        worker.wait(lambda: outcomes(worker) == {"refined": 1, "unused": 1})
        read = past(worker, "ann")
        assert (read.sentiment, read.understood) == (-0.75, SAID)
        made = worker.lists("ann")  # spare lists among them, where there was time for any
        assert [one["version"] for one in made] == list(range(1, len(made) + 1))
        refined = [worker.topics.refinements in one["lineage"]["offsets"] for one in made]
        assert refined[-1]
        assert not any(refined[:before])
    finally:
        worker.stop()


def test_one_that_comes_before_its_review_waits_for_it(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    worker = Worker(broker.bootstrap_servers, prefix, tmp_path)
    worker.items()
    worker.start()
    try:
        refine(worker, "bob", "i2", 0)
        worker.click("bob", "i3")
        worker.wait(lambda: worker.lists("bob"))
        assert outcomes(worker) == {}
        review(worker, "bob", "i2")
        worker.wait(lambda: outcomes(worker) == {"refined": 1})
    finally:
        worker.stop()


def test_the_encoder_reads_a_review_after_the_list_was_made(
    installation: Running, stream_rec: Command
) -> None:
    user = "reader-of-fans"
    event = {
        "event_id": "reader-1",
        "user_id": user,
        "item_id": "i3",
        "timestamp": NOW_MS,
        "text": "It is uncomfortable and stiff, and the sound is tinny.",
    }
    installation.observer.send_all("events.reviews", [event])
    topic = f"{installation.settings.prefix}.internal.refinements"
    fast = installation.list_of(user)
    assert topic not in fast.lineage.offsets
    later = installation.list_of(user, lambda made: topic in made.lineage.offsets)
    assert later.version > fast.version
    assert later.lineage.last_event_id == "reader-1"
    ran = stream_rec("explain", user, *installation.options)
    assert "blames comfort" in ran.out
    assert "comfort (aspect) -" in ran.out
