"""What brokers deny is denied, and whoever is denied says so in one line that names the remedy."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError

from consumers.cli import main
from consumers.kafka_io.access import check_rights, is_refusal, missing_rights
from consumers.kafka_io.clients import admin, group_consumer, plain_consumer, plain_producer
from consumers.kafka_io.clients import transactional_producer as transactional
from consumers.kafka_io.rights import PROGRAMS, Right, least_rights, merged
from consumers.kafka_io.topics import Topics, ensure_topics, plans
from consumers.processes.installation import environment, own_command
from consumers.settings import Security, Settings, secrets_and_security
from stream_rec.errors import AccessDenied
from tests.secured_broker import SecuredBroker, secured_broker

SHOP = "shop"
SOON_S = 12.0
Ran = tuple[int, str, float]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        for prefix in (SHOP, "shop2"):
            with closing(admin(Settings(bootstrap_servers=broker.open_servers))) as client:
                ensure_topics(client, Topics(prefix), partitions=2, replication_factor=1)
        yield broker


@pytest.fixture(scope="module")
def as_program(secured: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Return the settings of a user who has exactly the rights of one program."""
    known: dict[str, Settings] = {}

    def settings_of(program: str) -> Settings:
        if program not in known:
            servers, security = secured.by_scram(program)
            settings = Settings(
                bootstrap_servers=servers,
                security=security,
                prefix=SHOP,
                partitions=2,
                data_dir=tmp_path_factory.mktemp(program),
            )
            secured.grant(program, least_rights(program, settings))
            until = time.monotonic() + SOON_S
            while lacking := missing(settings, least_rights(program, settings)):
                assert time.monotonic() < until, lacking
            known[program] = settings
        return known[program]

    return settings_of


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    """Run the command line as a client of some settings; return status, stderr and seconds."""

    def run(settings: Settings, *arguments: str) -> Ran:
        told = {
            "STREAM_REC_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "STREAM_REC_PREFIX": settings.prefix,
            "STREAM_REC_DATA_DIR": str(settings.data_dir),
            **secrets_and_security(settings),
        }
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        started = time.monotonic()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        took = time.monotonic() - started
        return int(ended.value.code or 0), capsys.readouterr().err.strip(), took

    return run


def missing(settings: Settings, rights: tuple[Right, ...]) -> tuple[Right, ...]:
    with closing(admin(settings)) as client:
        return missing_rights(client, rights, settings)


def one_line(text: str) -> str:
    """Return the one line that an operator reads."""
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_broker_allows_a_program_exactly_what_the_table_says(
    program: str, as_program: Callable
) -> None:
    """The broker's own answer on every topic of the shop and of another one."""
    settings = as_program(program)
    rights = [right for right in merged(least_rights(program, settings)) if right.kind == "topic"]
    names = [*plans(Topics(SHOP), 2), *plans(Topics("shop2"), 2)]
    with closing(admin(settings)) as client:
        found = {
            topic["name"]: {name.title().replace("_", "") for name in allowed}
            for topic in client.describe_topics(names)
            if (allowed := topic["authorized_operations"]) is not None
        }
    for name in names:
        wanted = {
            operation
            for right in rights
            if name == right.name or (right.prefixed and name.startswith(right.name))
            for operation in right.operations
        }
        # Whoever may use a topic may look at it: that is Kafka's own rule.
        wanted |= {"Describe"} if wanted & {"Read", "Write", "Delete"} else set()
        assert found.get(name, set()) == wanted, name


def read_some(settings: Settings, topic: str) -> None:
    with closing(plain_consumer(settings)) as consumer:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.beginning_offsets([place])
        consumer.seek(place, 0)
        for _ in range(20):
            consumer.poll(100)


def write_one(settings: Settings, topic: str) -> None:
    with closing(plain_producer(settings)) as producer:
        producer.send(topic, key=b"k", value=b"{}", partition=0).get(timeout=20)


def join(settings: Settings, topic: str) -> None:
    with closing(group_consumer(settings)) as consumer:
        consumer.subscribe([topic])
        for _ in range(20):
            consumer.poll(100)


def begin(settings: Settings, topic: str) -> None:
    with closing(transactional(settings, f"{SHOP}-0-mine")) as producer:
        producer.init_transactions()


