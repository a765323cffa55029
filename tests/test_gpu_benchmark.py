"""The benchmark for GPUs runs through at a tiny size, and claims nothing where there is none."""

import json
import sys

import pytest
import torch

from benchmarks import gpu


@pytest.mark.slow
def test_it_runs_through_and_every_row_has_a_figure() -> None:
    rows = gpu.measure(gpu.TINY, "cpu")
    assert tuple(row["what"] for row in rows) == gpu.ROWS
    assert all(row["amount"] > 0 for row in rows)
    assert "adapter trained" in rows[4]["note"]
    assert all(row["of peak"] == "" for row in rows if not torch.cuda.is_available())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_said_to_be_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--json"])
    assert gpu.main() == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["what"] for row in rows] == list(gpu.ROWS)
    assert {row["amount"] for row in rows} == {"not measured"}


def test_the_share_of_the_peak_counts_what_is_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    assert gpu.of_peak(2 * 1e9, 1e5) == pytest.approx(2e14 / 989e12)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "something new")
    assert gpu.of_peak(2 * 1e9, 1e5) is None
