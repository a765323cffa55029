"""The embedded broker: its jars are checked, it answers as itself, and keeps what it was given."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from consumers.processes import broker_jars, child_process
from consumers.processes.broker_jars import CHECKSUMS, fetch_broker, read_checksums
from consumers.processes.embedded_broker import EmbeddedBroker, new_cluster_id, server_properties
from stream_rec.errors import BrokerUnavailable
from tests.consumers.broker_topics import create_topic

# Starts a broker, tells its pid, and waits to be killed.
OWNER = """
import sys, time, pathlib
from consumers.processes.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker()
broker.start(pathlib.Path(sys.argv[1]))
print(broker.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    running = EmbeddedBroker()
    yield running
    running.stop()


def read_all(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    consumer.assign([TopicPartition(topic, 0)])
    found: list[bytes] = []
    until = time.monotonic() + 30
    while len(found) < count and time.monotonic() < until:
        found += [row.value for rows in consumer.poll(200).values() for row in rows]
    consumer.close()
    return found


def produce(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    for value in values:
        producer.send(topic, value, partition=0).get(timeout=30)
    producer.close()


@pytest.fixture
def fetched(tmp_path: Path) -> tuple[Path, Path]:
    """A cache with two jars in it, and the checksums that name them."""
    jars = tmp_path / f"kafka-{broker_jars.KAFKA_VERSION}"
    jars.mkdir()
    rows = []
    for name in ("first-1.jar", "second-1.jar"):
        (jars / name).write_bytes(name.encode())
        stem = name.partition("-")[0]
        rows.append(f"{hashlib.sha256(name.encode()).hexdigest()}  no/such/{stem}/1/{name}")
    checksums = tmp_path / "jars.sha256"
    checksums.write_text("\n".join(rows))
    return tmp_path, checksums


def test_jars_that_are_there_need_no_network(
    fetched: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, checksums = fetched
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert fetch_broker(cache, checksums=checksums) == cache / f"kafka-{broker_jars.KAFKA_VERSION}"


def test_a_changed_jar_is_not_used_and_the_message_names_it(
    fetched: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, checksums = fetched
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # so that it cannot be had again
    monkeypatch.setenv("NO_PROXY", "")
    (fetch_broker(cache, checksums=checksums) / "second-1.jar").write_bytes(b"tampered")
    with pytest.raises(BrokerUnavailable, match=r"second-1\.jar"):
        fetch_broker(cache, checksums=checksums)


def test_a_download_with_a_wrong_checksum_is_refused(
    fetched: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, checksums = fetched
    jars = fetch_broker(cache, checksums=checksums)
    (jars / "first-1.jar").unlink()
    served = cache / "served.jar"
    served.write_bytes(b"not what was promised")

    def answer(_context: object, path: str) -> Path:
        shutil.copy(served, cache / Path(path).name)
        return cache / Path(path).name

    monkeypatch.setattr(broker_jars, "_artifact_file", answer)
    with pytest.raises(BrokerUnavailable, match=r"first-1\.jar has sha256 .* is committed"):
        fetch_broker(cache, checksums=checksums)
    assert not (jars / "first-1.jar").exists()


def test_the_committed_checksums_name_the_broker_and_every_jar_once() -> None:
    wanted = read_checksums(CHECKSUMS)
    names = [Path(path).name for path in wanted]
    assert f"kafka_2.13-{broker_jars.KAFKA_VERSION}.jar" in names
    assert len(set(names)) == len(names) > 40
    assert all(len(sha256) == 64 for sha256 in wanted.values())


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_REC_CACHE_DIR", "/elsewhere")
    assert broker_jars.default_cache_dir() == Path("/elsewhere")
    monkeypatch.delenv("STREAM_REC_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert broker_jars.default_cache_dir() == Path("/cache/stream-rec")


def test_extra_properties_win_but_listeners_are_added() -> None:
    extra = {"num.io.threads": "1", "listeners": "SASL_PLAINTEXT://127.0.0.1:7"}
    found = server_properties(Path("log"), (5, 6), extra)
    assert found["num.io.threads"] == "1"
    assert found["listeners"].startswith("PLAINTEXT://127.0.0.1:5,")
    assert found["listeners"].endswith(",SASL_PLAINTEXT://127.0.0.1:7")


@pytest.mark.broker
def test_records_and_port_survive_a_stop_and_a_kill(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    own_broker.start(tmp_path / "kafka")
    own_broker.wait_ready(90)
    address = own_broker.bootstrap_servers
    create_topic(address, "kept")
    produce(address, "kept", [b"one", b"two"])
    own_broker.stop()

    own_broker.start(tmp_path / "kafka")
    own_broker.wait_ready(90)
    assert own_broker.bootstrap_servers == address
    produce(address, "kept", [b"three"])
    own_broker.kill()

    own_broker.start(tmp_path / "kafka")
    own_broker.wait_ready(90)
    assert read_all(own_broker.bootstrap_servers, "kept", 3) == [b"one", b"two", b"three"]


@pytest.mark.broker
def test_a_second_owner_of_the_same_folder_is_refused(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    own_broker.start(tmp_path / "kafka")
    with pytest.raises(BrokerUnavailable, match="another process"):
        EmbeddedBroker().start(tmp_path / "kafka")
    assert child_process.mark(own_broker.pid) is not None


@pytest.mark.broker
def test_a_wrong_property_is_named(own_broker: EmbeddedBroker, tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match=r"num\.io\.threads"):
        own_broker.start(tmp_path / "kafka", extra_properties={"num.io.threads": "many"})


@pytest.mark.broker
def test_a_port_that_is_taken_ends_the_wait_with_the_brokers_own_words(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        own_broker.start(tmp_path / "kafka", port=stranger.getsockname()[1])
        with pytest.raises(BrokerUnavailable, match=r"(?s)ended with status 1.*already in use"):
            own_broker.wait_ready(60)


@pytest.mark.broker
def test_the_broker_dies_with_an_owner_that_was_killed_and_its_folder_is_free_again(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "kafka")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    wait_until_gone(pid, 20)

    own_broker.start(tmp_path / "kafka")
    own_broker.wait_ready(90)
    assert own_broker.pid != pid


@pytest.mark.broker
def test_a_leftover_that_outlived_its_owner_is_ended_by_the_next_start(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    leftover = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (tmp_path / "kafka").mkdir()
    child_process.write_pid_file(tmp_path / "kafka" / "broker.pid", leftover.pid)
    own_broker.start(tmp_path / "kafka")
    assert leftover.wait(5) == -signal.SIGTERM


def test_a_broker_that_was_not_started_says_so() -> None:
    with pytest.raises(BrokerUnavailable, match="not started"):
        _ = EmbeddedBroker().pid


def wait_until_gone(pid: int, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while child_process.mark(pid) is not None:
        assert time.monotonic() < until, f"process {pid} of {os.getpid()} still runs"
        time.sleep(0.1)


def test_no_cluster_id_reads_as_an_option_of_the_tool_that_formats() -> None:
    ids = {new_cluster_id() for _ in range(2_000)}  # one in 64 would
    assert len(ids) == 2_000
    assert not any(found.startswith("-") for found in ids)
    assert {len(found) for found in ids} == {22}
