"""A small model learns from a larger one which texts belong together."""

import numpy as np
import pytest

from stream_rec.errors import TrainingFailed
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.distillation import distil, neighbours_shared
from stream_rec.language_model.lesson import LoraSettings
from tests.language_model.conftest import WORDS

SETTINGS = LoraSettings(
    method="fine_tune", rank=8, learning_rate=0.02, max_steps=60, batch=32, check_every=20
)


def test_student_takes_over_the_neighbourhoods_of_a_larger_teacher(
    causal: Backbone, minilm: Backbone
) -> None:
    texts = [f"{a} {b} {c}" for a in WORDS[:6] for b in WORDS for c in WORDS[6:]]
    found = distil(causal, minilm, texts, SETTINGS, seed=3, monotonic=lambda: 0.0)
    assert found.trained.loss < found.trained.loss_before
    assert found.agreement > found.agreement_before + 0.05, found
    assert found.texts == len(set(texts))


def test_too_few_texts_teach_nothing(causal: Backbone, minilm: Backbone) -> None:
    with pytest.raises(TrainingFailed, match="2 texts"):
        distil(causal, minilm, ["a", "b", "b", " "], SETTINGS, seed=1, monotonic=lambda: 0.0)


def test_equal_spaces_share_all_neighbours_and_foreign_ones_few() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 200, 8)).astype(np.float32)
    rows = np.arange(50)
    assert neighbours_shared(one, one, rows) == 1.0
    assert neighbours_shared(one, other, rows) < 0.15
