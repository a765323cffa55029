"""Every program at its real work on brokers that trust nobody, with its least rights and no more.

Recommender by SCRAM, encoder and trainer by certificate, operator by a password over TLS. What they
print and measure while they work is then searched for secrets and for what users wrote.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from consumers.kafka_io.clients import plain_consumer, plain_producer
from consumers.kafka_io.rights import least_rights
from consumers.kafka_io.topics import Topics
from consumers.processes import child_process
from consumers.processes.installation import environment, own_command, says_ready
from consumers.settings import Security, Settings, secrets_and_security
from consumers.training.announced import announce
from stream_rec.adapters.life import AdapterVersion
from tests.poison import poisoned
from tests.secured_broker import PASSWORDS, SecuredBroker, secured_broker

SHOP, TOKEN = "shop", "token-of-the-secured-shop-0123"
READY_S, LIST_S = 240.0, 60.0
DEBUGGED = """
import sys
from consumers.kafka_io.clients import plain_producer
from consumers.settings import settings_from_environment
from consumers.terminal import log_to_stderr
log_to_stderr(debug=True)
settings = settings_from_environment()
producer = plain_producer(settings)
topic = f"{settings.prefix}.{sys.argv[1]}"
producer.send(topic, key=sys.argv[2].encode(), value=sys.argv[2].encode(), partition=0).get(30)
producer.close()
"""
MARK = "ZQXJ"  # in no text of ours; every id, text and field of the test's traffic carries it
ITEMS = [
    {"item_id": f"{MARK}-item-{n}", "title": f"{MARK} kettle {n}", "categories": ["Kitchen"]}
    for n in range(8)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of ours, running as a user of its own."""

    settings: Settings
    process: "subprocess.Popen[bytes]"
    log: Path
    address: str

    def said(self) -> str:
        """Return everything it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> str:
        """Ask it over HTTP."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(f"http://{self.address}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.read().decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The programs at work, and a user for everybody else who has to do with them."""

    broker: SecuredBroker
    folder: Path
    programs: dict[str, Program]
    users: dict[str, Settings]

    def command(self, user: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as one of the users, told where and how by its environment alone."""
        settings = self.users[user]
        told = {
            "STREAM_REC_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "STREAM_REC_PREFIX": SHOP,
            "STREAM_REC_DATA_DIR": str(settings.data_dir),
        }
        return subprocess.run(
            [*own_command(), *arguments],
            env=os.environ | told | secrets_and_security(settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("secured")
    with secured_broker(folder) as broker:
        identities = {
            "topics": broker.by_scram("maker"),
            "recommender": broker.by_scram("recommender"),
            "encoder": broker.by_certificate("encoder"),
            "trainer": broker.by_certificate("trainer"),
            "operator": broker.by_password("plain"),
            "analyst": broker.by_scram("analyst"),
            "doctor": broker.by_scram("doctor"),
            "dlq": broker.by_scram("dlq"),
            "producer": broker.by_scram("producer"),
            "reader": broker.by_scram("reader"),
        }
        users = {name: _user(broker, folder, name, *who) for name, who in identities.items()}
        made = Shop(broker=broker, folder=folder, programs={}, users=users)
        done = made.command("topics", "topics", "--partitions", "2", "--json")
        assert done.returncode == 0, done.stderr
        try:
            for name in ("recommender", "encoder", "trainer"):
                made.programs[name] = _started(users[name], name, folder)
            for program in made.programs.values():
                _wait_ready(program)
            yield made
        finally:
            for program in made.programs.values():
                program.process.send_signal(signal.SIGTERM)
            for program in made.programs.values():
                program.process.wait(30)


def _user(
    broker: SecuredBroker, folder: Path, name: str, servers: str, security: Security
) -> Settings:
    settings = Settings(
        bootstrap_servers=servers,
        security=security,
        prefix=SHOP,
        partitions=2,
        data_dir=folder / name,
        http_token=TOKEN,
    )
    settings.data_dir.mkdir()
    by_certificate = security.sasl_username is None
    user = name if by_certificate else str(security.sasl_username)
    broker.grant(user, least_rights(name, settings))
    return settings


def _started(settings: Settings, name: str, folder: Path) -> Program:
    address = f"127.0.0.1:{child_process.free_port()}"
    folder.mkdir(exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as stream:
        process = child_process.spawn(
            (*own_command(), name),
            env=os.environ | environment(settings, address),
            output=stream,
            death_signal=signal.SIGKILL,
        )
    return Program(settings=settings, process=process, log=log, address=address)


def _wait_ready(program: Program) -> None:
    until = time.monotonic() + READY_S
    while not says_ready(program.address, TOKEN):
        assert program.process.poll() is None, program.said()
        assert time.monotonic() < until, program.said()
        time.sleep(0.1)


def waited(look: Callable[[], Any], within_s: float = LIST_S) -> Any:
    """Look until something is found."""
    until = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def served(shop: Shop) -> dict[str, Any]:
    """Let a producer send a catalogue, events and poison, and a reader read the lists."""
    topics = Topics(SHOP)
    now_ms = time.time_ns() // 1_000_000
    user = f"{MARK}-user"
    review = {
        "event_id": f"{MARK}-r1",
        "event_type": "review",
        "user_id": user,
        "item_id": ITEMS[0]["item_id"],
        "timestamp": now_ms,
        "rating": 2,
        "title": f"{MARK} loud",
        "text": f"{MARK} the lid is unbearable and it broke",
        "properties": {"note": MARK},
    }
    click = {"user_id": user, "item_id": ITEMS[1]["item_id"], "timestamp": now_ms}
    # Mostly poison: what breaks a deploy off in production is not what is tested here.
    broad = ("policy", "set", '{"intake": {"most_bad_share": 1.0}}', "--scenario", "*")
    assert shop.command("operator", *broad).returncode == 0
    with closing(plain_producer(shop.users["producer"])) as producer:
        for item in ITEMS:
            producer.send(
                topics.items, key=str(item["item_id"]).encode(), value=json.dumps(item).encode()
            )
        producer.send(topics.reviews, key=user.encode(), value=json.dumps(review).encode())
        for number in range(20):
            event = click | {"event_id": f"{MARK}-c{number}", "event_type": MARK}
            producer.send(topics.clicks, key=user.encode(), value=json.dumps(event).encode())
        _poison(producer, topics, click | {"event_id": f"{MARK}-poison"}, user)
        producer.flush(timeout=30)
    with closing(_Lists(shop.users["reader"])) as lists:
        return waited(lambda: lists.of(user, shop))


class _Lists:
    """A reader of lists, with the rights of one."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = plain_consumer(settings)
        topic = Topics(SHOP).recommendations
        places = [TopicPartition(topic, n) for n in self._consumer.partitions_for_topic(topic)]
        self._consumer.assign(places)
        for place in places:
            self._consumer.seek(place, 0)

    def of(self, user: str, shop: Shop) -> dict[str, Any] | None:
        """Return a list of the user that rests on all events, made by text."""
        for program in shop.programs.values():
            assert program.process.poll() is None, program.said()
        for records in self._consumer.poll(200).values():
            for record in records:
                made = json.loads(record.value) if record.value else {}
                if made.get("user_id") == user and _is_whole(made):
                    return made
        return None

    def close(self) -> None:
        self._consumer.close()


def _is_whole(made: dict[str, Any]) -> bool:
    """Whether a list rests on a review, twenty clicks and the vectors of all items."""
    lineage = made["lineage"]
    return lineage["events_applied"] >= 21 and lineage["encoded_items"] >= len(ITEMS)


def _poison(producer: Any, topics: Topics, event: dict[str, Any], user: str) -> None:
    """Send all that was ever hard to read, and records with the wrong key, partition and time."""
    for value in poisoned(event).values():
        if value is None or len(value) < 500_000:
            producer.send(topics.clicks, key=user.encode(), value=value)
    good = json.dumps(event).encode()
    for number in range(2):
        producer.send(topics.clicks, key=user.encode(), value=good, partition=number)
    producer.send(topics.clicks, key=f"{MARK}-other".encode(), value=good)
    producer.send(topics.clicks, key=b"\xff" + MARK.encode(), value=good, partition=0)
    producer.send(topics.clicks, key=None, value=good, partition=0)
    future = event | {"timestamp": event["timestamp"] + 10 * 86_400_000}
    producer.send(topics.clicks, key=user.encode(), value=json.dumps(future).encode())
    broken_item = {"item_id": f"{MARK}-item-9", "title": [MARK], "categories": {MARK: MARK}}
    producer.send(topics.items, key=MARK.encode(), value=json.dumps(broken_item).encode())
    producer.send(topics.items, key=f"{MARK}-b".encode(), value=b"{" + MARK.encode())
    erasure = {"user_id": f"{MARK}-gone", "timestamp": MARK}
    producer.send(topics.erasures, key=f"{MARK}-gone".encode(), value=json.dumps(erasure).encode())


def test_events_become_lists_with_every_program_at_its_least_rights(
    shop: Shop, served: dict[str, Any]
) -> None:
    assert served["items"]
    assert served["tier"] == "lm", "the encoder's vectors did not arrive"
    for program in shop.programs.values():
        assert program.process.poll() is None, program.said()


def test_the_commands_work_with_the_rights_of_an_operator(
    shop: Shop, served: dict[str, Any]
) -> None:
    user = served["user_id"]
    for arguments in (
        ("policy", "set", '{"list": {"size": 5}}'),
        ("policy", "get"),
        ("policy", "get", "--layers"),
        ("policy", "diff", '{"list": {"size": 4}}'),
        ("policy", "history", "--json"),
        ("policy", "rollback"),
        ("explain", user, "--json"),
        ("explain", user, str(ITEMS[0]["item_id"])),
        ("dlq", "list", "--json"),
        ("user", "delete", user, "--yes", "--json"),
    ):
        done = shop.command("operator", *arguments)
        said = shop.programs["recommender"].said()[-2_000:]
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{said}"
    done = shop.command("dlq", "dlq", "retry", "--limit", "3", "--json")
    assert "AuthorizationFailed" not in done.stderr
    assert len(json.loads(done.stdout)) == 3
    done = shop.command("dlq", "dlq", "drop", "--all", "--limit", "5")
    assert done.returncode == 0, done.stderr


def test_an_analyst_may_replay_and_a_doctor_examine_everything(
    shop: Shop, served: dict[str, Any]
) -> None:
    asked = ("replay", "--since", "1h", "--no-text", "--no-baselines", "--json")
    done = shop.command("analyst", *asked)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"]["live"]["events"] > 0
    done = shop.command("doctor", "doctor", "--program", "doctor", "--json")
    assert json.loads(done.stdout)["checks"][0] == {"check": "rights", "findings": []}
    hidden = ("not_checked", "group_hidden", "settings_hidden")
    assert not any(kind in done.stdout for kind in hidden), done.stdout


def test_a_trainer_may_announce_what_it_learned(shop: Shop) -> None:
    version = AdapterVersion(
        scenario="default",
        version=1,
        text_version=1,
        state="refused",
        base_model_hash="0",
        method="proximal",
        created_at=1,
        changed_at=1,
    )
    announce(shop.users["trainer"], [version])


def test_no_secret_is_in_arguments_logs_or_what_settings_print(shop: Shop) -> None:
    secrets = [*PASSWORDS.values(), TOKEN]
    for program in shop.programs.values():
        argv = Path(f"/proc/{program.process.pid}/cmdline").read_bytes().decode()
        told = f"{program.settings!r} {program.settings} {program.settings.security}"
        for secret in secrets:
            assert secret not in argv
            assert secret not in told
            assert secret not in program.said()
            assert secret not in program.get("/metrics")


def test_a_debug_log_tells_no_password_and_no_record(shop: Shop) -> None:
    """The client's own debug log holds every byte that it sends."""
    for name, topic in (("operator", "policies"), ("producer", "items")):
        settings = shop.users[name]
        done = subprocess.run(
            [sys.executable, "-c", DEBUGGED, topic, MARK],
            env=os.environ | environment(settings, "127.0.0.1:0"),
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "INFO kafka." in done.stderr, "there is no log to look at"
        for secret in (*PASSWORDS.values(), MARK):
            assert secret not in done.stderr


def test_a_wrong_token_learns_nothing_of_a_program(shop: Shop) -> None:
    for program in shop.programs.values():
        assert says_ready(program.address, TOKEN)
        assert not says_ready(program.address, "token-of-nobody-at-all-000")
        assert not says_ready(program.address)


def test_what_users_wrote_and_who_they_are_is_in_no_log_and_no_metric(
    shop: Shop, served: dict[str, Any]
) -> None:
    """Ids, texts, titles, event types and broken bodies all carry one mark."""
    recommender = shop.programs["recommender"]
    waited(lambda: "dead_letters_total" in recommender.get("/metrics"))
    assert MARK in json.dumps(served)
    for name, program in shop.programs.items():
        for where, text in (("log", program.said()), ("metrics", program.get("/metrics"))):
            found = [line for line in text.splitlines() if MARK.lower() in line.lower()]
            assert not found, (name, where, found[:5])
        assert "Traceback" not in program.said()


def test_a_right_taken_away_ends_the_next_start_with_status_1_and_one_line(shop: Shop) -> None:
    servers, security = shop.broker.by_scram("poor")
    poor = replace(
        shop.users["recommender"],
        bootstrap_servers=servers,
        security=security,
        data_dir=shop.folder / "poor",
    )
    rights = least_rights("recommender", poor)
    shop.broker.grant("poor", [right for right in rights if right.kind != "group"])
    started = _started(poor, "recommender", shop.folder / "poor")
    assert started.process.wait(60) == 1
    last = started.said().strip().splitlines()[-1]
    assert last.startswith("error: the brokers do not let User:poor Read on group shop.recommender")
    assert "Traceback" not in started.said()
