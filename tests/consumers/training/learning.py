"""A trainer and an encoder as real processes on a real broker, and a shop that has needs to learn.

The processes are the product's own command under the product's own supervisor, as `up` runs them.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
from kafka import TopicPartition

from consumers.kafka_io.clients import plain_consumer, plain_producer
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import AcceptedPolicy, encode_accepted_policy
from consumers.processes import child_process
from consumers.processes.installation import environment, make_topics, own_command, says_ready
from consumers.processes.restart_policy import RestartRules
from consumers.processes.supervisor import Child, Supervisor
from consumers.settings import Settings
from stream_rec.adapters.life import AdapterVersion, LivePointer, decode_adapter

RULES = RestartRules(tries=10_000, first_delay_s=0.05, longest_delay_s=0.1)
NOUNS = {"fan": 0, "guitar": 0, "monitor": 1, "cable": 1, "game": 2, "case": 2}
TEXTS = [f"{word} {noun}" for word in ("quiet", "loud", "a", "the", "of", "for") for noun in NOUNS]
NEEDS = np.array([NOUNS[text.split()[1]] for text in TEXTS])
ADAPTER = {
    "method": "fine_tune",
    "every_events": 1000,
    "on_drift": False,
    "max_s": 30,
    "rank": 4,
    "learning_rate": 0.02,
    # The shop is too small to prove anything; what is proven is known to the tests of the gate.
    "gate": {"min_gain": -1.0, "confidence": 0.999},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the `adapters` topic holds, newest of each key, and every record in order."""

    versions: dict[int, AdapterVersion]
    pointers: dict[str, LivePointer]
    log: list[AdapterVersion | LivePointer]


