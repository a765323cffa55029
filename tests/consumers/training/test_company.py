"""Two trainers under torchrun on a real broker: one learns from the topics, both train."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from consumers.training.company import Company, company_of
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.errors import ConfigurationError
from stream_rec.language_model.backbone import Backbone
from tests.consumers.training.learning import Learning, bundles

SOON_S = 240.0


def test_a_process_that_nobody_started_together_with_others_is_alone() -> None:
    assert company_of({}) == Company(number=0, count=1, on_machine=0)


def test_variables_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="RANK"):
        company_of({"RANK": "first"})


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
        device="cpu",
    )
    with Learning(settings, trainers=2) as running:
        running.send_items()
        yield running


def pid_of_second(settings: Settings) -> int:
    """Return the process that only trains, found by what torchrun told it."""
    wanted = {b"RANK=1", f"STREAM_REC_PREFIX={settings.prefix}".encode()}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = set((folder / "environ").read_bytes().split(b"\0"))
        except OSError:
            continue
        if wanted <= told:
            return int(folder.name)
    pytest.fail("no second process")


@pytest.mark.slow
def test_two_processes_train_one_adapter_and_learning_goes_on_when_one_is_killed(
    learning: Learning, causal: Backbone
) -> None:
    learning.set_policy("default", every_events=700)
    learning.wait_ready(SOON_S)
    learning.send_events(range(160))
    adapter = learning.wait(
        lambda: learning.version(kind="adapter", state="shadow"), SOON_S, "no adapter in shadow"
    )
    assert adapter.metrics["lora_processes"] == 2
    assert adapter.metrics["lora_loss"] < adapter.metrics["lora_loss_before"]
    learning.wait(
        lambda: any("process 1: trained with 1 others" in line for line in learning.lines),
        SOON_S,
        "the second process did not train",
    )
    root = learning.settings.checkpoint_root
    read_checkpoint(root, "default", adapter.version, base_model_hash=causal.model_hash)

    learning.write(adapter, state="rejected", reason="by the test")
    os.kill(pid_of_second(learning.settings), signal.SIGKILL)
    learning.wait_stopped(SOON_S)  # the first one does not go on alone
    assert all(path.name.isdecimal() for path in bundles(learning.settings))
    with Learning(learning.settings, trainers=2) as again:
        again.wait_ready(SOON_S)
        again.send_events(range(160, 300))
        following = again.wait(
            lambda: again.adapter_after(adapter.version), SOON_S, "learning does not go on"
        )
    assert following.metrics["lora_processes"] == 2
