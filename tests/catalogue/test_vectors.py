"""Tables of centred unit vectors."""

import numpy as np
import pytest

from stream_rec.catalogue.vectors import VectorTable
from stream_rec.errors import StateRejected


def test_vectors_are_scaled_to_length_one() -> None:
    table = VectorTable(3)
    table.put(4, np.array([3.0, 0.0, 4.0]))
    assert np.linalg.norm(table.matrix[4]) == pytest.approx(1.0, abs=1e-3)
    assert table.has(4)
    assert table.count == 1


def test_what_all_vectors_have_in_common_is_taken_away() -> None:
    generator, table = np.random.default_rng(0), VectorTable(16)
    cone = np.ones(16) * 3
    for row in range(600):
        table.put(row, cone + generator.normal(size=16))
    similar = table.matrix[:600] @ table.matrix[:600].T
    assert abs(float(similar[~np.eye(600, dtype=bool)].mean())) < 0.05


def test_a_dropped_vector_is_zero_and_a_new_one_replaces_it() -> None:
    table = VectorTable(2)
    table.put(0, np.array([1.0, 0.0]))
    table.drop(0)
    assert (table.count, table.has(0), table.matrix[0].tolist()) == (0, False, [0.0, 0.0])
    table.drop(99)
    table.put(0, np.array([0.0, 2.0]))
    assert table.matrix[0, 1] == pytest.approx(1.0, abs=1e-3)


def test_a_vector_of_zeros_is_no_vector() -> None:
    table = VectorTable(2)
    table.put(0, np.array([1.0, 0.0]))
    table.put(0, np.zeros(2))
    assert table.count == 0


@pytest.mark.parametrize("vector", [np.ones(3), np.ones((1, 2)), np.array([1.0, np.nan])])
def test_a_vector_of_another_kind_is_refused(vector: np.ndarray) -> None:
    table = VectorTable(2)
    with pytest.raises(StateRejected):
        table.put(0, vector)
    assert table.count == 0


def test_the_table_grows_with_its_rows() -> None:
    table = VectorTable(2)
    table.put(5000, np.array([1.0, 0.0]))
    assert table.has(5000)
    assert len(table.matrix) > 5000


def test_many_vectors_at_once_are_as_if_they_had_come_one_by_one() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    rows = rng.permutation(3000).astype(np.int32)
    at_once, singly = VectorTable(8), VectorTable(8)
    at_once.fill(rows, vectors)
    for row, vector in zip(rows, vectors, strict=True):
        singly.put(int(row), vector)
    assert (at_once.count, at_once.unfollowed) == (singly.count, singly.unfollowed) == (3000, 3000)
    np.testing.assert_allclose(at_once.came(rows), singly.came(rows), atol=1e-3)
    # The centre of single ones was last moved when two thirds of them were there.
    assert (at_once.matrix[:3000] * singly.matrix[:3000]).sum(1).min() > 0.99


def test_many_vectors_are_refused_whole() -> None:
    table = VectorTable(2)
    for bad in (np.full((1, 2), np.nan), np.ones((1, 3))):
        with pytest.raises(StateRejected):
            table.fill(np.array([0]), bad)
    table.fill(np.array([0, 1]), np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert (table.count, table.has(0), table.has(1)) == (1, False, True)
    assert table.came(np.array([0, 1, 9999])).tolist() == [[0, 0], [1, 0], [0, 0]]
