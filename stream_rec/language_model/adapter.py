"""Attach LoRA weights to a backbone, take them off as arrays, and merge them for encoding.

rsLoRA (Kalajdzievski, arXiv 2312.03732) on every linear layer of the top half of an encoder's
layers, or of all layers of a causal model; alpha equals the rank, so that arrays alone say how to
rebuild an adapter. It does not know what an adapter learns: see ``lora``.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn

from stream_rec.errors import CheckpointRejected
from stream_rec.language_model.backbone import Backbone

AdapterArrays = Mapping[str, NDArray[np.float32]]


def attach_adapter(backbone: Backbone, *, rank: int, dropout: float = 0.0, seed: int = 0) -> Any:
    """Return a copy of the backbone's model with a fresh adapter that changes nothing yet.

    The backbone itself stays as it is. Only the adapter's weights learn; they are float32.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        use_rslora=True,
        lora_dropout=dropout,
        target_modules=adapted_linears(backbone),
        bias="none",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft asks transformers by a name that is deprecated there; neither is ours to change.
        warnings.filterwarnings(
            "ignore", message=".is_gradient_checkpointing", category=FutureWarning
        )
        torch.manual_seed(seed)
        return get_peft_model(copy.deepcopy(backbone.model), config)


def adapter_arrays(model: Any) -> dict[str, NDArray[np.float32]]:
    """Return a copy of the adapter's weights by name."""
    state = get_peft_model_state_dict(model)
    return {name: value.detach().float().cpu().numpy().copy() for name, value in state.items()}


def set_adapter(model: Any, arrays: AdapterArrays) -> None:
    """Put weights into an attached adapter.

    Raises:
        CheckpointRejected: names or shapes are not those of this model and rank.
    """
    wanted = {name: tuple(v.shape) for name, v in get_peft_model_state_dict(model).items()}
    given = {name: array.shape for name, array in arrays.items()}
    if wanted != given:
        odd = sorted(set(wanted.items()) ^ set(given.items()))[:2]
        message = f"the adapter does not fit this model: {odd}"
        raise CheckpointRejected(message)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    set_peft_model_state_dict(model, tensors)


def merge_adapter(backbone: Backbone, arrays: AdapterArrays) -> Backbone:
    """Return a backbone that encodes with the adapter, as fast as without one.

    Raises:
        CheckpointRejected: the arrays do not fit the backbone.
    """
    if not arrays:
        return backbone
    model = attach_adapter(backbone, rank=adapter_rank(arrays))
    set_adapter(model, arrays)
    merged = model.merge_and_unload()
    merged.eval().requires_grad_(False)
    return replace(backbone, model=merged)


def adapter_rank(arrays: AdapterArrays) -> int:
    """Return the rank of an adapter.

    Raises:
        CheckpointRejected: there is no LoRA weight among the arrays.
    """
    for name, array in arrays.items():
        if name.endswith("lora_A.weight") and array.ndim == 2:
            return int(array.shape[0])
    message = "the adapter holds no LoRA weights"
    raise CheckpointRejected(message)


def transformer_layers(model: Any) -> tuple[str, nn.ModuleList]:
    """Return the name and the list of a model's transformer layers.

    Raises:
        ValueError: no list is as long as the configuration says.
    """
    wanted = model.config.num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return name, module
    message = f"{type(model).__name__} has no list of {wanted} layers"
    raise ValueError(message)


def first_adapted_layer(backbone: Backbone) -> int:
    """Return the lowest layer with an adapter; everything below it never changes."""
    if backbone.causal:
        return 0
    return len(transformer_layers(backbone.model)[1]) // 2


def adapted_linears(backbone: Backbone) -> list[str]:
    """Return the full names of all linear layers that get an adapter."""
    prefix, layers = transformer_layers(backbone.model)
    return [
        f"{prefix}.{number}.{name}"
        for number in range(first_adapted_layer(backbone), len(layers))
        for name, module in layers[number].named_modules()
        if isinstance(module, nn.Linear)
    ]
