from pathlib import Path

import pytest

from consumers.recommending.snapshots import Snapshot, read_snapshot, write_snapshot
from stream_rec.errors import NewerFormat, StateRejected

SNAPSHOT = Snapshot(topic_id="t", offset=12, statistics=b"s" * 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "statistics.snapshot"
    write_snapshot(found, SNAPSHOT)
    return found


def test_snapshot_comes_back_as_it_was(path: Path) -> None:
    assert read_snapshot(path, "t") == SNAPSHOT


def test_newer_snapshot_replaces_the_old_one_and_leaves_nothing_beside_it(path: Path) -> None:
    newer = Snapshot(topic_id="t", offset=13, statistics=b"n")
    write_snapshot(path, newer)
    assert read_snapshot(path, "t") == newer
    assert list(path.parent.iterdir()) == [path]


def test_no_snapshot_and_one_of_another_log_are_none(path: Path) -> None:
    assert read_snapshot(path, "another") is None
    assert read_snapshot(path.with_name("missing"), "t") is None


@pytest.mark.parametrize("length", [0, 5, 30, 200, -1])
def test_torn_snapshot_is_refused(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StateRejected):
        read_snapshot(path, "t")


@pytest.mark.parametrize("place", [0, 25, 45, 300, 1000])
def test_bit_flipped_snapshot_is_refused(path: Path, place: int) -> None:
    body = bytearray(path.read_bytes())
    body[place] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(StateRejected):
        read_snapshot(path, "t")


def test_snapshot_of_a_newer_format_is_refused(path: Path) -> None:
    write_snapshot(path, Snapshot(format=9, topic_id="t", offset=1, statistics=b""))
    with pytest.raises(NewerFormat, match="format 9"):
        read_snapshot(path, "t")
