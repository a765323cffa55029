"""Records of adapters as a worker reads them, and a worker's adapters without a broker."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.transaction import Outgoing
from consumers.recommending.adapter_verdicts import AdapterVerdicts
from consumers.recommending.adapters import Adapters
from consumers.recommending.shadowing import Shadowing
from consumers.recommending.verdicts import Verdicts
from stream_rec.adapters.checkpoint import Checkpoint, write_checkpoint
from stream_rec.adapters.comparison import Taken
from stream_rec.adapters.life import (
    AdapterVersion,
    LivePointer,
    State,
    encode_adapter,
    live_key,
    version_key,
)
from stream_rec.events import Event
from stream_rec.policy import policy_of
from stream_rec.profiles.profile import Profile, Reading, fold
from stream_rec.replica import Replica
from tests.adapters.bundles import BASE, KINDS, shop

GATE = {"adapter": {"gate": {"shadow_events": 60}}}


class Written:
    """Stands for a producer: keeps what was sent, newest by key."""

    def __init__(self) -> None:
        self.newest: dict[bytes, bytes | None] = {}

    def send(self, topic: str, *, key: bytes, value: bytes | None, partition: int) -> None:
        """Keep a record."""
        assert (topic, partition) == (Topics("t").rerankers, 0)
        self.newest[key] = value


@dataclass(slots=True)
class Worker:
    """One worker's adapters over a shop of 256 items, with a folder of bundles."""

    root: Path
    slot: int = 0
    replica: Replica = field(default_factory=lambda: shop(256))
    written: Written = field(default_factory=Written)
    adapters: Adapters = field(init=False)
    shadowing: Shadowing = field(init=False)
    verdicts: Verdicts = field(init=False)
    deciding: AdapterVerdicts = field(init=False)

    def __post_init__(self) -> None:
        topics = Topics("t")
        self.replica.put_policy("*", 1, GATE)
        self.adapters = Adapters(self.replica, str(self.root))
        self.shadowing = Shadowing(
            self.replica,
            self.adapters,
            self.written,  # type: ignore[arg-type]
            topics.rerankers,
            self.slot,
        )
        self.verdicts = Verdicts(topics)
        self.deciding = AdapterVerdicts(self.replica, topics, self.verdicts, self.adapters)

    def announce(self, made: Checkpoint, state: State = "shadow", **more: Any) -> None:
        """Write a bundle and tell the worker of it."""
        write_checkpoint(str(self.root), made)
        self.take(version_record(made, state, **more))

    def take(self, record: Outgoing) -> None:
        """Let the worker read a record of the `adapters` topic."""
        self.adapters.take(SimpleNamespace(key=record.key, value=record.value, offset=0))

    def settle(self) -> None:
        """Let the worker load what it wants."""
        while True:
            self.adapters.between_batches()
            if self.adapters._busy is None:
                self.adapters._look_again = 0.0
                self.adapters.between_batches()
                if self.adapters._busy is None:
                    break
        self.shadowing.look()

    def compare(self, events: int, *, seed: int = 0) -> None:
        """Let users take an item of the kind that they have taken twice before."""
        rng = np.random.default_rng(seed)
        for _ in range(events):
            kind = int(rng.integers(KINDS))
            *past, then = (KINDS * rng.choice(256 // KINDS, 3, replace=False) + kind).tolist()
            self.shadowing.note([taken(past, then)])
            self.shadowing._rested_until = 0.0
            self.shadowing.work()

    def decide(self) -> list[str]:
        """Let the worker decide, as the owner of partition 0."""
        self.verdicts.owned = True
        return list(self.deciding.look(self.shadowing))

    def decided_within(self, rounds: int, *, events: int) -> list[str]:
        """Compare round by round, and return what is decided first."""
        for seed in range(rounds):
            self.compare(events, seed=seed)
            if decided := self.decide():
                return decided
        return []

    def read_back(self) -> None:
        """Commit what was decided, and read it back."""
        records, topic = list(self.verdicts.records), Topics("t").adapters
        self.verdicts.settled()
        for record in records:
            if record.topic == topic:
                self.take(record)
        self.settle()


def version_record(made: Checkpoint, state: State = "shadow", **more: Any) -> Outgoing:
    """Return the record that announces a bundle."""
    manifest = made.manifest
    record = AdapterVersion(
        scenario=manifest.scenario,
        version=manifest.version,
        text_version=manifest.text_version,
        state=state,
        base_model_hash=BASE,
        method="proximal",
        created_at=1,
        changed_at=1,
        **more,
    )
    key = version_key(record.scenario, record.version)
    return Outgoing(topic="", partition=0, key=key, value=encode_adapter(record))


def pointer(
    version: int, previous: int = 0, scenario: str = "default", changed_at: int = 2
) -> Outgoing:
    """Return the record that lets a version serve a scenario."""
    record = LivePointer(
        scenario=scenario,
        version=version,
        previous=previous,
        changed_at=changed_at,
        reason="by hand",
    )
    return Outgoing(topic="", partition=0, key=live_key(scenario), value=encode_adapter(record))


def read(writer: Worker, reader: Worker) -> None:
    """Let one worker read what another one wrote of its evidence."""
    for key, value in writer.written.newest.items():
        assert reader.shadowing.take(SimpleNamespace(key=key, value=value))


def taken(past: list[int], then: int) -> Taken:
    """Return what a user took after other items."""
    profile = Profile("u")
    for place, number in enumerate(past):
        event = Event(
            event_id=f"e{place}",
            event_type="click",
            user_id="u",
            timestamp=1_800_000_000_000 + place,
            item_id=f"i{number}",
        )
        profile = fold(profile, event, topic=0, offset=place, reading=Reading()).profile
    return Taken(profile=profile, scenario="default", policy=policy_of(), item_id=f"i{then}")
