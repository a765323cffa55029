"""Facts on the wire."""

import msgspec
import numpy as np
import pytest

from stream_rec.errors import StateRejected
from stream_rec.statistics.facts import ESTABLISHED_MS, SOURCES, Facts, FactsBuilder
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics
from tests.agreement import linked


def _facts() -> Facts:
    builder = FactsBuilder()
    builder.count("a", 1000, 4.5, True)
    builder.link([(1, "a", [], True)])
    builder.count("b", 2000, None, False, tenure_ms=700)
    builder.link([(1, "b", ["a"], False), (-1, "a", ["b", "c"], False)])
    return builder.build("worker-1")


def test_columns_survive_the_wire() -> None:
    facts, read = _facts(), Facts.from_bytes(_facts().to_bytes())
    assert (read.worker, read.items) == ("worker-1", ["a", "b", "c"])
    for name in ("item", "timestamp", "first", "tenure_ms", "target", "sign", "sources"):
        assert np.array_equal(getattr(read, name), getattr(facts, name))
    assert read.newcomer.tolist() == [True, False, False]
    assert read.rating[0] == 4.5
    assert np.isnan(read.rating[1])
    assert read.sources.shape == (3, SOURCES)


def test_an_empty_batch_survives_the_wire() -> None:
    assert len(Facts.from_bytes(FactsBuilder().build("w").to_bytes())) == 0


@pytest.mark.parametrize("cut", [0, 1, 10, 60])
def test_a_torn_record_is_refused(cut: int) -> None:
    with pytest.raises(StateRejected):
        Facts.from_bytes(_facts().to_bytes()[:cut])


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("item", np.array([0, 3], "<i4")),
        ("target", np.array([0, -1, 0], "<i4")),
        ("sources", np.full((3, SOURCES), 7, "<i4")),
        ("timestamp", np.array([1], "<i8")),
        ("tenure_ms", np.array([1], "<i8")),
        ("sign", np.array([1], "|i1")),
        ("newcomer", np.array([True], "|b1")),
    ],
)
def test_a_record_that_points_outside_of_itself_is_refused(name: str, column: np.ndarray) -> None:
    record = msgspec.msgpack.decode(_facts().to_bytes())
    record[name] = column.tobytes()
    with pytest.raises(StateRejected):
        Facts.from_bytes(msgspec.msgpack.encode(record))


def test_a_record_of_the_first_format_takes_everybody_for_established() -> None:
    record = msgspec.msgpack.decode(_facts().to_bytes()) | {"format": 1}
    del record["tenure_ms"]
    read = Facts.from_bytes(msgspec.msgpack.encode(record))
    assert read.tenure_ms.tolist() == [ESTABLISHED_MS, ESTABLISHED_MS]
    assert read.first.tolist() == [True, False]
    assert not read.newcomer.any()


def test_a_record_of_the_second_format_says_of_no_link_that_a_newcomer_made_it() -> None:
    record = msgspec.msgpack.decode(_facts().to_bytes()) | {"format": 2}
    del record["newcomer"]
    read = Facts.from_bytes(msgspec.msgpack.encode(record))
    assert read.newcomer.tolist() == [False, False, False]
    assert read.tenure_ms.tolist() == [0, 700]


def test_a_record_of_another_format_is_refused() -> None:
    record = msgspec.msgpack.decode(_facts().to_bytes()) | {"format": 99}
    with pytest.raises(StateRejected, match="format 99"):
        Facts.from_bytes(msgspec.msgpack.encode(record))


@pytest.mark.parametrize("most", [1, 400, 3_000, 1_000_000])
def test_facts_cut_into_parts_fold_to_the_same_and_are_small(most: int) -> None:
    rng, builder = np.random.default_rng(7), FactsBuilder()
    names = [f"{number}-{chr(0x1F600) * 20}" for number in range(30)]
    for number in range(40):
        own = [names[place] for place in rng.integers(len(names), size=24).tolist()]
        rating = None if number % 3 else float(number % 5)
        builder.count(own[0], 1_000 * number, rating, number % 7 == 0, tenure_ms=number % 2)
        builder.link([(1, own[0], own[1:20], number % 2 == 0)])
        builder.link([(-1, own[20], own[21:], number % 3 == 0)])
    facts = builder.build("w")
    records = list(facts.parts(most))
    assert len(records) > 1 or most == 1_000_000
    parts = [Facts.from_bytes(record) for record in records]
    assert all(
        len(record) <= most or len(part.target) < 2
        for record, part in zip(records, parts, strict=True)
    )
    whole, cut = Statistics(ItemIndex()), Statistics(ItemIndex())
    whole.fold(facts)
    for part in parts[::-1]:
        cut.fold(part)
    for name in names:
        row, other = whole.items.add(name), cut.items.add(name)
        assert whole.counts[row] == cut.counts[other]
        assert whole.first_counts[row] == cut.first_counts[other]
        assert whole.rating_sum[row] == cut.rating_sum[other]
    for table in ("links", "following"):
        assert linked(cut, table) == linked(whole, table)
