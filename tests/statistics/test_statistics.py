"""The fold of facts, and its snapshots."""

from hashlib import blake2b

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.errors import StateRejected
from stream_rec.statistics.facts import Facts, FactsBuilder
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics
from tests.agreement import linked

START_MS = 1_700_000_000_000
COUNTED = (
    "counts", "first_counts", "first_seen_ms", "last_seen_ms", "rating_count", "rating_sum",
)  # fmt: skip
LINKED = ("links", "following")

events = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.integers(START_MS, START_MS + 10**9),
        st.none() | st.floats(1, 5, width=32),
        st.booleans(),
        st.lists(st.sampled_from("abcdefgh"), max_size=5, unique=True),
    ),
    min_size=1,
    max_size=40,
)


def _facts(some: list[tuple[str, int, float | None, bool, list[str]]]) -> Facts:
    builder = FactsBuilder()
    for item, time, rating, first, sources in some:
        builder.count(item, time, rating, first, tenure_ms=time % 2)
        builder.link([(1, item, sources, time % 2 == 0)])
    return builder.build("w")


def _by_item(statistics: Statistics) -> dict[str, object]:
    """Everything known of each item, without rows."""
    ids, rows = statistics.items.ids, range(len(statistics.items))
    return {
        name: {ids[row]: int(getattr(statistics, name)[row]) for row in rows} for name in COUNTED
    } | {name: _links_of_each(statistics, name) for name in LINKED}


def _links_of_each(statistics: Statistics, table: str) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the links of each item: how strong, and newcomers' part of it."""
    found: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in statistics.items.ids}
    for (row, to), told in linked(statistics, table).items():
        found[row][to] = told
    return found


@settings(deadline=None)
@given(events, st.randoms(use_true_random=False), st.integers(1, 7))
def test_any_order_and_partition_of_facts_gives_the_same_statistics(
    some, shuffled, portion
) -> None:  # type: ignore[no-untyped-def]
    one, other = Statistics(ItemIndex()), Statistics(ItemIndex("hgfedcba"))
    one.fold(_facts(some))
    mixed = list(some)
    shuffled.shuffle(mixed)
    for start in range(0, len(mixed), portion):
        other.fold(Facts.from_bytes(_facts(mixed[start : start + portion]).to_bytes()))
    known = _by_item(one)
    for name, figures in _by_item(other).items():
        assert {item: value for item, value in figures.items() if item in known[name]} == known[
            name
        ]  # type: ignore[union-attr,operator,attr-defined,index]
    rows = other.items.rows(one.items.ids)
    mine = one.decayed.sums[:, : len(one.items)]
    assert other.decayed.sums[:, rows] == pytest.approx(mine, rel=1e-6)
    assert (other.events, other.newest_ms) == (one.events, one.newest_ms)


def _full() -> Statistics:
    statistics = Statistics(ItemIndex())
    generator = np.random.default_rng(1)
    names = [f"item {number}" for number in range(300)]
    some = [
        (
            names[generator.integers(300)],
            START_MS + number * 1000,
            float(generator.integers(1, 6)) if number % 3 == 0 else None,
            number % 7 == 0,
            [names[row] for row in generator.choice(300, 6, replace=False)],
        )
        for number in range(2000)
    ]
    statistics.fold(_facts(some))
    return statistics


def test_a_snapshot_restores_everything_into_any_numbering() -> None:
    statistics = _full()
    again = Statistics.from_bytes(statistics.to_bytes(), ItemIndex(["somebody else's"]))
    stranger = {"somebody else's"}
    for name, figures in _by_item(statistics).items():
        restored = _by_item(again)[name]
        assert {item: v for item, v in restored.items() if item not in stranger} == figures  # type: ignore[attr-defined]
    now = statistics.newest_ms
    rows = again.items.rows(statistics.items.ids)
    reading, other = (one.decayed.read(500.0, now_ms=now) for one in (statistics, again))
    assert reading == pytest.approx(other)
    assert again.decayed.sums[:, rows] == pytest.approx(
        statistics.decayed.sums[:, : len(statistics.items)]
    )


