import gzip
import json
from pathlib import Path

import pytest

from stream_rec import recorded
from stream_rec.errors import ConfigurationError
from stream_rec.events import parse_event

ROWS = [
    {
        "type": "review",
        "user_id": "u1",
        "item_id": "a",
        "ts": 1_600_000_010.5,
        "rating": 4,
        "text": "good",
    },
    {"action": "Add To Cart", "user_id": "u2", "item_id": "b", "ts": 1_600_000_011},
    {"event_id": "own", "user_id": "u1", "item_id": "c", "timestamp": 1_600_000_012_000},
    {"user_id": "u1", "item_id": "b", "ts": 1_600_000_013, "rating": None, "text": None},
]


def written(path: Path, lines: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines)
    return path


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_rows_become_records_that_the_engine_reads(name: str, tmp_path: Path) -> None:
    file = written(tmp_path / name, "\n".join(json.dumps(row) for row in ROWS))
    arrivals = list(recorded.arrivals(file))
    events = [parse_event(one.value, key=one.key, kind=one.kind, source="file") for one in arrivals]
    assert [one.topic for one in arrivals] == [
        "events.reviews",
        "events.clicks",
        "events.clicks",
        "events.clicks",
    ]
    assert [one.offset for one in arrivals] == [0, 0, 1, 2]
    assert [event.event_type for event in events] == ["review", "add_to_cart", "click", "click"]
    assert [event.timestamp for event in events[:2]] == [1_600_000_010_500, 1_600_000_011_000]
    assert [event.event_id for event in events] == ["row-0", "row-1", "own", "row-3"]
    assert (events[0].rating, events[0].text, events[3].rating) == (4.0, "good", None)


def test_only_the_first_rows_are_read_when_there_is_a_limit(tmp_path: Path) -> None:
    file = written(tmp_path / "f.jsonl", "{}\n{}\nnot JSON\n")
    assert len(list(recorded.rows(file, 2))) == 2


@pytest.mark.parametrize("lines", ["{}\n[1]\n", "{}\n{torn", '{"a": \ufffd'])
def test_a_line_that_is_no_object_is_named(lines: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"f\.jsonl"):
        list(recorded.rows(written(tmp_path / "f.jsonl", lines)))


def test_a_file_that_is_not_there_or_torn_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        list(recorded.rows(tmp_path / "nowhere.jsonl"))
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(b"{}\n" * 1000)[:-20])
    with pytest.raises(ConfigurationError, match=r"torn\.jsonl"):
        list(recorded.rows(torn))


def test_the_catalogue_of_a_file_is_read_as_items(tmp_path: Path) -> None:
    lines = '{"item_id": "a", "title": "A", "categories": [["x", "y"]]}\n{"item_id": "b"}\n'
    found = list(recorded.items(written(tmp_path / "items.jsonl", lines)))
    assert [(item.item_id, item.title, item.categories) for item in found] == [
        ("a", "A", ("x", "y")),
        ("b", None, ()),
    ]
