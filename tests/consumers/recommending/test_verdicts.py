import json
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.structs import TopicPartition

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import decode_accepted_policy
from consumers.recommending.verdicts import BY_HEADER, Verdicts
from stream_rec.errors import InvalidPolicy, InvalidRecord

TOPICS = Topics("p")


def record(topic: str, offset: int, **more: Any) -> Any:
    fields = {"key": b"default", "value": b'{"list": {"size": 5}}', "headers": ()} | more
    return SimpleNamespace(topic=topic, partition=0, offset=offset, **fields)


@pytest.fixture
def verdicts() -> Verdicts:
    made = Verdicts(TOPICS)
    made.own({})
    return made


def audit(verdicts: Verdicts) -> list[dict[str, Any]]:
    return [json.loads(r.value or b"") for r in verdicts.records if r.topic == TOPICS.audit]


def test_accepted_policy_is_kept_whole_with_its_offset_and_author(verdicts: Verdicts) -> None:
    verdicts.take_policy(record(TOPICS.policies, 7, headers=[(BY_HEADER, b"ann")]))
    accepted, _, kept_for_good = verdicts.records
    assert (accepted.topic, accepted.key) == (TOPICS.accepted_policies, b"default")
    kept = decode_accepted_policy(accepted.value or b"")
    assert (kept.offset, kept.patch) == (7, {"list": {"size": 5}})
    assert [(line["verdict"], line["by"]) for line in audit(verdicts)] == [("accepted", "ann")]
    assert kept_for_good.key == b"history/default/7"
    assert json.loads(kept_for_good.value or b"") == audit(verdicts)[0]
    assert verdicts.letters == []


def test_tombstone_withdraws_a_policy(verdicts: Verdicts) -> None:
    verdicts.take_policy(record(TOPICS.policies, 7, value=None))
    assert decode_accepted_policy(verdicts.records[0].value or b"").patch is None


@pytest.mark.parametrize(
    "bad",
    [
        {"value": b"{"},
        {"value": b'{"list": {"size": 0}}'},
        {"value": b'{"unknown": 1}'},
        {"key": None},
        {"key": b""},
        {"key": b"a/b"},
        {"key": b"\xff"},
        {"key": b"x" * 200},
    ],
)
def test_refused_policy_goes_to_dead_letters_and_audit_alone(
    verdicts: Verdicts, bad: dict[str, Any]
) -> None:
    verdicts.take_policy(record(TOPICS.policies, 7, **bad))
    assert [letter.offset for letter in verdicts.letters] == [7]
    assert {r.topic for r in verdicts.records} == {TOPICS.audit}
    assert [line["verdict"] for line in audit(verdicts)] == ["refused"]


def test_policy_that_cannot_be_worked_with_is_refused_though_it_is_well_formed() -> None:
    def trial(scenario: str, patch: dict[str, Any]) -> None:
        message = f"{scenario}: {patch['list']}"
        raise InvalidPolicy(message)

    verdicts = Verdicts(TOPICS, trial)
    verdicts.own({})
    verdicts.take_policy(record(TOPICS.policies, 7))
    assert [letter.reason for letter in verdicts.letters] == ["default: {'size': 5}"]
    assert [line["verdict"] for line in audit(verdicts)] == ["refused"]
    verdicts.take_policy(record(TOPICS.policies, 8, value=None))
    assert audit(verdicts)[-1]["verdict"] == "accepted", "a layer can always be taken away"


def test_worker_that_does_not_own_verdicts_gives_none() -> None:
    verdicts = Verdicts(TOPICS)
    verdicts.take_policy(record(TOPICS.policies, 7))
    verdicts.refuse(record(TOPICS.items, 7), InvalidRecord("bad"))
    assert verdicts.waiting == 0


def test_what_the_last_owner_judged_is_not_judged_again(verdicts: Verdicts) -> None:
    verdicts.own({f"{TOPICS.items}-0": 5, f"{TOPICS.policies}-0": 3})
    for offset in range(8):
        verdicts.refuse(record(TOPICS.items, offset), InvalidRecord("bad", stage="key"))
        verdicts.take_policy(record(TOPICS.policies, offset, value=b"{"))
    found = [(letter.topic, letter.offset) for letter in verdicts.letters]
    assert [offset for topic, offset in found if topic == TOPICS.items] == [5, 6, 7]
    assert [offset for topic, offset in found if topic == TOPICS.policies] == [3, 4, 5, 6, 7]


def test_judged_offsets_never_go_back(verdicts: Verdicts) -> None:
    place = TopicPartition("p.items", 0)
    for position in (9, 4):
        verdicts.looked_at({place: position})
    assert verdicts.judged == {"p.items-0": 9}
