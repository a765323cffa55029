"""What nobody should send, all at once on a real broker: nothing stops, all is accounted for.

Each kind was an attack of its own first; those that stopped a worker are named by what they did.
"""

import contextlib
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kafka import KafkaProducer

from consumers.kafka_io.topics import Topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.recommending.outbox import MOST_FACTS_BYTES
from consumers.settings import Settings
from stream_rec.step import MAX_SCENARIOS_OF_A_USER
from tests import agreement
from tests.guarantees import topic_log
from tests.guarantees.fleet import Fleet
from tests.guarantees.traffic import send_catalogue, set_policy
from tests.oracle import ERASURES, fold
from tests.poison import poisoned

START_MS = 1_763_000_000_000
BACKWARDS, FLOODED = 3_000, 200
MEGABYTE, BODY = 1_000_000, 1_048_576
TWINS = ("ann", "\u0430nn", "a\u0144n", "an\u0301n", "\uff41nn", "ANN", "ann ")
Record = tuple[bytes | None, bytes | None]


@pytest.fixture
def settings(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Settings:
    return Settings(bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=tmp_path)


def event(user: str, number: int, **fields: object) -> Record:
    """A sound event, whatever is odd about its fields."""
    record = {"event_id": f"{user[:40]}-{number}", "user_id": user, "item_id": f"i{number % 50}"}
    record |= {"timestamp": START_MS + 1000 * number, **fields}
    return user.encode(), json.dumps(record).encode()


def backwards() -> list[Record]:
    """Events of some users on items with the longest of names, every second one half a minute late.

    A late one takes back and adds anew the links of twenty others: 1,500 of them were a record of
    facts of 2.3 MB, which no client sends, and the worker began again.
    """
    sent = []
    for number in range(BACKWARDS):
        user, turn = f"late-{number % 15}", number // 15
        seconds = turn if turn % 2 == 0 else turn - 40.5
        item_id = f"{number % 1009:04d}" + "\U0001f600" * 252
        sent.append(event(user, number, item_id=item_id, timestamp=int(START_MS + 1000 * seconds)))
    return sent


def many_scenarios() -> list[Record]:
    return [event("everywhere", number, scenario=f"s{number}") for number in range(FLOODED)]


def nobodys() -> list[Record]:
    """Events of the user whose list is everybody's, and on lists of that user."""
    return [
        event("*", 1),
        (b"*", event("ann", 2)[1]),
        event("ann", 3, scenario="*"),
        event("ann", 4, scenario="default/*"),
    ]


def huge_keys() -> list[Record]:
    return [
        (b"k" * MEGABYTE, event("ann", 5)[1]),
        (b"\xff" * MEGABYTE, b""),
        (b"k" * MEGABYTE, None),
    ]


def erasures() -> list[Record]:
    """The poison corpus as requests to forget the default list's user, or nobody."""
    request = {"user_id": "*", "timestamp": START_MS}
    bodies = [body for body in poisoned(request).values() if len(body or b"") < MEGABYTE]
    return [(b"*", body) for body in bodies]


def longest_policy() -> bytes:
    """A valid policy as long as a body may be, which only strong compression makes fit a record.

    With who and when it was too long to be written again, so the worker began again for ever.
    """
    rng, rules, length = Random(3), [], 0
    while length < BODY - 1_200:
        labels = [rng.randbytes(124).hex() for _ in range(4)]
        where = dict(zip(("category", "tag", "brand", "item_id"), labels, strict=True))
        rules.append({"do": "block", "where": where})
        length += len(json.dumps(rules[-1], separators=(",", ":"))) + 1
    policy: dict[str, object] = {"rules": rules}
    rest = BODY - len(json.dumps(policy, separators=(",", ":"))) - 60
    policy["signals"] = {"weights": {"w" * min(rest, 256): 1.0}}
    return json.dumps(policy, separators=(",", ":")).encode()


def send(settings: Settings, topic: str, records: list[Record], **where: Any) -> int:
    client = KafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        max_request_size=3_000_000,
        compression_type="gzip",
    )
    for key, value in records:
        client.send(topic, key=key, value=value, **where)
    client.flush(timeout=60)
    client.close()
    return len(records)


