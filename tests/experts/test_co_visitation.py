"""What links lead to, where newcomers push an item and where they do not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_rec.experts.co_visitation import spread_following, spread_links
from stream_rec.statistics.facts import FactsBuilder
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics

ITEMS = ["source", "both", "new", "old"]
SOURCE, BOTH, NEW, OLD = range(4)
EVENTS = 30  # of the source


def linked(credits: list[float], *, both: tuple[int, int] = (2, 10)) -> NDArray[np.float32]:
    """Return how strongly the source leads to each item, (2, items): at all and right after it.

    Established users and newcomers made so many links to `both`, newcomers alone five to `new`, and
    established ones three to `old`.
    """
    builder, statistics = FactsBuilder(), Statistics(ItemIndex(ITEMS))
    for _ in range(EVENTS):
        builder.count("source", 1_000, None, False)
    for target, made, newcomer in (
        ("both", both[0], False), ("both", both[1], True), ("new", 5, True), ("old", 3, False),
    ):  # fmt: skip
        builder.link([(1, target, ["source"], newcomer)] * made)
    statistics.fold(builder.build("w"))
    told = (statistics.counts, np.array(credits, np.float32))
    out, touched = np.zeros((2, len(ITEMS)), np.float32), np.zeros(len(ITEMS) + 1, np.int32)
    found = spread_links(
        (statistics.links.pool, *told), SOURCE, np.float32(1.0), out[0], touched, 0
    )
    assert sorted(touched[:found]) == np.flatnonzero(out[0]).tolist()
    found = spread_following((statistics.following.pool, *told), SOURCE, out[1], touched)
    assert sorted(touched[:found]) == np.flatnonzero(out[1]).tolist()
    return out * np.array([[EVENTS + 10.0], [EVENTS + 3.0]], np.float32)


def test_everybodys_links_count_alike_where_nobody_pushes() -> None:
    for found in linked([1.0, 1.0, 1.0, 1.0]):
        assert found.tolist() == pytest.approx([0.0, 12.0, 5.0, 3.0])


def test_newcomers_links_to_a_pushed_item_count_by_their_credit_and_others_in_full() -> None:
    for found in linked([1.0, 0.1, 1.0, 0.1]):
        assert found.tolist() == pytest.approx([0.0, 2.0 + 0.1 * 10, 5.0, 3.0])


@pytest.mark.parametrize("made", [10, 100, 1_000])
def test_newcomers_do_no_more_than_double_what_others_say_of_a_pushed_item(made: int) -> None:
    for found in linked([1.0, 0.5, 0.5, 1.0], both=(2, made)):
        assert found.tolist() == pytest.approx([0.0, 4.0, 0.0, 3.0])
    for found in linked([1.0, 0.5, 0.5, 1.0], both=(0, made)):
        assert found[BOTH] == 0.0


def test_a_newcomers_part_that_does_not_fit_makes_no_link_negative_or_weaker() -> None:
    builder, statistics = FactsBuilder(), Statistics(ItemIndex(ITEMS))
    builder.link([(1, "new", ["source"], True), (-1, "new", ["source"], False)])
    builder.link([(1, "old", ["source"], False), (-1, "old", ["source"], True)])
    builder.link([(1, "old", ["source"], True)])
    builder.link([(1, "both", ["source"], False)] * 3 + [(-1, "both", ["source"], True)])
    statistics.fold(builder.build("w"))
    out, touched = np.zeros(len(ITEMS), np.float32), np.zeros(len(ITEMS) + 1, np.int32)
    credits = np.full(len(ITEMS), 0.5, np.float32)
    known = (statistics.links.pool, statistics.counts, credits)
    spread_links(known, SOURCE, np.float32(10.0), out, touched, 0)
    assert out.tolist() == pytest.approx([0.0, 2.0, 0.0, 1.0])
