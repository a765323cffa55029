"""Two processes train one adapter: the same weights in both, from batches of both."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stream_rec.language_model.gradient_exchange import agree, average_gradients, process_number

WORKER = """
import sys
import numpy as np
import torch
from safetensors.numpy import save_file
from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.lesson import Lesson, LoraSettings
from stream_rec.language_model.lora import train_adapter

folder, meeting, rank, out = sys.argv[1:]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=2
)
nouns = ("fan", "game", "case", "cable")
texts = [f"{word} {noun}" for word in ("quiet", "loud", "a", "the") for noun in nouns]
teacher = np.eye(32, dtype=np.float32)[np.arange(16) % 4]
trained = train_adapter(
    load_backbone(folder, device="cpu"),
    Lesson(texts=texts, teacher=teacher, weight=np.ones(16, np.float32)),
    LoraSettings(rank=2, learning_rate=0.02, max_steps=6, batch=4, check_every=3, warmup_steps=1),
    seed=3,
    monotonic=lambda: float(rank),
)
save_file(trained.arrays | {"loss": np.array([trained.loss])}, out)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_adapter(causal_folder: Path, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    outcomes = [tmp_path / f"{rank}.safetensors" for rank in range(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, causal_folder, tmp_path / "meeting", str(rank), out],
            env=environment,
        )
        for rank, out in enumerate(outcomes)
    ]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    first, second = (load_file(out) for out in outcomes)
    assert any(array.any() for name, array in first.items() if "lora_B" in name)
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], atol=1e-6)


def test_alone_nothing_changes() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, 2.0])
    average_gradients([weight])
    assert weight.grad.tolist() == [1.0, 2.0]
    assert agree([3.0]) == [3.0]
    assert process_number() == 0
