"""`stream-rec user delete` against a running installation: the receipt, and what is wrong use."""

import json
import time

import pytest

from consumers.kafka_io.topic_reading import newest, reader
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import marker_key
from tests.consumers.conftest import Command, Running

DAY_MS = 86_400_000


def click(installation: Running, user: str, item: str, **more: object) -> None:
    now_ms = time.time_ns() // 1_000_000
    record = {"event_id": f"{user}-{time.time_ns()}", "user_id": user, "item_id": item}
    installation.observer.send_all("clicks", [record | {"timestamp": now_ms} | more])


def known(installation: Running, user: str) -> list[bytes]:
    """Return the keys that the topics of the engine hold of a user; the mark is none of theirs."""
    topics = Topics(installation.settings.prefix)
    found: list[bytes] = []
    with reader(installation.settings) as consumer:
        for topic in (topics.profiles, topics.recommendations):
            keys = newest(consumer, topic, consumer.partitions_for_topic(topic))
            found += [key for key in keys if user.encode() in key]
    return found


def test_a_deleted_user_is_gone_and_the_receipt_says_what_went(
    installation: Running, stream_rec: Command
) -> None:
    click(installation, "gone", "i1")
    click(installation, "gone", "i2", scenario="home")
    installation.list_of("gone", lambda made: made.lineage.events_applied == 2)
    ran = stream_rec("user", "delete", "gone", "--yes", "--json", *installation.options)
    assert ran.status == 0, ran.err
    receipt = json.loads(ran.out)
    assert receipt["outcome"] == "applied"
    assert receipt["events"] == 2
    assert receipt["lists"] == ["default/gone", "home/gone"]
    assert receipt["kept_events"] == 0
    assert receipt["carried_out"] < receipt["values_gone_by"] < receipt["keys_gone_by"]
    assert receipt["keys_gone_by"] < receipt["carried_out"] + 4 * DAY_MS
    assert f"{installation.settings.prefix}.events.clicks" in receipt["not_covered"]
    assert known(installation, "gone") == []


def test_somebody_never_seen_is_forgotten_too_and_the_text_says_so(
    installation: Running, stream_rec: Command
) -> None:
    ran = stream_rec("user", "delete", "never-seen", "--yes", *installation.options)
    assert ran.status == 0, ran.err
    assert "there was none" in ran.out
    assert "log holds no id" in ran.out
    topics = Topics(installation.settings.prefix)
    with reader(installation.settings) as consumer:
        places = consumer.partitions_for_topic(topics.profiles)
        assert newest(consumer, topics.profiles, places, keys={marker_key("never-seen")})


def test_deleting_up_to_an_earlier_time_does_nothing_more(
    installation: Running, stream_rec: Command
) -> None:
    options = ("--yes", "--json", *installation.options)
    assert stream_rec("user", "delete", "twice", *options).status == 0
    ran = stream_rec("user", "delete", "twice", "--up-to", "2024-01-01", *options)
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["outcome"] == "duplicate"


def test_what_happened_since_stays(installation: Running, stream_rec: Command) -> None:
    click(installation, "back", "i1", timestamp=1_700_000_000_000)
    click(installation, "back", "i3")
    installation.list_of("back", lambda made: made.lineage.events_applied == 2)
    ran = stream_rec(
        "user", "delete", "back", "--up-to", "2024-01-01", "--yes", "--json", *installation.options
    )
    receipt = json.loads(ran.out)
    assert receipt["kept_events"] == 1
    assert receipt["lists"] == receipt["new_lists"] == ["default/back"]
    assert known(installation, "back") != []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("*", "--yes"), "must not be '*'"),
        (("ann", "--yes", "--up-to", "soon"), "no time"),
        (("ann", "--yes", "--up-to", "2100-01-01"), "ahead"),
        (("\ud800", "--yes"), "surrogates"),
        (("ann",), "--yes"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    installation: Running, stream_rec: Command, arguments: tuple[str, ...], words: str
) -> None:
    ran = stream_rec("user", "delete", *arguments, *installation.options)
    assert ran.status == 2
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.out == ""


def test_an_installation_that_never_ran_is_told(installation: Running, stream_rec: Command) -> None:
    servers = installation.settings.bootstrap_servers
    ran = stream_rec(
        "user", "delete", "ann", "--yes", "--prefix", "nowhere", "--bootstrap-servers", servers
    )
    assert ran.status == 2
    assert "nowhere" in ran.err
