"""Run texts through a model with an adapter, starting from cached states below the adapter.

The layers under the lowest adapted one never change, so their output for each text is computed once
and kept in 16 bits; a training step runs only the layers above. Where the cache would be too large
or the model's structure does not allow it, the whole model runs. It does not know what is learned.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from stream_rec.language_model.adapter import first_adapted_layer, transformer_layers
from stream_rec.language_model.backbone import Backbone, pool
from stream_rec.language_model.encoding import length_batches, pad, tokenize


class TextStates:
    """Texts ready for many forward passes of one adapted model."""

    def __init__(
        self,
        backbone: Backbone,
        model: Any,
        texts: Sequence[str],
        *,
        max_tokens: int,
        max_bytes: int,
    ) -> None:
        """Tokenize all texts and cache their lower states, at most ``max_bytes`` of them.

        ``model`` is the backbone's model with an adapter attached.
        """
        self.backbone = backbone
        self.model = model
        self.ids = [
            tokens or [_filler(backbone)]
            for tokens in tokenize(backbone, texts, min(max_tokens, backbone.max_positions))
        ]
        self.lengths = [len(tokens) for tokens in self.ids]
        self._states: Tensor | None = None
        self._starts: list[int] = []
        self._upper: Any = None
        first = first_adapted_layer(backbone)
        needed = sum(self.lengths) * backbone.dimension * 2
        if first and needed <= max_bytes:
            self._upper = _upper_layers(model.get_base_model(), first)
        if self._upper is not None:
            self._cache(first)

    @property
    def cached(self) -> bool:
        """Say whether lower states are kept."""
        return self._states is not None

    def vectors(self, positions: Sequence[int], budget: int) -> Tensor:
        """Return unit vectors ``(positions, dimension)`` that gradients flow through.

        Texts of similar length run together, about ``budget`` tokens at once.
        """
        parts: list[Tensor] = []
        order: list[int] = []
        for batch in length_batches([self.lengths[p] for p in positions], budget):
            chosen = [positions[i] for i in batch]
            parts.append(self._pooled(chosen))
            order.extend(batch)
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return normalize(torch.cat(parts)[back.to(parts[0].device)], dim=1)

    @torch.no_grad()
    def all_vectors(self, budget: int) -> Tensor:
        """Return unit vectors of all texts as the adapter is now, without dropout."""
        set_dropout(self.model, active=False)
        return self.vectors(range(len(self.ids)), budget)

    def _pooled(self, positions: Sequence[int]) -> Tensor:
        ids, mask = pad(self.backbone, [self.ids[p] for p in positions])
        attention = mask if not bool(mask.all()) else None
        if self._states is None or self._upper is None:
            output = self.model(input_ids=ids, attention_mask=attention)
        else:
            states = torch.zeros(
                *ids.shape, self.backbone.dimension, dtype=self._states.dtype, device=ids.device
            )
            kept = [np.arange(self._starts[p], self._starts[p + 1]) for p in positions]
            at = torch.from_numpy(np.concatenate(kept)).to(ids.device)
            states[mask.bool()] = self._states[at]
            output = self._upper(
                inputs_embeds=states.to(self.backbone.dtype), attention_mask=attention
            )
        return pool(output.last_hidden_state, mask, self.backbone.pooling)

    @torch.no_grad()
    def _cache(self, first: int) -> None:
        """Fill the cache with the states that enter layer ``first``."""
        model = self.model.get_base_model()
        dtype = torch.bfloat16 if self.backbone.dtype is torch.bfloat16 else torch.float16
        self._starts = [0]
        for length in self.lengths:
            self._starts.append(self._starts[-1] + length)
        shape = (self._starts[-1], self.backbone.dimension)
        states = torch.empty(shape, dtype=dtype, device=self.backbone.device)
        for batch in length_batches(self.lengths, _CACHING_TOKENS):
            ids, mask = pad(self.backbone, [self.ids[p] for p in batch])
            entering = _states_entering(model, first, ids, mask).to(dtype)
            for row, p in enumerate(batch):
                states[self._starts[p] : self._starts[p + 1]] = entering[row, : self.lengths[p]]
        self._states = states


def set_dropout(model: Any, *, active: bool) -> None:
    """Switch the adapter's own dropout; the base model's stays off, it was trained already."""
    model.eval()
    for name, module in model.named_modules():
        if "lora_dropout" in name:
            module.train(active)


class _StatesReached(Exception):
    """Carries the states out of a forward pass that needs to go no further."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


class _AsTheyAre(nn.Module):
    """Stands where a model's embeddings stood and passes cached states on."""

    def forward(self, inputs_embeds: Tensor, **_: object) -> Tensor:
        return inputs_embeds


def _states_entering(model: nn.Module, first: int, ids: Tensor, mask: Tensor) -> Tensor:
    """Return what enters layer ``first``, ``(texts, tokens, dimension)``; run nothing above."""

    def stop(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise _StatesReached(inputs[0])

    hook = transformer_layers(model)[1][first].register_forward_pre_hook(stop)
    try:
        model(input_ids=ids, attention_mask=mask)
    except _StatesReached as reached:
        return reached.states
    finally:
        hook.remove()
    message = f"{type(model).__name__} never ran its layer {first}"
    raise RuntimeError(message)


def _upper_layers(model: Any, first: int) -> Any:
    """Return a view of the model from layer ``first`` on, sharing weights, or None.

    Only models of the shape embeddings → encoder.layer are cut: with any other, states may depend
    on more than what enters a layer.
    """
    name, layers = transformer_layers(model)
    if name != "encoder.layer" or not hasattr(model, "embeddings"):
        return None
    view = _shallow(model)
    view.embeddings = _AsTheyAre()
    view.encoder = _shallow(model.encoder)
    view.encoder.layer = nn.ModuleList(list(layers)[first:])
    view.pooler = None
    return view


def _shallow(module: Any) -> Any:
    """Copy a module but not what it is made of: setting a part of the copy leaves the original."""
    view = copy.copy(module)
    view._modules = dict(module._modules)  # noqa: SLF001 - torch has no public shallow copy
    return view


def _filler(backbone: Backbone) -> int:
    return int(backbone.tokenizer.pad_token_id or 0)


_CACHING_TOKENS = 2048
