"""`replay` over files and over the topics of a running engine: two policies side by side."""

import json
import time
from pathlib import Path

import pytest

from consumers.commands.recent_stream import recent, seconds_of
from consumers.kafka_io.clients import plain_producer
from consumers.kafka_io.topics import Topics
from stream_rec.errors import ConfigurationError
from stream_rec.simulation.shop import Shop

START_MS = 1_763_000_000_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    shop = Shop(4, items=80, users=20, newcomers=2)
    events = list(shop.events(260, START_MS, 1000))
    (folder / "items.jsonl").write_text(
        "".join(f"{json.dumps(i)}\n" for i in shop.catalogue(START_MS))
    )
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(e)}\n" for e in events))
    (folder / "a.json").write_text("{}")
    (folder / "b.json").write_text('{"list": {"diversity": 0.9, "exploration": 0.5}}')
    return folder


def test_two_policies_are_compared_on_files(files, stream_rec):
    options = ["--items", files / "items.jsonl", "--events", files / "events.jsonl", "--no-text"]
    options += ["--policy", files / "a.json", "--policy", files / "b.json", "--no-baselines"]
    ran = stream_rec("replay", *map(str, options), "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert list(found["runs"]) == ["a.json", "b.json"]
    difference = found["compared"]["b.json"]
    assert difference["compared"] == found["runs"]["a.json"]["segments"]["all"]["n"]
    assert difference["lists"] > 0.5
    assert 0.0 < difference["replaced"] <= 1.0
    for spread in found["lists"].values():
        assert sum(spread["exposure"].values()) == pytest.approx(1.0)
        assert 0.0 < spread["coverage"] <= 1.0
    assert found["lists"]["b.json"]["diversity"] > found["lists"]["a.json"]["diversity"]
    table = stream_rec("replay", *map(str, options)).out
    for said in ("NDCG@10", "diversity of a list", "exposure of the tail", "difference"):
        assert said in table
    assert "b.json against a.json" in table


def test_one_policy_is_compared_with_nothing(files, stream_rec):
    options = ["--items", files / "items.jsonl", "--events", files / "events.jsonl", "--no-text"]
    ran = stream_rec("replay", *map(str, options), "--limit", "60", "--no-baselines")
    assert ran.status == 0, ran.err
    assert "against" not in ran.out


def forget(settings, user_id):
    request = {"user_id": user_id, "timestamp": time.time_ns() // 1_000_000}
    producer = plain_producer(settings)
    topic = Topics(settings.prefix).erasures
    producer.send(topic, key=user_id.encode(), value=json.dumps(request).encode()).get(20)
    producer.close(timeout=5)


def test_the_last_of_the_topics_is_replayed_with_the_policy_in_force(
    installation, stream_rec, files
):
    started = time.time()
    for number in range(12):
        event = {
            "event_id": f"recent-{number}",
            "user_id": f"late-{number % 3}",
            "item_id": f"i{number % 9}",
            "timestamp": time.time_ns() // 1_000_000,
        }
        installation.observer.send_all("clicks", [event])
    installation.list_of("late-2", lambda made: made.lineage.events_applied == 4)
    forget(installation.settings, "late-0")
    found = recent(installation.settings, time.time() - started + 1.0)
    asked = [arrival for arrival in found.arrivals if arrival.kind == "erasure"]
    assert asked == found.arrivals[: len(asked)]
    assert b"late-0" in {arrival.key for arrival in asked}
    mine = [arrival for arrival in found.arrivals if b"recent-" in (arrival.value or b"")]
    assert len(mine) == 12
    assert [arrival.append_ms for arrival in mine] == sorted(a.append_ms or 0 for a in mine)
    assert len(found.items) >= 12
    assert "i1" in found.vectors
    ran = stream_rec(
        "replay", "--since", "1h", "--policy", "live", "--policy", str(files / "b.json"),
        "--no-baselines", "--json", *installation.options,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    answer = json.loads(ran.out)
    assert list(answer["runs"]) == ["live", "b.json"]
    assert answer["runs"]["live"]["events"] >= 12
    assert answer["compared"]["b.json"]["compared"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--items"),
        (("--since", "soon"), "no span of time"),
        (("--items", "x", "--events", "y", "--policy", "live"), "--since"),
    ],
)
def test_what_cannot_be_replayed_is_said(stream_rec, options, said):
    ran = stream_rec("replay", *options)
    assert ran.status == 2
    assert said in ran.err


@pytest.mark.parametrize("span", ["", "2", "h", "-1h", "2 weeks"])
def test_a_span_of_time_is_a_number_and_a_unit(span):
    with pytest.raises(ConfigurationError):
        seconds_of(span)
