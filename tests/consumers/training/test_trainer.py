"""The trainer on a real broker: what users do becomes a bundle and a record, whatever is killed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.items import text_hash
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
    sent = 160
    for point in POINTS:
        owner_rejects(learning)
        newest = max(learning.told().versions)
        before = learning.restarts
        learning.crash_next_at(point)
        learning.kill()
        learning.send_events(range(sent, sent + 40))
        sent += 40
        learning.wait(lambda at=before: learning.restarts >= at + 2, SOON_S, f"no crash at {point}")
        check_whole(learning, causal)
        learning.wait(
            lambda after=newest: any(
                made.version > after and made.kind == "adapter"
                for made in learning.told().versions.values()
            ),
            SOON_S,
            f"no adapter after a kill at {point}",
        )
        check_whole(learning, causal)
    assert learning.restarts == 2 * len(POINTS), "a point was never passed, or passed twice"
    learning.wait(
        lambda: not any(path.name.endswith(".unfinished") for path in bundles(learning.settings)),
        SOON_S,
        "remains of a kill",
    )


POINTS = (
    "memory_written",
    "round_model_loaded",
    "round_tower_trained:2",
    "round_adapter_trained",
    "round_catalogue_encoded",
    "round_judged:2",
    "round_bundle_written",
    "round_bundle_written:2",
    "announcing",
    "announcing:2",
    "announced",
)
