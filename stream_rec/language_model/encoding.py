"""Encode texts into unit vectors, fast.

Each distinct text once, sorted by length over the whole input, a token budget a batch.

It does not know items, adapters or where vectors are kept: see ``vector_cache`` and ``lora``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_rec.language_model.backbone import Backbone, pooled_vectors

Progress = Callable[[int, int], None]
"""Called with (texts done, texts in all) after every batch."""


def encode(
    backbone: Backbone,
    texts: Sequence[str],
    *,
    max_tokens: int | None = None,
    tokens_per_batch: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return one vector a text, ``(texts, dimension)`` float32, each of length one.

    A text without any token (empty, only spaces) gets the zero vector: it resembles nothing. Texts
    are cut at ``max_tokens``, special tokens included. A vector does not depend on the texts beside
    it beyond rounding.
    """
    distinct = list(dict.fromkeys(text.strip() for text in texts))
    rows = {text: row for row, text in enumerate(distinct)}
    vectors = _encode_distinct(
        backbone,
        distinct,
        max_tokens=min(max_tokens or MAX_TOKENS, backbone.max_positions),
        budget=tokens_per_batch or _TOKENS_PER_BATCH[backbone.device.type],
        progress=progress,
    )
    return vectors[[rows[text.strip()] for text in texts]]


def tokenize(backbone: Backbone, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Return token ids, special tokens included, at most ``max_tokens``; ``[]`` if empty."""
    written = [i for i, text in enumerate(texts) if text.strip()]
    ids: list[list[int]] = [[] for _ in texts]
    if written:
        found = backbone.tokenizer(
            [_readable(texts[i], max_tokens) for i in written],
            truncation=True,
            max_length=max_tokens,
            return_attention_mask=False,
        )["input_ids"]
        for i, tokens in zip(written, found, strict=True):
            ids[i] = tokens
    return ids


def _readable(text: str, max_tokens: int) -> str:
    """Cut what no token limit could reach; lone surrogates, which tokenizers refuse, become "?"."""
    return text[: _CHARACTERS_PER_TOKEN * max_tokens].encode("utf-8", "replace").decode()


def length_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Split positions into batches of similar length.

    A batch has at most ``budget`` tokens with padding, or one text. Zero lengths are left out.
    Longest first, so that a batch that does not fit in memory fails at once.

    >>> list(length_batches([2, 9, 3, 0], 8))
    [[1], [2, 0]]
    """
    order = sorted((i for i, n in enumerate(lengths) if n), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        count = max(1, budget // lengths[order[start]])
        yield order[start : start + count]
        start += count


def pad(backbone: Backbone, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids and mask, both ``(texts, longest)`` on the device, padded on the right."""
    lengths = np.fromiter((len(tokens) for tokens in ids), np.int64, len(ids))
    mask = np.arange(int(lengths.max())) < lengths[:, None]
    filler = backbone.tokenizer.pad_token_id
    padded = np.full(mask.shape, 0 if filler is None else filler, np.int64)
    padded[mask] = np.concatenate([np.asarray(tokens, np.int64) for tokens in ids])
    return (
        torch.from_numpy(padded).to(backbone.device, non_blocking=True),
        torch.from_numpy(mask.astype(np.int64)).to(backbone.device, non_blocking=True),
    )


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row to length one; a zero row stays zero.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def _encode_distinct(
    backbone: Backbone,
    texts: Sequence[str],
    *,
    max_tokens: int,
    budget: int,
    progress: Progress | None,
) -> NDArray[np.float32]:
    vectors = np.zeros((len(texts), backbone.dimension), np.float32)
    ids = tokenize(backbone, texts, max_tokens)
    done = sum(1 for tokens in ids if not tokens)
    with torch.inference_mode():
        for batch in length_batches([len(tokens) for tokens in ids], budget):
            padded, mask = pad(backbone, [ids[i] for i in batch])
            vectors[batch] = pooled_vectors(backbone, padded, mask).cpu().numpy()
            done += len(batch)
            if progress is not None:
                progress(done, len(texts))
    return unit(vectors)


MAX_TOKENS = 64
"""Titles with category and brand fit; the cost of a text grows with its length."""

_CHARACTERS_PER_TOKEN = 64
"""A generous bound: no tokenizer makes tokens this long of prose."""

_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65536}
"""On a CPU the activations of a batch should stay in cache; a GPU wants large products."""