class Learning:
    """The programs of one prefix; use it as a context."""

    def __init__(self, settings: Settings, *, trainers: int = 1) -> None:
        self.settings = settings
        self._trainers = trainers
        self.topics = Topics(settings.prefix)
        self.lines: list[str] = []
        self._addresses = {
            name: f"127.0.0.1:{child_process.free_port()}" for name in ("encoder", "trainer")
        }
        self._supervisor = Supervisor(
            [self._child(name, address) for name, address in self._addresses.items()],
            run_dir=settings.data_dir / "run",
            rules=RULES,
            echo=self.lines.append,
        )
        self._thread = threading.Thread(target=self._supervisor.run, name="learning", daemon=True)

    def __enter__(self) -> "Learning":
        make_topics(self.settings)
        self._producer = plain_producer(self.settings)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._supervisor.request_stop()
        self._thread.join(30)
        self._producer.close(timeout=5)
        assert not self._thread.is_alive(), "the supervisor does not end"

    @property
    def restarts(self) -> int:
        """How often the trainer was started again."""
        return self._supervisor.restarts().get("trainer-0", 0)

    def kill(self, name: str = "trainer") -> None:
        """Kill the trainer, or the encoder, as a power cut would."""
        if (pid := self._supervisor.pids().get(f"{name}-0")) is not None:
            os.kill(pid, signal.SIGKILL)

    def crash_next_at(self, point: str) -> None:
        """Let the trainer's next incarnation, and only that one, kill itself at a named point."""
        (self.settings.data_dir / "crash-at-trainer").write_text(point)

    def crash_is_taken(self) -> bool:
        """Whether an incarnation has been told of the crash asked for last."""
        return not (self.settings.data_dir / "crash-at-trainer").exists()

    def wait_stopped(self, within_s: float) -> None:
        """Wait until the supervisor has given up and stopped everything."""
        self._thread.join(within_s)
        assert not self._thread.is_alive(), self.last_lines()

    def wait(self, condition: Callable[[], Any], within_s: float, what: str) -> Any:
        """Wait for something to be true and return it."""
        until = time.monotonic() + within_s
        while not (found := condition()):
            assert time.monotonic() < until, f"{what}\n" + self.last_lines()
            assert self._thread.is_alive(), f"all stopped: {self._supervisor.reason()}\n" + (
                self.last_lines()
            )
            time.sleep(0.1)
        return found

    def wait_ready(self, within_s: float = 120.0) -> None:
        """Wait until both programs are ready."""
        self.wait(lambda: all(map(says_ready, self._addresses.values())), within_s, "not ready")

    def last_lines(self) -> str:
        """Return what the programs said last."""
        return "\n".join(self.lines[-60:])

    def metrics(self) -> str:
        """Return what the trainer tells Prometheus."""
        host, _, port = self._addresses["trainer"].rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return ""
        finally:
            connection.close()

    def set_policy(self, scenario: str, **adapter: object) -> None:
        """Accept a policy as the owner of policies would."""
        accepted = AcceptedPolicy(offset=1, patch={"adapter": ADAPTER | adapter}, accepted_at=0)
        self._producer.send(
            self.topics.accepted_policies,
            key=scenario.encode(),
            value=encode_accepted_policy(accepted),
            partition=0,
        )
        self._producer.flush(timeout=20)

    def send_items(self) -> None:
        """Fill the catalogue."""
        for number, text in enumerate(TEXTS):
            self.send_item(f"i{number}", text)
        self._producer.flush(timeout=20)

    def send_item(self, item_id: str, title: str) -> None:
        """Put one item into the catalogue."""
        body = json.dumps({"item_id": item_id, "title": title}).encode()
        self._producer.send(self.topics.items, key=item_id.encode(), value=body)

    def send_events(self, users: range, *, scenario: str = "default") -> int:
        """Let users take what they need; return how many events that was."""
        sent = 0
        for event in behaviour(users, scenario=scenario):
            self._producer.send(
                self.topics.clicks, key=event["user_id"].encode(), value=json.dumps(event).encode()
            )
            sent += 1
        self._producer.flush(timeout=20)
        return sent

    def erase(self, user_id: str) -> None:
        """Ask that a user be forgotten."""
        body = json.dumps({"user_id": user_id, "timestamp": START_MS + 10**9}).encode()
        self._producer.send(self.topics.erasures, key=user_id.encode(), value=body)
        self._producer.flush(timeout=20)

    def told(self) -> Told:
        """Read the `adapters` topic."""
        versions: dict[int, AdapterVersion] = {}
        pointers: dict[str, LivePointer] = {}
        log = []
        for record in read_all(self.settings, self.topics.adapters):
            if record.value is None:
                continue
            found = decode_adapter(record.key, record.value)
            log.append(found)
            if isinstance(found, LivePointer):
                pointers[found.scenario] = found
            else:
                versions[found.version] = found
        return Told(versions=versions, pointers=pointers, log=log)

    def version(self, **wanted: object) -> AdapterVersion | None:
        """Return the newest announced version whose fields are as wanted."""
        found = [
            record
            for record in self.told().versions.values()
            if all(getattr(record, name) == value for name, value in wanted.items())
        ]
        return max(found, key=lambda record: record.version, default=None)

    def adapter_after(self, version: int) -> AdapterVersion | None:
        """Return the first adapter that was announced after a version."""
        found = [
            record
            for record in self.told().versions.values()
            if record.kind == "adapter" and record.version > version
        ]
        return min(found, key=lambda record: record.version, default=None)

    def write(self, record: AdapterVersion, **changes: object) -> None:
        """Write a record as the recommender that owns adapters would."""
        changed = msgspec.structs.replace(record, **changes)
        key = f"{record.scenario}/{record.version}".encode()
        self._producer.send(
            self.topics.adapters, key=key, value=msgspec.json.encode(changed), partition=0
        )
        self._producer.flush(timeout=20)

    def promote(self, record: AdapterVersion) -> None:
        """Let a version serve, as the recommender that owns adapters would."""
        self.write(record, state="promoted")
        pointer = LivePointer(
            scenario=record.scenario,
            version=record.version,
            previous=record.champion,
            changed_at=record.changed_at,
            reason="by the test",
        )
        self._producer.send(
            self.topics.adapters,
            key=f"{record.scenario}/live".encode(),
            value=msgspec.json.encode(pointer),
            partition=0,
        )
        self._producer.flush(timeout=20)

    def vectors(self) -> list[tuple[bytes, bool]]:
        """Return every record of the vectors, in order: its key and whether it is a vector."""
        records = read_all(self.settings, self.topics.vectors)
        return [(record.key, record.value is not None) for record in records]

    def _child(self, name: str, address: str) -> Child:
        folder = self.settings.data_dir
        folder.mkdir(parents=True, exist_ok=True)
        command = own_command()
        if name == "trainer" and self._trainers > 1:
            together = ("--standalone", f"--nproc-per-node={self._trainers}")
            entry = ("-m", "torch.distributed.run", *together, "-m", "consumers.cli")
            command = (sys.executable, *entry)
        return Child(
            name=f"{name}-0",
            argv=("sh", "-c", ONCE, str(folder / f"crash-at-{name}"), *command, name),
            env=environment(replace(self.settings, slot=0), address),
        )


def behaviour(users: range, *, scenario: str = "default") -> Iterator[dict[str, Any]]:
    """Yield events, user by user: six items each, of the need that is theirs."""
    for user in users:
        rng = np.random.default_rng(user)
        mine = np.flatnonzero(user % 3 == NEEDS)
        for at, item in enumerate(rng.choice(mine, 6, replace=False)):
            yield {
                "event_id": f"e{user}-{at}",
                "user_id": f"u{user}",
                "item_id": f"i{item}",
                "timestamp": START_MS + user * 1000 + at,
                "scenario": scenario,
            }


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Return every committed record of a topic of one partition."""
    consumer = plain_consumer(settings)
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek(place, consumer.beginning_offsets([place])[place])
    end = consumer.end_offsets([place])[place]
    records = []
    while consumer.position(place) < end:
        for polled in consumer.poll(200).values():
            records += polled
    consumer.close(autocommit=False)
    return records


def bundles(settings: Settings) -> list[Path]:
    """Return every folder under the checkpoints, whole or not."""
    return sorted(Path(settings.checkpoint_root).glob("[!.]*/*"))


START_MS = 1_763_000_000_000
# The program, told what the file at $0 asks for; it is used up by it.
ONCE = """
STREAM_REC_CRASH_AT=$(cat "$0" 2>/dev/null)
rm -f "$0"
export STREAM_REC_CRASH_AT
exec "$@"
"""
