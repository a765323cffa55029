"""Nearest neighbours that keep up with a table."""

import numpy as np

from stream_rec.catalogue.neighbours import NEIGHBOURS, Neighbours
from stream_rec.catalogue.vectors import VectorTable


def _table(rows: int) -> VectorTable:
    generator, table = np.random.default_rng(0), VectorTable(8)
    for row in range(rows):
        table.put(row, generator.normal(size=8))
    return table


def test_neighbours_found_in_portions_are_the_exact_ones() -> None:
    table, neighbours = _table(200), Neighbours()
    for _ in range(100):
        neighbours.follow(table, most=7)
    cosines = table.matrix[:200] @ table.matrix[:200].T
    np.fill_diagonal(cosines, -1.0)
    for row in range(200):
        best = np.sort(cosines[row])[::-1][:NEIGHBOURS]
        found = neighbours.cosines[row]
        assert np.allclose(found, np.maximum(best, 0.0), atol=1e-5)
        assert row not in neighbours.rows[row]


def test_an_item_that_arrives_enters_the_lists_of_others() -> None:
    table, neighbours = _table(100), Neighbours()
    neighbours.follow(table, most=1000)
    table.put(100, table.matrix[7] + 0.01)
    neighbours.follow(table, most=1000)
    assert neighbours.rows[7, 0] == 100
    assert neighbours.rows[100, 0] == 7


def test_a_lonely_item_has_no_neighbours() -> None:
    table, neighbours = _table(1), Neighbours()
    neighbours.follow(table, most=10)
    assert neighbours.rows[0].tolist() == [-1] * NEIGHBOURS
