"""Two models for the tests, the packaged MiniLM and a tiny causal one, and a made-up shop."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from stream_rec.language_model.backbone import Backbone, load_backbone
from stream_rec.language_model.next_item_examples import NextItems, next_items
from stream_rec.language_model.replay_buffer import Feedback

WORDS = [
    "quiet",
    "loud",
    "fan",
    "monitor",
    "game",
    "strategy",
    "racing",
    "puzzle",
    "guitar",
    "cable",
]


@pytest.fixture(scope="session")
def minilm() -> Backbone:
    return load_backbone(device="cpu", precision="float32")


@pytest.fixture(scope="session")
def causal_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers and 32 dimensions, saved as any hub model is."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def causal(causal_folder: Path) -> Backbone:
    return load_backbone(causal_folder, device="cpu", precision="float32")


@pytest.fixture(params=["minilm", "causal"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue(request.param)


@dataclass(frozen=True)
class Shop:
    """A made-up shop whose behaviour follows hidden needs that the texts tell only in part."""

    text: NDArray[np.float32]  # (items, 16)
    past: NextItems
    later: NextItems
    counts: NDArray[np.int64]


@pytest.fixture(scope="session")
def shop() -> Shop:
    rng = np.random.default_rng(5)
    items, needs, users = 240, 12, 400
    need = np.arange(items) % needs
    kind = np.arange(items) % 7  # what texts mostly speak of
    text = rng.normal(size=(needs, 16))[need] * 0.7 + rng.normal(size=(7, 16))[kind]
    text += rng.normal(size=(items, 16)) * 0.5
    histories = {}
    for user in range(users):
        mine = np.flatnonzero(np.isin(need, rng.choice(needs, 2, replace=False)))
        mine = mine[mine < items - 20] if user < users * 0.8 else mine  # the last 20 come late
        taken = rng.choice(mine, 12, replace=False)
        histories[f"u{user}"] = [
            Feedback(user_id=f"u{user}", item_id=str(item), timestamp=user * 1000 + at)
            for at, item in enumerate(taken)
        ]
    examples = next_items(histories, {str(i): i for i in range(items)})
    past, later = examples.split_newest(0.2)
    unit = text / np.linalg.norm(text, axis=1, keepdims=True)
    counts = np.bincount(past.target, minlength=items)
    return Shop(text=unit.astype(np.float32), past=past, later=later, counts=counts)