def letters(settings: Settings, topic: str) -> list[dict[str, bytes]]:
    found = topic_log.records(settings, Topics.dead_letters(topic))
    return [dict(letter.headers) for letter in found]


def test_what_nobody_should_send_stops_nothing_and_is_accounted_for(settings: Settings) -> None:
    topics = Topics(settings.prefix)
    with Fleet(settings) as fleet:
        send_catalogue(settings, 50)
        fleet.wait_ready()
        lazy = {"list": {"min_interval_ms": 86_400_000}, "intake": {"most_bad_share": 1.0}}
        set_policy(settings, lazy)
        names = {"item_id": "many", "vectors": {f"m{n}": [0.5] for n in range(50_000)}}
        send(settings, topics.items, [(b"many", json.dumps(names).encode())])
        refused = send(settings, topics.policies, [(b"default", longest_policy())])
        refused += send(settings, topics.policies, [(b"p" * MEGABYTE, b"{}")])
        headers = [(f"h{number}", b"x" * 50) for number in range(5_000)]
        bad = send(settings, topics.clicks, nobodys() + huge_keys(), partition=0)
        bad += send(settings, topics.clicks, [(b"headed", b"[")], headers=headers)
        send(settings, topics.clicks, [event("headed", 1)], headers=headers)
        send(settings, topics.clicks, many_scenarios())
        bad += FLOODED - MAX_SCENARIOS_OF_A_USER
        send(settings, topics.clicks, [event(twin, 1) for twin in TWINS])
        send(settings, topics.clicks, backwards())
        forgotten = send(settings, topics.erasures, erasures())
        with contextlib.closing(topic_log.Backlog(settings)) as backlog:
            fleet.wait(lambda: backlog.records() == 0, 300, "events stall")
        fleet.wait(lambda: len(letters(settings, topics.policies)) == refused, 60, "no verdicts")
        send(settings, topics.clicks, [event("witness", 1)])
        fleet.wait(lambda: b"default/witness" in lists(settings), 60, "nobody is answered")
        assert fleet.restarts == 0, fleet.last_lines()
    assert len(letters(settings, topics.erasures)) == forgotten
    told = letters(settings, topics.clicks)
    assert len(told) == bad
    assert sum("stream_rec.errors.truncated.headers" in one for one in told) == 1
    assert all(one["stream_rec.errors.message"] for one in told)
    profiles, _ = topic_log.changelog(settings)
    assert {twin for twin in TWINS if profiles[twin].events_applied == 1} == set(TWINS)
    assert len(profiles["everywhere"].lists) == MAX_SCENARIOS_OF_A_USER
    assert b"default/*" in lists(settings)
    facts = topic_log.records(settings, topics.statistics)
    assert max(len(record.value) for record in facts) <= MOST_FACTS_BYTES
    _agrees(settings)


def lists(settings: Settings) -> set[bytes]:
    return {
        record.key
        for record in topic_log.records(settings, Topics(settings.prefix).recommendations)
    }


def _agrees(settings: Settings) -> None:
    """Hold statistics and counts against the oracle, for all that it speaks of."""
    log = topic_log.input_log(settings)
    plain = [r for r in log if r.topic != ERASURES and not _odd(r.key, r.value)]
    flooded = [r for r in plain if r.key == b"everywhere"]
    expected = fold(r for r in plain if r not in flooded[MAX_SCENARIOS_OF_A_USER:])
    assert agreement.statistics_differences(topic_log.statistics(settings), expected) == []
    _, standings = topic_log.changelog(settings)
    outcomes = Counter[str]()
    for standing in standings.values():
        for counts in standing.ledger.outcomes.values():
            outcomes.update(counts)
    assert sum(outcomes.values()) == len(log)
    assert outcomes["applied"] == expected.outcomes["applied"]


def _odd(key: bytes | None, value: bytes | None) -> bool:
    """Whether the oracle, which checks little, would take what the engine must refuse."""
    return (
        key is None
        or len(key) > 256
        or key == b"*"
        or b'"scenario": "*"' in (value or b"")
        or (b"/*" in (value or b""))
    )
