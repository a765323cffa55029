"""Facts on the wire."""

import msgspec
import numpy as np
import pytest

from stream_rec.errors import StateRejected
from stream_rec.statistics.facts import SOURCES, Facts, FactsBuilder


def _facts() -> Facts:
    builder = FactsBuilder()
    builder.add("a", 1000, 4.5, True, [(1, "a", [])])
    builder.add("b", 2000, None, False, [(1, "b", ["a"]), (-1, "a", ["b", "c"])])
    return builder.build("worker-1")


def test_columns_survive_the_wire() -> None:
    facts, read = _facts(), Facts.from_bytes(_facts().to_bytes())
    assert (read.worker, read.items) == ("worker-1", ["a", "b", "c"])
    for name in ("item", "timestamp", "first", "target", "sign", "sources"):
        assert np.array_equal(getattr(read, name), getattr(facts, name))
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
        ("sign", np.array([1], "|i1")),
    ],
)
def test_a_record_that_points_outside_of_itself_is_refused(name: str, column: np.ndarray) -> None:
    record = msgspec.msgpack.decode(_facts().to_bytes())
    record[name] = column.tobytes()
    with pytest.raises(StateRejected):
        Facts.from_bytes(msgspec.msgpack.encode(record))


def test_a_record_of_another_format_is_refused() -> None:
    record = msgspec.msgpack.decode(_facts().to_bytes()) | {"format": 99}
    with pytest.raises(StateRejected, match="format 99"):
        Facts.from_bytes(msgspec.msgpack.encode(record))
