"""Vectors in bytes: small, near what they were, and the ranking stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.int8_vectors import measure
from stream_rec.catalogue.quantised import quantised, restored
from stream_rec.language_model.next_item_examples import next_items
from stream_rec.language_model.replay_buffer import Feedback


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.floats(0.1, 10.0))
def test_no_part_is_further_off_than_half_a_step(seed: int, rows: int, size: float) -> None:
    vectors = (size * np.random.default_rng(seed).normal(size=(rows, 24))).astype(np.float32)
    small, worth = quantised(vectors, at_once=16)
    off = np.abs(small * worth[:, None] - vectors)
    assert (off <= worth[:, None] * 0.5001).all()
    assert np.abs(small).max(axis=1).tolist() == [127] * rows
    np.testing.assert_allclose(restored(small, worth), small * worth[:, None], rtol=1e-3, atol=1e-6)


def test_a_row_of_zeros_stays_and_no_rows_are_no_rows() -> None:
    small, worth = quantised(np.zeros((2, 3), np.float16))
    assert (small.tolist(), worth.tolist()) == ([[0] * 3] * 2, [0.0, 0.0])
    assert restored(*quantised(np.zeros((0, 3), np.float32))).shape == (0, 3)


def test_bytes_rank_almost_as_floats_and_cost_a_quarter() -> None:
    rng, items = np.random.default_rng(3), 400
    kinds = rng.normal(size=(20, 64))[np.arange(items) % 20]
    vectors = (kinds + 0.7 * rng.normal(size=(items, 64))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    histories = {
        f"u{user}": [
            Feedback(user_id=f"u{user}", item_id=str(item), timestamp=at)
            for at, item in enumerate(rng.choice(np.arange(user % 20, items, 20), 5, replace=False))
        ]
        for user in range(200)
    }
    later = next_items(histories, {str(row): row for row in range(items)})
    floats, halves, small = measure(vectors, later)
    assert (floats["same lists"], halves["bytes an item"]) == (1.0, 128)
    assert small["bytes an item"] == 64 + 4
    assert floats["ndcg"] > 0.1
    assert small["ndcg"] == pytest.approx(floats["ndcg"], rel=0.01)
    assert 0.97 < small["same lists"] < 1.0, "the loss is there, and it is measured"
    assert 0.95 < small["same neighbours"] < 1.0