def test_a_snapshot_of_the_first_format_takes_everybody_for_established() -> None:
    again = Statistics.from_bytes(_older(1), ItemIndex())
    assert np.array_equal(again.settled.sums, again.decayed.sums)
    assert np.array_equal(again.settled.mass, again.decayed.mass)
    assert _by_item(again) == _by_item(_full()) | _nobody_new(_full())


@pytest.mark.parametrize("number", [2, 3])
def test_older_snapshots_say_of_no_link_that_a_newcomer_made_it(number: int) -> None:
    again = Statistics.from_bytes(_older(number), ItemIndex())
    assert _by_item(again) == _by_item(_full()) | _nobody_new(_full())
    assert np.array_equal(again.settled.sums, _full().settled.sums)


def _nobody_new(statistics: Statistics) -> dict[str, object]:
    """Return all links as if newcomers had made none."""
    return {
        name: {
            row: {to: (weight, 0) for to, (weight, _) in links.items()}
            for row, links in _links_of_each(statistics, name).items()
        }
        for name in LINKED
    }


def _older(number: int) -> bytes:
    """Return a snapshot as an older format held it."""
    snapshot, magic = _full().to_bytes(), b"stream-rec statistics %d\n" % number
    body = msgspec.msgpack.decode(snapshot[len(magic) + 16 :])
    for name in LINKED:
        *links, newcomers = body[name]
        body[name] = links
        if number == 3:  # a table of newcomers' links alone
            theirs = np.flatnonzero(np.frombuffer(newcomers, np.int32))
            row, to = (np.frombuffer(column, np.int32)[theirs].tobytes() for column in links[:2])
            apart = np.frombuffer(newcomers, np.int32)[theirs].tobytes()
            body[f"newcomers_{name}"] = [row, to, apart]
    if number == 1:
        del body["settled"]
    encoded = msgspec.msgpack.encode(body)
    return magic + blake2b(encoded, digest_size=16).digest() + encoded


def test_an_entry_of_the_settled_takes_who_was_known_for_three_of_its_half_lives() -> None:
    builder, statistics = FactsBuilder(), Statistics(ItemIndex())
    for item_id, tenure_ms in (("new", 0), ("known", 180_000), ("older", 540_000)):
        builder.count(item_id, START_MS, None, False, tenure_ms=tenure_ms)
    statistics.fold(builder.build("w"))
    held = (statistics.settled.sums[:3, :3] > 0.0).tolist()
    assert held == [[False, True, True], [False, False, True], [False, False, False]]
    assert (statistics.decayed.sums[:, :3] > 0.0).all()


def test_folding_goes_on_after_a_snapshot_as_if_there_had_been_none() -> None:
    more = _facts([("item 1", START_MS + 10**7, 2.0, False, ["item 2", "new"])])
    one, other = _full(), Statistics.from_bytes(_full().to_bytes(), ItemIndex())
    one.fold(more)
    other.fold(more)
    assert _by_item(one) == _by_item(other)
    assert one.to_bytes() == other.to_bytes()


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_torn_snapshot_is_refused(kept: float) -> None:
    snapshot = _full().to_bytes()
    with pytest.raises(StateRejected):
        Statistics.from_bytes(snapshot[: int(kept * len(snapshot))], ItemIndex())


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_flipped_bit_is_refused_wherever_it_is(data: st.DataObject) -> None:
    snapshot = bytearray(_SNAPSHOT)
    place = data.draw(st.integers(0, len(snapshot) - 1))
    snapshot[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(StateRejected):
        Statistics.from_bytes(bytes(snapshot), ItemIndex())


def test_reading_statistics_changes_nothing() -> None:
    statistics = _full()
    before = statistics.to_bytes()
    statistics.decayed.read(100.0, now_ms=statistics.newest_ms + 10**9)
    statistics.links.row(3)
    assert statistics.rating_mean > 0
    assert statistics.to_bytes() == before


_SNAPSHOT = _full().to_bytes()
