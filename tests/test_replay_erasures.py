"""A replay honours erasures: those of the recorded stream, and those that came after it."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_rec.recorded import arrivals, erasures, is_erasure
from stream_rec.replay import Options, Replay, Report, replay
from stream_rec.step import Arrival
from tests.shop_log import FIRST_MS, tiny_replica

OPTIONS = Options(batch=4, warm_up=0.0)


def click(user: str, item: str, number: int) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "user_id": user,
        "item_id": item,
        "timestamp": FIRST_MS + 1000 * number,
    }


def forget(user: str, number: int) -> dict[str, Any]:
    return {"user_id": user, "timestamp": FIRST_MS + 1000 * number}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def stream() -> list[dict[str, Any]]:
    return [click("ab"[n % 2], f"i{n % 12}", n) for n in range(24)]


def run(records: list[Arrival]) -> Report:
    return replay(tiny_replica(), records, OPTIONS)


def test_a_row_without_an_item_asks_to_forget() -> None:
    assert is_erasure({"user_id": "u", "ts": 1.0})
    assert is_erasure({"user_id": "u", "timestamp": 1, "type": "erasure"})
    assert not is_erasure({"user_id": "u", "timestamp": 1, "type": "click"})
    assert not is_erasure({"user_id": "u", "item_id": "i", "ts": 1.0, "type": "erasure"})


def test_a_stream_with_an_erasure_forgets_from_there_on(tmp_path: Path) -> None:
    rows = [*stream()[:12], forget("a", 12), *stream()[12:]]
    report = run(list(arrivals(written(tmp_path / "e.jsonl", rows))))
    assert report.outcomes == {"applied": 24 - 1 + 1, "erased": 1}
    assert (
        report.segments["all"]["n"]
        < run(list(arrivals(written(tmp_path / "f.jsonl", stream())))).segments["all"]["n"] + 12
    )


def test_erasures_given_beside_a_stream_leave_nothing_of_the_user(tmp_path: Path) -> None:
    events = list(arrivals(written(tmp_path / "events.jsonl", stream())))
    asked = list(erasures(written(tmp_path / "erasures.jsonl", [forget("a", 100)])))
    report = run([*asked, *events])
    assert report.outcomes == {"applied": 1 + 12, "erased": 12}
    alone = run([event for event in events if event.key == b"b"])
    assert report.segments["all"]["n"] == alone.segments["all"]["n"]


def test_a_replay_forgets_profile_list_and_what_was_to_be_refreshed(tmp_path: Path) -> None:
    rows = [*stream()[:4], forget("a", 100)]
    records = list(arrivals(written(tmp_path / "e.jsonl", rows)))
    going = Replay(tiny_replica(), Options(refresh=4.0))
    going.publish((), FIRST_MS)
    for record in records:
        going.take([record], FIRST_MS)
    assert set(going.profiles) == {"*", "b"}
    assert set(going.newest) == {("default", "*"), ("default", "b")}
    assert going.marks["a"].timestamp == FIRST_MS + 100_000


@pytest.mark.parametrize("bad", [{"user_id": "a"}, {"user_id": "*", "timestamp": 1}])
def test_a_bad_request_of_a_file_is_a_dead_letter(tmp_path: Path, bad: dict[str, Any]) -> None:
    asked = list(erasures(written(tmp_path / "erasures.jsonl", [bad])))
    events = list(arrivals(written(tmp_path / "events.jsonl", stream())))
    assert run([*asked, *events]).outcomes == {"dead_lettered": 1, "applied": 24}
