"""Write and read checkpoints: immutable, complete bundles at ``<root>/<scenario>/<version>``.

    adapter.safetensors   weights of the LoRA adapter
    tower.safetensors     the item tower
    vectors.safetensors   of the catalogue: item ids, where the tower puts them, text vectors under
                          the adapter, which text each was made from; in bytes where there are many
    manifest.json         checksums of the three, base model hash, offsets, metrics, policy, version

Order of steps: 1 the three files into a temporary folder, synced; 2 the manifest, synced; 3 the
rename. A reader that finds no manifest under the final name finds no checkpoint. Where a store has
no rename of folders (S3), the manifest is written last under the final name, to the same effect.
Nothing is pickled. It does not know topics, gates or how vectors are served.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote

import fsspec
import msgspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stream_rec.catalogue.quantised import quantised, restored
from stream_rec.errors import CheckpointRejected
from stream_rec.record_fields import whole_number

Arrays = Mapping[str, NDArray[Any]]
LARGE = 200_000  # items; from there on half a gigabyte a million is worth more than the last bits


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a checkpoint was made of; ``files`` maps file names to blake2b digests."""

    format: int
    scenario: str
    version: int
    text_version: int  # whose adapter read the texts; 0 is the frozen model
    base_model: str
    base_model_hash: str
    # Of a hub model its commit, of a packaged one its version; bundles of before say nothing.
    base_model_revision: str | msgspec.UnsetType = msgspec.UNSET
    dimension: int
    items: int
    offsets: dict[str, list[int]]  # "<topic>-<partition>": [from, to), what it was trained on
    metrics: dict[str, Any]
    policy: dict[str, Any]
    code_version: str
    created_at: int  # ms
    files: dict[str, str] = {}
    digest: str = ""  # of this manifest itself, this field left empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A bundle in memory, one row an item id.

    ``vectors`` ``(items, dimension)`` is where the tower puts items, ``text`` of the same shape
    their texts under the adapter alone, ``text_hash`` ``(items,)`` is ``items.text_hash`` of each
    text: an item whose text has changed since then needs encoding.
    """

    manifest: Manifest
    item_ids: tuple[str, ...]
    vectors: NDArray[np.float16]
    text: NDArray[np.float16]
    text_hash: NDArray[np.uint64]
    adapter: Arrays = field(default_factory=dict)
    tower: Arrays = field(default_factory=dict)


def write_checkpoint(root: str, checkpoint: Checkpoint, *, large: int = LARGE) -> str:
    """Write a bundle and return its path; a version that exists is never changed.

    Vectors of ``large`` items or more are written in bytes.

    Raises:
        CheckpointRejected: the bundle itself is unusable (NaN, wrong shape), or the version exists.
    """
    manifest = checkpoint.manifest
    _check_contents(checkpoint)
    store, base = fsspec.core.url_to_fs(root)
    final = f"{base.rstrip('/')}/{_name(manifest.scenario)}/{manifest.version}"
    if store.exists(f"{final}/{_MANIFEST}"):
        message = f"{manifest.scenario}/{manifest.version} exists: checkpoints are immutable"
        raise CheckpointRejected(message)
    contents = {
        _ADAPTER: save(_contiguous(checkpoint.adapter)),
        _TOWER: save(_contiguous(checkpoint.tower)),
        _VECTORS: save(_contiguous(_catalogue(checkpoint, in_bytes=manifest.items >= large))),
    }
    files = {name: _digest(body) for name, body in contents.items()}
    contents[_MANIFEST] = msgspec.json.format(
        msgspec.json.encode(_sealed(msgspec.structs.replace(manifest, files=files)))
    )
    local = isinstance(store, LocalFileSystem)
    folder = f"{final}.{os.getpid()}{_UNFINISHED}" if local else final
    store.makedirs(folder, exist_ok=True)
    for name, body in contents.items():
        _write(store, f"{folder}/{name}", body)
    if local:
        _sync_folder(folder)
        if os.path.isdir(final):  # a folder without a manifest: remains of a crash
            store.rm(final, recursive=True)
        os.rename(folder, final)
        _sync_folder(os.path.dirname(final))
    return final


def read_checkpoint(root: str, scenario: str, version: int, *, base_model_hash: str) -> Checkpoint:
    """Read a bundle and check all of it.

    Raises:
        CheckpointRejected: missing, torn, changed, of another base model, wrong shape, NaN or Inf.
    """
    store, base = fsspec.core.url_to_fs(root)
    folder = f"{base.rstrip('/')}/{_name(scenario)}/{version}"
    where = f"checkpoint {scenario}/{version}"
    manifest = _manifest(_read(store, f"{folder}/{_MANIFEST}", where), where)
    if _sealed(manifest) != manifest:
        _refuse(where, "its manifest was changed: its checksum differs")
    if (manifest.scenario, manifest.version) != (scenario, version):
        _refuse(where, f"its manifest says {manifest.scenario}/{manifest.version}")
    if manifest.base_model_hash != base_model_hash:
        _refuse(where, f"made for base model {manifest.base_model_hash}, not {base_model_hash}")
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for name in (_ADAPTER, _TOWER, _VECTORS):
        body = _read(store, f"{folder}/{name}", where)
        if _digest(body) != manifest.files.get(name):
            _refuse(where, f"{name} is torn or changed: its checksum differs")
        try:
            arrays[name] = load(body)
        except (SafetensorError, ValueError, KeyError) as error:
            _refuse(where, f"{name} cannot be read: {error}")
    if set(arrays[_VECTORS]) - set(_WORTH.values()) != {"ids", *_WORTH, "text_hash"}:
        _refuse(where, f"{_VECTORS} holds {sorted(arrays[_VECTORS])}")
    checkpoint = Checkpoint(
        manifest=manifest,
        item_ids=_unpacked(arrays[_VECTORS]["ids"], where),
        vectors=_floats(arrays[_VECTORS], "vectors", where),
        text=_floats(arrays[_VECTORS], "text", where),
        text_hash=arrays[_VECTORS]["text_hash"],
        adapter=arrays[_ADAPTER],
        tower=arrays[_TOWER],
    )
    _check_contents(checkpoint)
    return checkpoint


def list_versions(root: str, scenario: str) -> list[int]:
    """Return the versions that are complete, ascending."""
    store, base = fsspec.core.url_to_fs(root)
    folder = f"{base.rstrip('/')}/{_name(scenario)}"
    if not store.isdir(folder):
        return []
    names = [path.rstrip("/").rsplit("/", 1)[-1] for path in store.ls(folder, detail=False)]
    versions = sorted(v for v in map(whole_number, names) if v is not None)
    return [v for v in versions if store.exists(f"{folder}/{v}/{_MANIFEST}")]


def prune_checkpoints(
    root: str,
    scenario: str,
    *,
    keep: int,
    promoted: Iterable[int],
    unfinished: Collection[int] = (),
) -> list[int]:
    """Remove all but the newest ``keep`` and the promoted ones; return the versions removed.

    Remains of interrupted writes go too, but not of the ``unfinished`` versions, which may be
    written at this moment, or are complete and not announced yet. One trainer writes a scenario.
    """
    store, base = fsspec.core.url_to_fs(root)
    for remains in store.glob(f"{base.rstrip('/')}/{_name(scenario)}/*{_UNFINISHED}"):
        name = remains.rstrip("/").rsplit("/", 1)[-1]
        if whole_number(name.partition(".")[0]) not in unfinished:
            store.rm(remains, recursive=True)
    versions = list_versions(root, scenario)
    kept = {*(versions[-keep:] if keep else ()), *promoted, *unfinished}
    removed = [version for version in versions if version not in kept]
    for version in removed:
        folder = f"{base.rstrip('/')}/{_name(scenario)}/{version}"
        store.rm(f"{folder}/{_MANIFEST}")  # first, so that a crash leaves no checkpoint, not half
        store.rm(folder, recursive=True)
    return removed


def _check_contents(checkpoint: Checkpoint) -> None:
    manifest, vectors = checkpoint.manifest, checkpoint.vectors
    where = f"checkpoint {manifest.scenario}/{manifest.version}"
    if manifest.format != FORMAT:
        _refuse(where, f"format {manifest.format}, this program reads {FORMAT}")
    wanted = (manifest.items, manifest.dimension)
    if len(checkpoint.item_ids) != wanted[0] or any(
        array.shape != wanted or array.dtype != np.float16 for array in (vectors, checkpoint.text)
    ):
        found = f"{_kind(vectors)}, {_kind(checkpoint.text)}, {len(checkpoint.item_ids)} ids"
        _refuse(where, f"vectors and text must be {wanted} float16 with as many ids, are {found}")
    hashes = checkpoint.text_hash
    if hashes.shape != wanted[:1] or hashes.dtype != np.uint64:
        _refuse(where, f"text hashes must be {wanted[:1]} uint64, are {_kind(hashes)}")
    if len(set(checkpoint.item_ids)) != len(checkpoint.item_ids):
        _refuse(where, "an item id occurs twice")
    groups = {
        _ADAPTER: checkpoint.adapter,
        _TOWER: checkpoint.tower,
        _VECTORS: {"vectors": vectors, "text": checkpoint.text},
    }
    for name, arrays in groups.items():
        for key, array in arrays.items():
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                _refuse(where, f"{name} {key} holds NaN or Inf")


def _kind(array: NDArray[Any]) -> str:
    return f"{array.shape} {array.dtype}"


def _manifest(body: bytes, where: str) -> Manifest:
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        message = f"{where}: its manifest is torn or of another format: {error}"
        raise CheckpointRejected(message) from error
    if manifest.format != FORMAT:
        _refuse(where, f"format {manifest.format}, this program reads {FORMAT}")
    return manifest


def _sealed(manifest: Manifest) -> Manifest:
    unsealed = msgspec.structs.replace(manifest, digest="")
    return msgspec.structs.replace(unsealed, digest=_digest(msgspec.json.encode(unsealed)))


def _refuse(where: str, reason: str) -> NoReturn:
    message = f"{where}: {reason}"
    raise CheckpointRejected(message)


def _read(store: Any, path: str, where: str) -> bytes:
    try:
        with store.open(path, "rb") as stream:
            body: bytes = stream.read()
    except OSError as error:
        _refuse(where, f"{path.rsplit('/', 1)[-1]} cannot be read: {error}")
    return body


def _write(store: Any, path: str, body: bytes) -> None:
    with store.open(path, "wb") as stream:
        stream.write(body)
        if isinstance(store, LocalFileSystem):
            stream.flush()
            os.fsync(stream.fileno())


def _sync_folder(path: str) -> None:
    """Make the names in a folder durable, not only the contents of its files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(scenario: str) -> str:
    """Return a scenario as one safe folder name; dots too, so that ".." is no way out."""
    return quote(scenario, safe="").replace(".", "%2E")