FORBIDDEN = [
    ("encoder", write_one, "shop.recommendations"),
    ("encoder", write_one, "shop.items"),
    ("encoder", read_some, "shop.events.clicks"),
    ("encoder", read_some, "shop.internal.profiles"),
    ("encoder", join, "shop.events.reviews"),
    ("encoder", begin, ""),
    ("trainer", write_one, "shop.recommendations"),
    ("trainer", write_one, "shop.internal.vectors"),
    ("trainer", read_some, "shop.internal.profiles"),
    ("recommender", write_one, "shop.items"),
    ("recommender", write_one, "shop.policies"),
    ("recommender", write_one, "shop.internal.vectors"),
    ("recommender", write_one, "shop.events.clicks"),
    ("recommender", read_some, "shop2.events.clicks"),
    ("recommender", write_one, "shop2.recommendations"),
    ("producer", read_some, "shop.recommendations"),
    ("producer", read_some, "shop.events.clicks"),
    ("producer", write_one, "shop.recommendations"),
    ("producer", write_one, "shop.policies"),
    ("producer", write_one, "shop2.events.clicks"),
    ("reader", write_one, "shop.recommendations"),
    ("reader", read_some, "shop.events.reviews"),
    ("reader", read_some, "shop.internal.profiles"),
    ("reader", read_some, "shop2.recommendations"),
    ("operator", write_one, "shop.items"),
    ("operator", write_one, "shop.internal.policies"),
    ("operator", read_some, "shop.events.reviews"),
    ("operator", begin, ""),
    ("analyst", write_one, "shop.policies"),
    ("analyst", write_one, "shop.events.clicks"),
    ("analyst", read_some, "shop.internal.profiles"),
    ("analyst", join, "shop.events.clicks"),
    ("analyst", begin, ""),
    ("doctor", write_one, "shop.policies"),
    ("doctor", write_one, "shop.erasures"),
    ("doctor", read_some, "shop2.events.clicks"),
    ("doctor", join, "shop.events.clicks"),
    ("doctor", begin, ""),
    ("dlq", write_one, "shop.recommendations"),
    ("dlq", write_one, "shop.internal.profiles"),
    ("dlq", write_one, "shop2.events.clicks"),
    ("dlq", read_some, "shop.recommendations"),
    ("dlq", begin, ""),
    ("topics", read_some, "shop.items"),
    ("topics", write_one, "shop.items"),
    ("trainer", begin, ""),
    ("producer", begin, ""),
    ("producer", join, "shop.events.clicks"),
    ("reader", begin, ""),
    ("reader", join, "shop.recommendations"),
]


def test_every_program_is_denied_something_to_read_and_something_to_write() -> None:
    for action in (write_one, read_some):
        assert {who for who, tried, _ in FORBIDDEN if tried is action} == set(PROGRAMS)


@pytest.mark.parametrize(("program", "action", "topic"), FORBIDDEN)
def test_what_a_program_has_no_business_with_is_denied(
    program: str, action: Callable, topic: str, as_program: Callable
) -> None:
    settings, started = as_program(program), time.monotonic()
    with pytest.raises((KafkaError, AccessDenied)) as refused:
        action(settings, topic)
    assert is_refusal(refused.value), repr(refused.value)
    assert time.monotonic() - started < SOON_S


@pytest.mark.parametrize(
    "program", ["recommender", "encoder", "trainer", "operator", "analyst", "doctor", "dlq"]
)
def test_a_program_that_lacks_any_of_its_rights_says_which(
    program: str, secured: SecuredBroker, as_program: Callable
) -> None:
    """Every right is taken away by itself, and the check before the start names it."""
    settings = as_program(program)
    everything = merged(least_rights(program, settings))
    servers, security = secured.by_scram(f"poor-{program}")
    poor = replace(settings, bootstrap_servers=servers, security=security)
    user = f"poor-{program}"
    for left_out in everything:
        for operation in left_out.operations:
            if operation == "Describe" and program != "topics":
                continue  # the rights to read and write bring it along for most topics
            kept = [
                replace(right, operations=tuple(o for o in right.operations if o != operation))
                if right == left_out
                else right
                for right in everything
            ]
            secured.revoke(user)
            secured.grant(user, [right for right in kept if right.operations])
            told = refusal_of(poor, program, left_out)
            assert f"the brokers do not let User:{user} " in told
            assert f"{operation} on {left_out.kind} {left_out.name}" in told
            assert f"`stream-rec rights {program}` prints what to grant" in told


def refusal_of(settings: Settings, program: str, left_out: Right) -> str:
    """Wait until the broker has heard that this right alone is gone; return what is told then."""
    deadline, lacking = time.monotonic() + SOON_S, ()
    while time.monotonic() < deadline:
        lacking = missing(settings, least_rights(program, settings))
        if [(right.kind, right.name) for right in lacking] == [(left_out.kind, left_out.name)]:
            with closing(admin(settings)) as client, pytest.raises(AccessDenied) as refused:
                check_rights(client, program, settings)
            return one_line(str(refused.value))
    pytest.fail(f"nothing, or not this alone, is missing: {lacking}")


