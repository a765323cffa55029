import numpy as np
import pytest

from stream_rec.exposure import Exposure, Shown, Taken, gini, head_from
from stream_rec.statistics.item_index import ItemIndex

EVERYONE = "*"


@pytest.fixture
def exposure() -> Exposure:
    return Exposure(ItemIndex(f"i{number}" for number in range(6)), most_lists=3)


COUNTS = np.array([90, 40, 30, 20, 0, 0])


def judged(exposure: Exposure, user: str, item: str, before: int = 1) -> list[tuple[bool, bool]]:
    row = exposure._items.row(item)
    taken = Taken(user, "default", item, before, int(COUNTS[row]) if row >= 0 else 0)
    return exposure.judge([taken], everyone=EVERYONE)


def test_what_is_taken_is_looked_up_in_the_list_that_stood_before(exposure: Exposure) -> None:
    exposure.show([Shown("ann", "default", ["i0", "i4"], 1)], COUNTS)
    assert judged(exposure, "ann", "i0") == [(True, False)]
    assert judged(exposure, "ann", "i3") == [(False, False)]
    assert judged(exposure, "ann", "i4") == [(True, True)]
    assert judged(exposure, "ann", "stranger") == [(False, True)]
    assert exposure.tally.users.tolist() == [[0, 0], [4, 2], [0, 0]]
    assert exposure.tally.items.sum(0).tolist() == [4, 2]


def test_users_never_seen_are_judged_by_everyones_list_and_others_not(exposure: Exposure) -> None:
    exposure.show([Shown(EVERYONE, "default", ["i0"], 0)], COUNTS)
    assert judged(exposure, "bob", "i0", before=0) == [(True, False)]
    assert judged(exposure, "bob", "i0", before=3) == []
    taken = Taken("bob", "elsewhere", "i0", 0, 90)
    assert exposure.judge([taken], everyone=EVERYONE) == []


def test_a_newer_list_takes_the_place_of_the_older_one(exposure: Exposure) -> None:
    exposure.show([Shown("ann", "default", ["i0"], 1)], COUNTS)
    exposure.show([Shown("ann", "default", ["i1"], 2)], COUNTS)
    assert judged(exposure, "ann", "i0") == [(False, False)]
    assert len(exposure) == 1


def test_the_memory_of_lists_is_bounded_and_forgets_the_oldest(exposure: Exposure) -> None:
    for user in "abcd":
        exposure.show([Shown(user, "default", ["i0"], 1)], COUNTS)
    assert len(exposure) == 3
    assert judged(exposure, "a", "i0") == []


def test_a_forgotten_user_is_judged_no_more(exposure: Exposure) -> None:
    exposure.show([Shown(user, "default", ["i0"], 1) for user in "ab"], COUNTS)
    exposure.forget("a", ["elsewhere", "default"])
    assert (judged(exposure, "a", "i0"), judged(exposure, "b", "i0")) == ([], [(True, False)])
    exposure.forget_all()
    assert len(exposure) == 0


def test_who_sees_an_item_is_known_of_the_lists_that_are_remembered(exposure: Exposure) -> None:
    exposure.show([Shown("a", "default", ["i0", "i1"], 1), Shown("b", "other", ["i0"], 1)], COUNTS)
    exposure.show([Shown("c", "default", [], 1)], COUNTS)
    rows = np.array([0, 5], np.int32)
    assert exposure.who_sees(rows, "default") == ["a"]
    assert exposure.who_sees(rows, "nowhere") == []
    assert exposure.who_sees(rows[:0], "default") == []


def test_places_are_counted_by_segment_of_item_and_user(exposure: Exposure) -> None:
    exposure.look_for_head(COUNTS)
    exposure.show([Shown("a", "default", ["i0", "i3", "i4"], 0)], COUNTS)
    exposure.show([Shown("b", "default", ["i0", "i5"], 25)], COUNTS)
    assert exposure.tally.shown.tolist() == [2, 2, 1]
    assert exposure.tally.shown_to.tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    ("counts", "first"),
    [([], 1), ([0, 0], 1), ([50, 30, 10, 5, 5], 50), ([1, 1, 1, 1], 1), ([9, 6, 3, 2], 6)],
)
def test_the_head_is_the_fewest_items_that_make_up_half(counts: list[int], first: int) -> None:
    assert head_from(np.array(counts, np.int64)) == first


def test_coverage_and_gini_speak_of_what_may_be_shown_lately(exposure: Exposure) -> None:
    may = np.array([True, True, True, True, False, False])
    exposure.show([Shown("a", "default", ["i0", "i1"], 1)], COUNTS)
    assert exposure.spread(may) == (0.5, 0.5)
    exposure.turn_window()
    assert exposure.spread(may) == (0.5, 0.5), "the last window still counts"
    exposure.show([Shown("a", "default", ["i2", "i3"], 1)], COUNTS)
    assert exposure.spread(may) == (1.0, 0.0)
    exposure.turn_window()
    exposure.turn_window()
    assert exposure.spread(may) == (0.0, 0.0)


def test_items_newer_than_every_list_count_as_not_shown(exposure: Exposure) -> None:
    exposure.show([Shown("a", "default", ["i0"], 1)], COUNTS)
    assert exposure.spread(np.ones(4000, bool))[0] == 1 / 4000


@pytest.mark.parametrize(
    ("amounts", "index"), [([], 0.0), ([0, 0], 0.0), ([3, 3, 3], 0.0), ([0, 0, 0, 8], 0.75)]
)
def test_gini_is_0_for_equals_and_near_1_when_one_takes_all(
    amounts: list[float], index: float
) -> None:
    assert gini(np.array(amounts, float)) == pytest.approx(index)
    shuffled = np.random.default_rng(0).permutation(np.array(amounts, float))
    assert gini(shuffled) == pytest.approx(index)