def _catalogue(checkpoint: Checkpoint, *, in_bytes: bool) -> Arrays:
    arrays: dict[str, NDArray[Any]] = {
        "ids": _packed(checkpoint.item_ids),
        "text_hash": checkpoint.text_hash,
    }
    for name, worth in _WORTH.items():
        if in_bytes:
            arrays[name], arrays[worth] = quantised(getattr(checkpoint, name))
        else:
            arrays[name] = getattr(checkpoint, name)
    return arrays


def _floats(arrays: Arrays, name: str, where: str) -> NDArray[Any]:
    found, worth = arrays[name], arrays.get(_WORTH[name])
    if worth is None:
        return found
    if found.dtype != np.int8 or worth.dtype != np.float32 or worth.shape != found.shape[:1]:
        _refuse(where, f"{name} in bytes: {_kind(found)}, each worth {_kind(worth)}")
    return restored(found, worth)


def _packed(item_ids: Iterable[str]) -> NDArray[np.uint8]:
    return np.frombuffer(msgspec.msgpack.encode(list(item_ids)), np.uint8)


def _unpacked(packed: NDArray[Any], where: str) -> tuple[str, ...]:
    try:
        return tuple(msgspec.msgpack.decode(packed.tobytes(), type=list[str]))
    except msgspec.MsgspecError as error:
        _refuse(where, f"its item ids cannot be read: {error}")


def _contiguous(arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()


FORMAT = 2
# What one byte is worth, by the array that may be in bytes.
_WORTH = {"vectors": "vectors_worth", "text": "text_worth"}
_ADAPTER = "adapter.safetensors"
_TOWER = "tower.safetensors"
_VECTORS = "vectors.safetensors"
_MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished"
