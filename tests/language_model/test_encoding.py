"""Encoding: the same vector whatever stands beside a text, and nothing encoded twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode, length_batches, tokenize

TEXTS = ["quiet fan", "loud fan for the case", "a game", "racing game of strategy", "guitar cable"]


def test_vectors_have_length_one(backbone: Backbone) -> None:
    vectors = encode(backbone, TEXTS)
    assert vectors.shape == (len(TEXTS), backbone.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_batch_composition_does_not_change_a_vector(backbone: Backbone) -> None:
    together = encode(backbone, TEXTS)
    alone = np.vstack([encode(backbone, [text]) for text in TEXTS])
    crowded = encode(backbone, TEXTS, tokens_per_batch=1000)
    crumbled = encode(backbone, TEXTS, tokens_per_batch=1)
    for other in (alone, crowded, crumbled):
        np.testing.assert_allclose(together, other, atol=2e-5)


def test_order_and_repeats_are_kept(backbone: Backbone) -> None:
    vectors = encode(backbone, [TEXTS[1], TEXTS[0], TEXTS[1], f"  {TEXTS[1]} "])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors[0], vectors[3])
    np.testing.assert_allclose(vectors[1], encode(backbone, TEXTS)[0], atol=2e-5)


def test_each_distinct_text_is_encoded_once(backbone: Backbone) -> None:
    seen: list[tuple[int, int]] = []
    encode(backbone, TEXTS * 50, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(TEXTS), len(TEXTS))


def test_no_texts_give_no_vectors(backbone: Backbone) -> None:
    assert encode(backbone, []).shape == (0, backbone.dimension)


def test_text_without_words_is_the_zero_vector(backbone: Backbone) -> None:
    vectors = encode(backbone, ["", "quiet fan", " \n "])
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()


def test_progress_of_only_empty_texts_never_divides_by_zero(backbone: Backbone) -> None:
    assert not encode(backbone, ["", ""]).any()


def test_text_beyond_the_limit_has_no_influence(backbone: Backbone) -> None:
    head = "quiet fan " * 10
    cut = encode(backbone, [head, head + "guitar " * 50], max_tokens=12)
    np.testing.assert_allclose(cut[0], cut[1], atol=2e-5)


def test_limit_never_exceeds_what_the_model_can_read(causal: Backbone) -> None:
    vectors = encode(causal, ["fan " * 500], max_tokens=10_000)
    assert np.isfinite(vectors).all()
    assert len(tokenize(causal, ["fan " * 500], causal.max_positions)[0]) == 64


def test_similar_texts_are_near_with_the_packaged_model(minilm: Backbone) -> None:
    fan, monitor, quiet = encode(minilm, ["silent desk fan", "4k monitor", "quiet table fan"])
    assert fan @ quiet > 0.6 > fan @ monitor


@pytest.mark.parametrize("text", ["\x00", "\ud800", "🎮" * 100, "a" * 100_000])
def test_strange_text_gives_a_finite_vector(backbone: Backbone, text: str) -> None:
    assert np.isfinite(encode(backbone, [text])).all()


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 200))
def test_batches_cover_every_text_with_tokens_once(lengths: list[int], budget: int) -> None:
    batches = list(length_batches(lengths, budget))
    assert sorted(i for batch in batches for i in batch) == [i for i, n in enumerate(lengths) if n]
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
