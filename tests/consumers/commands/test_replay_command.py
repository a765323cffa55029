"""`replay` over files and over the topics of a running engine: two policies side by side."""

import json
import time
from pathlib import Path

import pytest

from consumers.commands.recent_stream import recent, seconds_of
from consumers.kafka_io.clients import plain_producer
from consumers.kafka_io.topics import Topics
from stream_rec.errors import ConfigurationError
from stream_rec.replay import event_of_arrival
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


@pytest.mark.parametrize(("scenario", "share"), [("home", 0.5), ("default", 0.5), ("*", 1.0)])
def test_a_policy_is_that_of_the_scenario_named(files, stream_rec, tmp_path, scenario, share):
    lines = (files / "events.jsonl").read_text().splitlines()
    events = tmp_path / "events.jsonl"
    with events.open("w") as file:
        for number, line in enumerate(lines):
            name = "home" if number % 2 else "default"
            file.write(json.dumps(json.loads(line) | {"scenario": name}) + "\n")
    options = ["--items", files / "items.jsonl", "--events", events, "--no-text", "--json"]
    options += ["--policy", files / "a.json", "--policy", files / "b.json", "--no-baselines"]
    ran = stream_rec("replay", *map(str, options), "--scenario", scenario)
    assert ran.status == 0, ran.err
    changed = json.loads(ran.out)["compared"]["b.json"]["lists"]
    assert changed == pytest.approx(share, abs=0.1)


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


def test_a_policy_takes_the_place_of_the_layer_in_force_in_its_scenario(
    installation, stream_rec, tmp_path
):
    layer = '{"list": {"size": 6}}'
    ran = stream_rec("policy", "set", layer, "--scenario", "home", *installation.options)
    assert ran.status == 0, ran.err
    for number in range(24):
        event = {
            "event_id": f"home-{number}",
            "user_id": f"guest-{number % 4}",
            "item_id": f"i{number % 11}",
            "timestamp": time.time_ns() // 1_000_000,
            "scenario": "home",
        }
        installation.observer.send_all("clicks", [event])
    shorter = tmp_path / "shorter.json"
    shorter.write_text('{"list": {"size": 3}}')
    policies = ("--policy", "live", "--policy", str(shorter), "--scenario", "home")
    ran = stream_rec(
        "replay", "--since", "1h", *policies, "--no-baselines", "--json", *installation.options
    )
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["compared"]["shorter.json"]["lists"] > 0.0


def test_an_event_whose_envelope_is_in_its_headers_is_replayed(installation):
    topics = Topics(installation.settings.prefix)
    envelope = {
        "ce_specversion": b"1.0",
        "ce_id": b"in-headers",
        "ce_source": b"shop",
        "ce_type": b"shop.click",
        "ce_time": b"2026-01-01T00:00:00Z",
    }
    producer = plain_producer(installation.settings)
    body = b'{"user_id": "enveloped", "item_id": "i1"}'
    headers = list(envelope.items())
    producer.send(topics.clicks, key=b"enveloped", value=body, headers=headers).get(20)
    producer.close(timeout=5)
    found = recent(installation.settings, 3600.0)
    (mine,) = [arrival for arrival in found.arrivals if arrival.value == body]
    event = event_of_arrival(mine)
    assert event is not None
    assert event.event_id == "shop#in-headers"


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
