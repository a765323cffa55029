"""The trainer on a real broker: what users do becomes a bundle and a record, whatever is killed."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from consumers.kafka_io.clients import admin
from consumers.kafka_io.topics import topic_ids
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from consumers.training.memory import Memory, read_memory
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.items import text_hash
from stream_rec.language_model.adapter import adapter_rank
from stream_rec.language_model.backbone import Backbone
from tests.consumers.training.learning import TEXTS, Learning, bundles

SOON_S = 90.0


@pytest.fixture
def learning(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path, causal_folder: Path
) -> Iterator[Learning]:
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        prefix=prefix,
        data_dir=tmp_path,
        partitions=2,
        model=str(causal_folder),
    )
    with Learning(settings) as running:
        running.send_items()
        yield running


def test_feedback_becomes_a_tower_that_serves_and_an_adapter_in_shadow(
    learning: Learning, causal: Backbone
) -> None:
    learning.set_policy("default")
    learning.wait_ready()
    learning.send_events(range(160))
    tower = learning.wait(
        lambda: learning.version(kind="tower", state="promoted"), SOON_S, "no tower serves"
    )
    assert tower.text_version == 0
    assert learning.told().pointers["default"].version == tower.version
    learning.send_events(range(160, 240))
    adapter = learning.wait(
        lambda: learning.version(kind="adapter", state="shadow"), SOON_S, "no adapter in shadow"
    )
    assert adapter.text_version == adapter.version
    assert adapter.champion == learning.told().pointers["default"].version
    assert adapter.metrics["lora_loss"] < adapter.metrics["lora_loss_before"]
    bundle = read_checkpoint(
        learning.settings.checkpoint_root,
        "default",
        adapter.version,
        base_model_hash=causal.model_hash,
    )
    assert sorted(bundle.item_ids) == sorted(f"i{n}" for n in range(len(TEXTS)))
    hashes = dict(zip(bundle.item_ids, bundle.text_hash.tolist(), strict=True))
    assert hashes["i3"] == text_hash(TEXTS[3])
    assert np.isfinite(bundle.text).all()
    assert sum(to - first for first, to in bundle.manifest.offsets.values()) >= 1000
    assert 'stream_rec_training_rounds_total{kind="adapter",outcome="shadow"} 1.0' in (
        learning.metrics()
    )
    assert all(path.name.isdecimal() for path in bundles(learning.settings))


@pytest.mark.slow
def test_new_items_are_read_with_the_adapter_too_and_it_ends_where_a_pupil_is_erased(
    learning: Learning,
) -> None:
    learning.set_policy("default", every_events=700)
    learning.wait_ready()
    learning.send_events(range(160))
    adapter = learning.wait(
        lambda: learning.version(kind="adapter", state="shadow"), SOON_S, "no adapter in shadow"
    )
    under = f"{adapter.text_version}/".encode()
    learning.send_item("new", "quiet cable of loud")
    learning.wait(lambda: (under + b"new", True) in learning.vectors(), SOON_S, "not encoded")
    assert (b"0/new", True) in learning.vectors()
    assert [k for k, _ in learning.vectors() if k.startswith(under)] == [under + b"new"], (
        "what the bundle holds is not encoded again"
    )

    learning.kill("encoder")
    before = len(learning.vectors())
    learning.send_item("newer", "the game of loud")
    learning.wait(lambda: (under + b"newer", True) in learning.vectors(), SOON_S, "not encoded")
    assert sorted(learning.vectors()[before:]) == [(b"0/newer", True), (under + b"newer", True)], (
        "a restart encodes nothing twice"
    )

    learning.promote(adapter)
    learning.erase("u1")
    told = f"a user was erased; adapters that learned from them: [{adapter.version}]"
    learning.wait(lambda: any(told in line for line in learning.lines), SOON_S, "not marked")
    learning.send_events(range(160, 300))
    following = learning.wait(
        lambda: learning.adapter_after(adapter.version), SOON_S, "no next adapter"
    )
    anew = f"default/{following.version}: a round of the adapter begins"
    assert any(anew in line and "after the frozen model" in line for line in learning.lines)
    for buffer in remembered(learning).buffers.values():
        assert not buffer.history("u1")
        assert buffer.history("u2")

    learning.write(following, state="rejected")
    gone = f"{following.text_version}/late".encode()
    learning.send_item("late", "a case for the fan")
    learning.wait(lambda: (under + b"late", True) in learning.vectors(), SOON_S, "not encoded")
    assert (gone, True) not in learning.vectors()


def remembered(learning: Learning) -> Memory:
    """Return what the trainer has stored."""
    client = admin(learning.settings)
    topics = learning.topics
    ids = topic_ids(client, (topics.clicks, topics.reviews, topics.erasures))
    client.close()
    memory = read_memory(learning.settings.folder("trainer") / "memory", ids)
    assert memory is not None
    return memory


def owner_rejects(learning: Learning) -> None:
    """Decide on whatever is in shadow, as the recommender that owns adapters would."""
    while (tried := learning.version(state="shadow")) is not None:
        learning.write(tried, state="rejected", reason="by the test")


def check_whole(learning: Learning, backbone: Backbone) -> None:
    """Every announced version has a whole bundle, and what serves is a promoted one."""
    settings, told = learning.settings, learning.told()
    stored = {path.name for path in bundles(settings)}
    for made in told.versions.values():
        needed = made.state == "shadow" or any(
            pointer.version == made.version for pointer in told.pointers.values()
        )
        if needed or str(made.version) in stored:
            read_checkpoint(
                settings.checkpoint_root,
                made.scenario,
                made.version,
                base_model_hash=backbone.model_hash,
            )
    for pointer in told.pointers.values():
        assert told.versions[pointer.version].state == "promoted"


@pytest.mark.slow
def test_kill_in_any_phase_leaves_nothing_torn_and_learning_goes_on(
    learning: Learning, causal: Backbone
) -> None:
    learning.set_policy("default", every_events=200)
    learning.wait_ready()
    learning.send_events(range(160))
    learning.wait(lambda: learning.version(kind="adapter"), SOON_S, "no adapter")
    learning.crash_next_at(POINTS[0])
    learning.kill()
    for number, point in enumerate(POINTS):
        learning.wait(learning.crash_is_taken, SOON_S, "not started again")
        if number + 1 < len(POINTS):  # for the incarnation that follows this one
            learning.crash_next_at(POINTS[number + 1])
        learning.send_events(range(160 + 90 * number, 250 + 90 * number))  # enough for a tower

        def crashed(wanted: int = number + 2) -> bool:
            owner_rejects(learning)
            return learning.restarts >= wanted

        learning.wait(crashed, SOON_S, f"no crash at {point}")
        check_whole(learning, causal)
    newest = max(learning.told().versions)
    learning.send_events(range(2000, 2040))
    learning.wait(
        lambda: any(
            made.version > newest and made.kind == "adapter"
            for made in learning.told().versions.values()
        ),
        SOON_S,
        "learning does not go on",
    )
    check_whole(learning, causal)
    assert learning.restarts == len(POINTS) + 1
    learning.wait(
        lambda: not any(path.name.endswith(".unfinished") for path in bundles(learning.settings)),
        SOON_S,
        "remains of a kill",
    )


POINTS = (
    "memory_written",
    "tower_round_model_loaded",
    "adapter_round_tower_trained",
    "adapter_round_adapter_trained",
    "adapter_round_catalogue_encoded",
    "adapter_round_judged",
    "tower_round_bundle_written",
    "adapter_round_bundle_written",
    "announcing",
    "announcing:2",
    "announced",
)


@pytest.mark.slow
def test_a_method_chosen_while_it_runs_is_that_of_the_next_round(
    learning: Learning, causal: Backbone
) -> None:
    learning.set_policy("default", method="frozen")
    learning.wait_ready()
    learning.send_events(range(200))
    learning.wait(lambda: "buffer_events" in learning.metrics(), SOON_S, "nothing heard")
    time.sleep(3.0)
    assert learning.told().versions == {}
    known = 0
    for method, rank in (("long_short", 4), ("proximal", 8)):
        learning.set_policy("default", method=method, rank=rank, every_events=300)
        learning.send_events(range(200 + 60 * known, 260 + 60 * known))
        made = learning.wait(
            lambda known=known: learning.adapter_after(known),
            SOON_S,
            f"no adapter by {method}",
        )
        known = made.version
        owner_rejects(learning)
        bundle = read_checkpoint(
            learning.settings.checkpoint_root,
            "default",
            made.version,
            base_model_hash=causal.model_hash,
        )
        assert made.method == bundle.manifest.policy["method"] == method
        assert any(name.startswith("slow.") for name in bundle.adapter) == (method == "long_short")
        served = {name: array for name, array in bundle.adapter.items() if "slow." not in name}
        assert adapter_rank({n: a for n, a in served.items() if "lora_" in n}) == rank
