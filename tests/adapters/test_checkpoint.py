"""Checkpoints: whole or not at all, and refused with the reason when anything is wrong."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load, save

from stream_rec.adapters import checkpoint as checkpoints
from stream_rec.adapters.checkpoint import (
    FORMAT,
    Checkpoint,
    Manifest,
    list_versions,
    prune_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from stream_rec.errors import CheckpointRejected

FILES = ("adapter.safetensors", "tower.safetensors", "vectors.safetensors", "manifest.json")


def bundle(version: int = 1, scenario: str = "default", **changes: Any) -> Checkpoint:
    rng = np.random.default_rng(version)
    manifest = Manifest(
        format=FORMAT,
        scenario=scenario,
        version=version,
        text_version=version,
        base_model="tiny",
        base_model_hash="abc",
        dimension=8,
        items=3,
        offsets={"stream-rec.events.clicks-0": [10, 90]},
        metrics={"gain": 0.1},
        policy={"method": "proximal"},
        code_version="0.1.0",
        created_at=1_700_000_000_000,
    )
    whole = Checkpoint(
        manifest=manifest,
        item_ids=("a", "b\n", "ü"),
        vectors=rng.random((3, 8)).astype(np.float16),
        text=rng.random((3, 8)).astype(np.float16),
        text_hash=np.array([1, 2**63 + 1, 2**64 - 1], np.uint64),
        adapter={"layer.lora_A": rng.random((2, 8)).astype(np.float32)},
        tower={"residual": rng.random((3, 8)).astype(np.float32)},
    )
    return _replace(whole, changes)


def _replace(whole: Checkpoint, changes: dict[str, Any]) -> Checkpoint:
    names = ("manifest", "item_ids", "vectors", "text", "text_hash", "adapter", "tower")
    return Checkpoint(**{name: changes.get(name, getattr(whole, name)) for name in names})


def read(root: Path | str, version: int = 1) -> Checkpoint:
    return read_checkpoint(str(root), "default", version, base_model_hash="abc")


def test_written_bundle_is_read_back_whole(tmp_path: Path) -> None:
    path = write_checkpoint(str(tmp_path), bundle())
    assert sorted(os.listdir(path)) == sorted(FILES)
    found, written = read(tmp_path), bundle()
    assert found.item_ids == written.item_ids
    np.testing.assert_array_equal(found.vectors, written.vectors)
    np.testing.assert_array_equal(found.text, written.text)
    np.testing.assert_array_equal(found.text_hash, written.text_hash)
    np.testing.assert_array_equal(found.adapter["layer.lora_A"], written.adapter["layer.lora_A"])
    np.testing.assert_array_equal(found.tower["residual"], written.tower["residual"])
    assert found.manifest.offsets == {"stream-rec.events.clicks-0": [10, 90]}


def test_any_fsspec_path_will_do() -> None:
    root = "memory://bundles"
    write_checkpoint(root, bundle())
    assert read(root).item_ids == bundle().item_ids
    assert list_versions(root, "default") == [1]
    assert prune_checkpoints(root, "default", keep=0, promoted=()) == [1]
    assert list_versions(root, "default") == []


def test_version_is_written_once(tmp_path: Path) -> None:
    write_checkpoint(str(tmp_path), bundle())
    with pytest.raises(CheckpointRejected, match="immutable"):
        write_checkpoint(str(tmp_path), bundle())


@pytest.mark.parametrize("name", FILES)
def test_torn_file_is_refused(tmp_path: Path, name: str) -> None:
    path = Path(write_checkpoint(str(tmp_path), bundle())) / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointRejected, match="torn"):
        read(tmp_path)


@pytest.mark.parametrize("name", FILES[:3])
def test_every_flipped_bit_is_refused(tmp_path: Path, name: str) -> None:
    path = Path(write_checkpoint(str(tmp_path), bundle())) / name
    whole = path.read_bytes()
    for position in range(0, len(whole), 5):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(CheckpointRejected, match="checksum"):
            read(tmp_path)


def test_flipped_bit_of_the_manifest_is_refused_or_harmless(tmp_path: Path) -> None:
    path = Path(write_checkpoint(str(tmp_path), bundle())) / "manifest.json"
    whole = path.read_bytes()
    sound = read(tmp_path).manifest
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            assert read(tmp_path).manifest == sound  # only white space between fields
        except CheckpointRejected:
            refused += 1
    assert refused > 0.8 * len(whole)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    (Path(write_checkpoint(str(tmp_path), bundle())) / name).unlink()
    with pytest.raises(CheckpointRejected, match="cannot be read"):
        read(tmp_path)


def test_other_base_model_is_refused(tmp_path: Path) -> None:
    write_checkpoint(str(tmp_path), bundle())
    with pytest.raises(CheckpointRejected, match="base model abc, not xyz"):
        read_checkpoint(str(tmp_path), "default", 1, base_model_hash="xyz")


def test_bundle_under_another_name_is_refused(tmp_path: Path) -> None:
    os.rename(write_checkpoint(str(tmp_path), bundle()), tmp_path / "default" / "2")
    with pytest.raises(CheckpointRejected, match="says default/1"):
        read(tmp_path, version=2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vectors": np.zeros((3, 9), np.float16)}, "must be"),
        ({"vectors": np.zeros((2, 8), np.float16)}, "must be"),
        ({"vectors": np.zeros((3, 8), np.float32)}, "must be"),
        ({"vectors": np.full((3, 8), np.nan, np.float16)}, "NaN"),
        ({"text": np.zeros((2, 8), np.float16)}, "must be"),
        ({"text": np.full((3, 8), np.nan, np.float16)}, "NaN"),
        ({"text_hash": np.zeros(2, np.uint64)}, "must be"),
        ({"text_hash": np.zeros(3, np.float32)}, "must be"),
        ({"adapter": {"w": np.full((2, 2), np.inf, np.float32)}}, "NaN or Inf"),
        ({"tower": {"w": np.full((2, 2), np.nan, np.float32)}}, "NaN"),
        ({"item_ids": ("a", "b", "b")}, "twice"),
        ({"item_ids": ("a", "b")}, "must be"),
    ],
)
def test_unusable_contents_are_neither_written_nor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CheckpointRejected, match=reason):
        write_checkpoint(str(tmp_path), bundle(**changes))
    with monkeypatch.context() as unchecked:  # as a program without these checks would have written
        unchecked.setattr(checkpoints, "_check_contents", lambda _: None)
        write_checkpoint(str(tmp_path), bundle(**changes))
    with pytest.raises(CheckpointRejected, match=reason):
        read(tmp_path)


def test_newer_format_is_refused(tmp_path: Path) -> None:
    path = Path(write_checkpoint(str(tmp_path), bundle())) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1}))
    with pytest.raises(CheckpointRejected, match="format"):
        read(tmp_path)


def test_crash_before_the_rename_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(os, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(str(tmp_path), bundle())
    assert list_versions(str(tmp_path), "default") == []
    write_checkpoint(str(tmp_path), bundle(2))
    assert list_versions(str(tmp_path), "default") == [2]
    prune_checkpoints(str(tmp_path), "default", keep=1, promoted=(), unfinished=[1])
    assert len(os.listdir(tmp_path / "default")) == 2, "what is being written stays"
    prune_checkpoints(str(tmp_path), "default", keep=1, promoted=(), unfinished=[3])
    assert os.listdir(tmp_path / "default") == ["2"]


def test_pruning_keeps_the_newest_and_the_promoted(tmp_path: Path) -> None:
    for version in range(1, 6):
        write_checkpoint(str(tmp_path), bundle(version))
    assert prune_checkpoints(str(tmp_path), "default", keep=2, promoted=[2]) == [1, 3]
    assert list_versions(str(tmp_path), "default") == [2, 4, 5]
    assert prune_checkpoints(str(tmp_path), "default", keep=0, promoted=[2], unfinished=[4]) == [5]
    assert read(tmp_path, version=2).manifest.version == 2


def test_scenario_name_is_no_way_out_of_the_root(tmp_path: Path) -> None:
    path = write_checkpoint(str(tmp_path / "root"), bundle(scenario="../évil"))
    assert Path(path).resolve().is_relative_to((tmp_path / "root").resolve())
    assert list_versions(str(tmp_path / "root"), "../évil") == [1]


def test_nothing_here_pickles() -> None:
    folder = Path(checkpoints.__file__).parent
    for path in folder.glob("*.py"):
        source = path.read_text()
        for word in ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib"):
            assert word not in source, f"{path.name}: {word}"


def test_a_large_catalogue_is_kept_in_bytes_and_read_as_before(tmp_path: Path) -> None:
    rng, items = np.random.default_rng(2), 500
    many = {
        "manifest": msgspec.structs.replace(bundle().manifest, items=items, dimension=64),
        "item_ids": tuple(map(str, range(items))),
        "vectors": rng.normal(size=(items, 64)).astype(np.float16),
        "text": rng.normal(size=(items, 64)).astype(np.float16),
        "text_hash": np.arange(items, dtype=np.uint64),
    }
    sizes = {}
    for name, large in (("floats", items + 1), ("bytes", items)):
        path = write_checkpoint(str(tmp_path / name), bundle(**many), large=large)
        sizes[name] = (Path(path) / "vectors.safetensors").stat().st_size
        found = read(tmp_path / name)
        assert (found.vectors.dtype, found.text.dtype) == (np.float16, np.float16)
        np.testing.assert_allclose(found.vectors, many["vectors"], atol=0.02)
        np.testing.assert_allclose(found.text, many["text"], atol=0.02)
    assert sizes["bytes"] < 0.6 * sizes["floats"]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"text_worth": np.ones(2, np.float32)}, "each worth"),
        ({"text_worth": np.ones(3, np.float64)}, "each worth"),
        ({"vectors_worth": np.array([1, np.nan, 1], np.float32)}, "NaN"),
        ({"text": np.zeros((3, 8), np.float16)}, "in bytes"),
        ({"more": np.zeros(3)}, "holds"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(
    tmp_path: Path, spoilt: dict[str, Any], reason: str
) -> None:
    path = Path(write_checkpoint(str(tmp_path), bundle(), large=3))
    file, manifest = path / "vectors.safetensors", path / "manifest.json"
    body = save(load(file.read_bytes()) | spoilt)
    file.write_bytes(body)
    told = msgspec.json.decode(manifest.read_bytes(), type=Manifest)
    files = told.files | {file.name: checkpoints._digest(body)}
    sealed = checkpoints._sealed(msgspec.structs.replace(told, files=files))
    manifest.write_bytes(msgspec.json.encode(sealed))
    with pytest.raises(CheckpointRejected, match=reason):
        read(tmp_path)


def test_the_base_model_s_revision_is_told_and_bundles_of_before_are_read(tmp_path: Path) -> None:
    before = bundle()
    assert b"revision" not in msgspec.json.encode(before.manifest)
    write_checkpoint(str(tmp_path), before)
    assert read(tmp_path).manifest.base_model_revision is msgspec.UNSET
    told = msgspec.structs.replace(before.manifest, version=2, base_model_revision="0f4c")
    path = Path(write_checkpoint(str(tmp_path), bundle(manifest=told)))
    assert read(tmp_path, version=2).manifest.base_model_revision == "0f4c"
    manifest = path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"0f4c", b"0f4d"))
    with pytest.raises(CheckpointRejected, match="manifest was changed"):
        read(tmp_path, version=2)
