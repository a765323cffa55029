"""One numbering of items."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.item_hash import item_hash
from stream_rec.statistics.item_index import ItemIndex


def test_rows_are_given_in_order_of_arrival_and_kept() -> None:
    index = ItemIndex(["b", "a", "b"])
    assert [index.row("b"), index.row("a"), index.row("c")] == [0, 1, -1]
    assert index.rows(["a", "c"]).tolist() == [1, -1]


@settings(deadline=None)
@given(st.sets(st.text(max_size=12), max_size=60), st.sets(st.text(max_size=12), max_size=20))
def test_hashes_find_the_rows_of_known_items_and_of_no_others(
    known: set[str], asked: set[str]
) -> None:
    index = ItemIndex(sorted(known))
    hashes = np.array([item_hash(item_id) for item_id in sorted(asked)], np.uint64)
    found = index.rows_of_hashes(hashes).tolist()
    assert found == [index.row(item_id) for item_id in sorted(asked)]


def test_growing_past_the_first_capacity_keeps_every_hash() -> None:
    index = ItemIndex(str(number) for number in range(5000))
    assert index.rows_of_hashes(index.hashes[:5000]).tolist() == list(range(5000))
