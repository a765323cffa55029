"""Two models for the tests: the packaged MiniLM, and a tiny causal one with random weights."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from stream_rec.language_model.backbone import Backbone, load_backbone

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
    return load_backbone(device="cpu")


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
    return load_backbone(causal_folder, device="cpu")


@pytest.fixture(params=["minilm", "causal"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue(request.param)