def wrong(secured: SecuredBroker, how: str) -> tuple[str, Security]:
    """Return servers and security of a client that cannot get in."""
    sasl, tls = secured.sasl_servers, secured.tls_servers
    _, right = secured.by_certificate("somebody")
    by_scram = secured.sasl("nobody", "a-wrong-password")
    match how:
        case "password":
            return sasl, by_scram
        case "mechanism":
            return sasl, replace(by_scram, sasl_mechanism="SCRAM-SHA-256")
        case "authority":
            return tls, replace(right, ssl_cafile=right.ssl_certfile)
        case "no certificate":
            return tls, replace(right, ssl_certfile=None, ssl_keyfile=None)
        case "no file":
            return tls, replace(right, ssl_keyfile=str(secured.folder / "none.key"))
        case "locked key":
            locked = secured.folder / "locked.key"
            unlock = ["openssl", "ec", "-aes256", "-in", str(right.ssl_keyfile)]
            subprocess.run(
                [*unlock, "-out", str(locked), "-passout", "pass:secret"],
                check=True,
                capture_output=True,
            )
            return tls, replace(right, ssl_keyfile=str(locked))
        case "name":
            return tls.replace("localhost", "127.0.0.1"), right
        case "tls to plain":
            return secured.open_servers, right
        case _:
            return tls, Security()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("password", "refuse User:nobody by SCRAM-SHA-512: wrong user name or password"),
        ("mechanism", "SCRAM-SHA-256"),
        ("authority", "STREAM_REC_SSL_CAFILE"),
        ("no certificate", "STREAM_REC_SSL_CERTFILE"),
        ("name", "is not to be trusted: IP address mismatch"),
        ("plain to tls", "speak TLS: STREAM_REC_SECURITY_PROTOCOL"),
        ("tls to plain", "no TLS with"),
    ],
)
def test_whoever_is_not_let_in_is_told_why_within_seconds(
    how: str, words: str, secured: SecuredBroker, command: Callable, tmp_path: Path
) -> None:
    servers, security = wrong(secured, how)
    settings = Settings(
        bootstrap_servers=servers, security=security, prefix=SHOP, data_dir=tmp_path
    )
    status, told, took = command(settings, "policy", "get")
    assert status == 1
    assert words in one_line(told)
    assert "a-wrong-password" not in told
    assert took < SOON_S


@pytest.mark.parametrize("how", ["no file", "locked key"])
def test_a_key_that_cannot_be_used_is_wrong_use(
    how: str, secured: SecuredBroker, command: Callable, tmp_path: Path
) -> None:
    servers, security = wrong(secured, how)
    settings = Settings(bootstrap_servers=servers, security=security, data_dir=tmp_path)
    status, told, took = command(settings, "policy", "get")
    assert status == 2
    assert "STREAM_REC_SSL_KEYFILE" in one_line(told)
    assert took < SOON_S


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("policy", "get"), "Read on topic shop.internal.policies"),
        (("policy", "set", "{}"), "Write on topic shop.policies"),
        (("policy", "history"), "Read on topic shop.audit"),
        (("explain", "ann"), "Read on topic shop.internal.policies"),
        (("topics",), "`stream-rec rights topics`"),
    ],
)
def test_a_command_of_somebody_without_rights_names_the_right(
    arguments: tuple[str, ...], words: str, as_program: Callable, command: Callable
) -> None:
    status, told, took = command(as_program("reader"), *arguments)
    assert status == 1
    assert words in one_line(told)
    assert took < SOON_S


def test_a_replay_of_somebody_without_rights_names_who_has_them(
    as_program: Callable, command: Callable
) -> None:
    status, told, _ = command(as_program("reader"), "replay", "--since", "1h", "--no-text")
    assert status == 1
    last = one_line(told.splitlines()[-1])
    assert "Read on topic shop.events.clicks" in last
    assert "`stream-rec rights analyst`" in last


@pytest.mark.parametrize("program", ["recommender", "encoder"])
def test_a_program_without_rights_ends_with_status_1_and_is_not_started_again_for_ever(
    program: str, as_program: Callable
) -> None:
    settings = as_program("reader")
    done = subprocess.run(
        [*own_command(), program],
        env=environment(settings, "127.0.0.1:0") | {"PATH": "/usr/bin:/bin", "HOME": "/"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the brokers do not let User:reader ")
    assert f"`stream-rec rights {program}`" in last
    assert "Traceback" not in done.stderr
