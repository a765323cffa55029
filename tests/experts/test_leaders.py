"""The k best in one pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.experts.leaders import BARRED, best_of_all, best_of_some, sum_of_exponentials


def _best(scores: np.ndarray, most: int, *, mark: np.ndarray | None = None) -> set[int]:
    rows, keys = np.empty(most, np.int32), np.empty(most, np.float32)
    marks = np.zeros(len(scores), np.int8) if mark is None else mark
    allowed = np.ones(len(scores), np.bool_)
    held = best_of_all(scores, allowed, marks, rows, keys)
    assert np.array_equal(scores[rows[:held]], keys[:held])
    return set(rows[:held].tolist())


@settings(deadline=None)
@given(st.integers(1, 6000), st.integers(1, 60), st.integers(0, 10**6))
def test_the_best_of_all_are_the_best_by_sorting(items: int, most: int, seed: int) -> None:
    scores = np.random.default_rng(seed).permutation(items).astype(np.float32)
    assert _best(scores, most) == set(np.argsort(-scores)[:most].tolist())


def test_a_sample_that_promises_too_much_costs_no_leader() -> None:
    scores = np.zeros(5000, np.float32)
    scores[::16] = np.arange(313)  # only what the sample looks at is worth anything
    assert _best(scores, 40) >= set(range(16 * 273, 5000, 16))


def test_barred_and_forbidden_items_take_no_place() -> None:
    scores = np.arange(3000, dtype=np.float32)
    mark = np.zeros(3000, np.int8)
    mark[2990:] = BARRED
    assert _best(scores, 5, mark=mark) == set(range(2985, 2990))


def test_some_rows_compete_only_with_positive_scores() -> None:
    rows, keys = np.empty(3, np.int32), np.empty(3, np.float32)
    scores = np.array([5.0, 0.0, 3.0, -1.0, 4.0], np.float32)
    some = np.array([1, 2, 3, 4], np.int32)
    allowed, mark = np.ones(5, np.bool_), np.zeros(5, np.int8)
    held = best_of_some(some, scores, allowed, mark, rows, keys)
    assert set(rows[:held].tolist()) == {2, 4}


def test_the_sum_of_exponentials_is_right_to_a_percent() -> None:
    scores = np.random.default_rng(0).normal(0, 0.2, 3000).clip(-0.8, 0.8).astype(np.float32)
    exact = np.exp(12.0 * scores.astype(np.float64)).sum()
    assert sum_of_exponentials(scores, 12.0) == pytest.approx(exact, rel=0.01)
