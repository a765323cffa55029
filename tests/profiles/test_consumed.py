import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.item_hash import item_hash
from stream_rec.profiles.consumed import BLOOM_BITS, EXACT, PROBES, Consumed, probes

HASHES = st.integers(min_value=0, max_value=2**64 - 1)


def holding(hashes: list[int]) -> Consumed:
    consumed = Consumed()
    for hashed in hashes:
        consumed = consumed.added(hashed)
    return consumed


def array(hashes: list[int]) -> np.ndarray:
    return np.array(hashes, np.uint64)


def hashes_of(count: int, prefix: str = "item") -> list[int]:
    return [item_hash(f"{prefix}-{number}") for number in range(count)]


def test_an_empty_set_holds_nothing() -> None:
    assert not Consumed().holds(array(hashes_of(10))).any()
    assert Consumed().holds(array([])).shape == (0,)


@given(st.lists(HASHES, max_size=60), st.randoms())
def test_the_order_of_arrival_and_repeats_make_no_difference(
    hashes: list[int], random: np.random.Generator
) -> None:
    again = hashes + hashes
    random.shuffle(again)
    assert holding(hashes) == holding(again)


@settings(max_examples=15)
@given(st.randoms(), st.integers(EXACT - 2, EXACT + 40))
def test_neither_does_it_once_the_filter_has_taken_over(random, count: int) -> None:  # type: ignore[no-untyped-def]
    hashes = hashes_of(count)
    again = hashes + hashes[: count // 3]
    random.shuffle(again)
    assert holding(hashes) == holding(again)


@given(st.sets(HASHES, max_size=EXACT), st.sets(HASHES, max_size=20))
def test_a_small_set_answers_exactly(members: set[int], others: set[int]) -> None:
    consumed = holding(sorted(members))
    asked = sorted(members | others)
    assert consumed.holds(array(asked)).tolist() == [hashed in members for hashed in asked]
    assert consumed.hashes().tolist() == sorted(members)


def test_a_large_set_forgets_nothing() -> None:
    hashes = hashes_of(1500)
    assert holding(hashes).holds(array(hashes)).all()


@pytest.mark.parametrize(("members", "most"), [(200, 0.002), (1000, 0.01), (2000, 0.04)])
def test_a_large_set_is_seldom_wrong_about_others(members: int, most: float) -> None:
    others = array(hashes_of(20_000, "other"))
    assert holding(hashes_of(members)).holds(others).mean() <= most


def test_a_set_never_grows_beyond_its_filter() -> None:
    consumed = holding(hashes_of(3000))
    assert len(consumed.bloom) == BLOOM_BITS // 8
    assert not consumed.exact
    assert len(holding(hashes_of(EXACT)).exact) == 8 * EXACT


def test_a_saturated_filter_is_ignored_rather_than_hiding_the_catalogue() -> None:
    hashes = hashes_of(9000)
    assert not holding(hashes).holds(array(hashes_of(500, "other"))).any()


def test_probes_lie_inside_of_the_filter() -> None:
    positions = probes(array([0, 1, 2**64 - 1, 2**32, 2**63]))
    assert positions.shape == (5, PROBES)
    assert ((positions >= 0) & (positions < BLOOM_BITS)).all()


def test_a_set_knows_what_is_new_to_it_until_its_filter_is_full() -> None:
    consumed = Consumed()
    for number in range(3 * EXACT):
        item = item_hash(f"i{number}")
        after = consumed.added(item)
        assert consumed.grew_to(after, item)
        assert not after.grew_to(after.added(item), item)
        consumed = after
    full = Consumed(b"", b"\xff" * (BLOOM_BITS // 8))
    assert not full.grew_to(full.added(1), 1)
