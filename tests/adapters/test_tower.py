"""A tower places texts without torch as it does where it learns."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_rec.adapters.tower import check_tower, place
from stream_rec.errors import CheckpointRejected

RNG = np.random.default_rng(3)
TEXT: NDArray[np.float32] = RNG.normal(size=(5, 8)).astype(np.float32)


def tower() -> dict[str, NDArray[np.float32]]:
    return {
        "centre": TEXT.mean(axis=0),
        "down": RNG.normal(size=(8, 2)).astype(np.float32),
        "up": RNG.normal(size=(2, 8)).astype(np.float32),
        "residual": RNG.normal(size=(5, 8)).astype(np.float32),
        "recency": np.ones(10, np.float32),
        "numbers": np.zeros(3, np.float32),
    }


def test_every_place_is_of_length_one() -> None:
    vectors = place(tower(), TEXT, np.arange(5))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors.dtype == np.float32


def test_item_is_placed_by_its_own_residual_wherever_its_row_is() -> None:
    made = tower()
    whole = place(made, TEXT, np.arange(5))
    order = np.array([3, -1, 0])
    some = place(made, TEXT[[3, 1, 0]], order)
    np.testing.assert_allclose(some[[0, 2]], whole[[3, 0]], atol=1e-5)
    np.testing.assert_allclose(some[1], place(made, TEXT[1:2])[0], atol=1e-5)
    assert not np.allclose(some[1], whole[1])


def test_text_of_zeros_is_nowhere_unless_behaviour_knows_the_item() -> None:
    made, nothing = tower(), np.zeros((1, 8), np.float32)
    assert not place(made, nothing).any()
    known = made["residual"][2] / np.linalg.norm(made["residual"][2])
    np.testing.assert_allclose(place(made, nothing, np.array([2]))[0], known, atol=1e-5)


@pytest.mark.parametrize("name", ["centre", "up", "residual", "numbers", "down"])
def test_arrays_that_do_not_fit_each_other_are_refused(name: str) -> None:
    check_tower(tower())
    with pytest.raises(CheckpointRejected):
        check_tower(tower() | {name: np.zeros((3, 3, 3), np.float32)})
    with pytest.raises(CheckpointRejected, match="no tower"):
        check_tower({key: array for key, array in tower().items() if key != name})
