"""Let a causal language model continue a prompt by a few words, the likeliest ones.

It does not know what the words are for, nor whether they are true: whoever asks must check them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from stream_rec.errors import ModelUnavailable
from stream_rec.language_model.backbone import Backbone, Device, load_backbone


class CausalWorder:
    """A causal model with its head; greedy, so the same prompt has the same words."""

    def __init__(self, name_or_path: str | Path, *, device: Device = "auto") -> None:
        """Load it.

        Raises:
            ModelUnavailable: there is no such model here, or it is not a causal one.
        """
        self._backbone: Backbone = load_backbone(name_or_path, device=device)
        if not self._backbone.causal:
            message = f"{name_or_path}: only a causal language model can word a reason"
            raise ModelUnavailable(message)
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                self._backbone.folder,
                dtype=self._backbone.dtype,
                use_safetensors=True,
                local_files_only=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            message = f"{name_or_path}: {error}"
            raise ModelUnavailable(message) from error
        self._model = model.eval().to(self._backbone.device)

    def __call__(self, prompt: str) -> str:
        """Return at most `MOST_TOKENS` tokens after a prompt, cut from the left where too long."""
        tokenizer, device = self._backbone.tokenizer, self._backbone.device
        most = max(1, self._backbone.max_positions - MOST_TOKENS)
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"][:, -most:].to(device)
        with torch.inference_mode():
            made = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=MOST_TOKENS,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id or 0,
            )
        said: str = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        return said


MOST_TOKENS = 48
