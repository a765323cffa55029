"""A group of workers around the real `step`, without a broker: random schedules, exact rules.

The broker is a value: a log of transactions that each hold everything, or are refused because a
partition has another owner or another position by now. A worker is a replica and a view of the
profiles; it dies with both. What `consumers/` does around the step is done here in a few lines, so
that hundreds of schedules run in seconds. `Shell` names ways to get it wrong, which must be seen.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from consumers.kafka_io.wire import (
    decode_marker,
    decode_profile,
    encode_marker,
    encode_profile,
    marker_key,
)
from stream_rec.erasure import Marker
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.publish import Due, Published, publish
from stream_rec.replica import Replica
from stream_rec.statistics.facts import Facts
from stream_rec.step import Arrival, Context, DeadLetter, Step, step
from stream_rec.toplist import TopList
from tests.agreement import Gone
from tests.shop_log import TOPICS, partition_of, tiny_replica

Stepper = Callable[..., Step]


class Shell(enum.Enum):
    """The right way around a step, and the wrong ones."""

    SOUND = enum.auto()
    READS_OWN_FACTS_TWICE = enum.auto()
    STATE_WITHOUT_OFFSETS = enum.auto()
    OFFSETS_WITHOUT_STATE = enum.auto()
    KEEPS_STATE_AFTER_REFUSAL = enum.auto()
    ZOMBIE_COMMITS = enum.auto()
    LEAVES_NO_MARK = enum.auto()
    LEAVES_LISTS = enum.auto()
    LEAVES_PROFILES = enum.auto()
    REFINES_TOO_EARLY = enum.auto()


@dataclass(slots=True)
class Broker:
    """The committed log: changelog, ledgers, facts, lists and dead letters.

    `steps` holds the next offsets of each commit of a partition, in their order.
    """

    log: Sequence[Arrival]
    partitions: int
    profiles: dict[tuple[int, str], bytes] = field(default_factory=dict)
    ledgers: dict[int, Ledger] = field(default_factory=dict)
    facts: list[bytes] = field(default_factory=list)
    lists: list[TopList | Gone] = field(default_factory=list)
    marks: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    steps: dict[int, list[dict[str, int]]] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    owner: dict[int, str] = field(default_factory=dict)
    refused: int = 0

    def waiting(self, partition: int, topic: str) -> list[Arrival]:
        """Return the records of one input that the group has not committed."""
        ledger = self.ledgers.get(partition, Ledger())
        start = ledger.next_offsets.get(topic, 0)
        return [
            record
            for record in self.log
            if (record.partition, record.topic) == (partition, topic) and record.offset >= start
        ]

    @property
    def drained(self) -> bool:
        """Whether everything is committed."""
        topics = {record.topic for record in self.log}
        return not any(self.waiting(n, topic) for n in range(self.partitions) for topic in topics)


class Worker:
    """One incarnation: everything it knows comes from the broker and is lost with it."""

    def __init__(self, broker: Broker, name: str, rng: np.random.Generator, shell: Shell) -> None:
        self.broker, self.name, self.rng, self.shell = broker, name, rng, shell
        self.replica: Replica = tiny_replica()
        self.profiles: dict[tuple[int, str], Profile] = {}
        self.marks: dict[tuple[int, bytes], bytes] = {}
        self.ledgers: dict[int, Ledger] = {}
        self.facts_read = 0
        self.read_facts()

    def get(self, partition: int, user_id: str) -> Profile | None:
        """Return a profile of an owned partition."""
        return self.profiles.get((partition, user_id))

    def marker(self, partition: int, user_id: str) -> Marker | None:
        """Return the mark of a forgotten user of an owned partition."""
        value = self.marks.get((partition, marker_key(user_id)))
        return None if value is None else decode_marker(value)

    def take_over(self) -> None:
        """Restore the owned partitions from the committed state."""
        owned = {number for number, name in self.broker.owner.items() if name == self.name}
        self.ledgers = {number: self.broker.ledgers.get(number, Ledger()) for number in owned}
        self.profiles = {
            place: decode_profile(value)
            for place, value in self.broker.profiles.items()
            if place[0] in owned
        }
        self.marks = {place: mark for place, mark in self.broker.marks.items() if place[0] in owned}

    def read_facts(self) -> None:
        """Fold what the others committed; own records were folded when they were made."""
        for record in self.broker.facts[self.facts_read :]:
            facts = Facts.from_bytes(record)
            if facts.worker != self.name or self.shell is Shell.READS_OWN_FACTS_TWICE:
                self.replica.statistics.fold(facts)
        self.facts_read = len(self.broker.facts)

    def prepare(self, now_ms: int, stepper: Stepper, most: int = 8) -> Step | None:
        """Poll some records of the owned partitions, in any interleaving, and step over them."""
        batch: list[Arrival] = []
        for number, ledger in self.ledgers.items():
            passed = ledger.next_offsets.get(TOPICS["review"], 0)
            refinements: list[Arrival] = []
            for topic in self.rng.permutation(list(TOPICS.values())).tolist():
                start = ledger.next_offsets.get(topic, 0)
                records = [r for r in self.broker.waiting(number, topic) if r.offset >= start]
                # Erasures are few: all would be read before the events they are about.
                often = topic != TOPICS["erasure"] or self.rng.random() < 0.15
                taken = records[: int(self.rng.integers(most))] if often else []
                if topic == TOPICS["refinement"]:
                    refinements = taken
                    continue
                batch += taken
                if topic == TOPICS["review"] and taken:
                    passed = taken[-1].offset + 1
            batch += self._due(refinements, passed)
        if not batch:
            return None
        context = Context(
            worker=self.name,
            now_ms=now_ms,
            rng=self.rng,
            examples=2,
            partition_of=lambda user: partition_of(user, self.broker.partitions),
            erased=self.marker,
        )
        return stepper(self.replica, self, self.ledgers, batch, context)

    def _due(self, refinements: list[Arrival], passed: int) -> list[Arrival]:
        """Hand on refinements up to the first whose review has not been."""
        if self.shell is Shell.REFINES_TOO_EARLY:
            return refinements
        early = [
            place
            for place, record in enumerate(refinements)
            if record.refinement is not None and record.refinement.offset >= passed
        ]
        return refinements[: early[0]] if early else refinements

    def owed(self, now_ms: int) -> Step | None:
        """Make every list that is owed, as the idle loop does when its time has come."""
        due = [
            Due(partition=place[0], profile=profile, scenario=scenario)
            for place, profile in self.profiles.items()
            for scenario, listing in profile.lists.items()
            if listing.owed
        ]
        made: Published = publish(self.replica, due, self.ledgers, now_ms=now_ms, rng=self.rng)
        if not made.lists:
            return None
        return Step(profiles=made.profiles, ledgers=dict(self.ledgers), lists=made.lists)

    def commit(self, result: Step) -> bool:
        """Write everything of a step at once, unless the partitions have moved on; then merge."""
        broker = self.broker
        stale = any(
            broker.owner.get(number) != self.name
            or broker.ledgers.get(number, Ledger()) != self.ledgers.get(number)
            for number in result.ledgers
        )
        if stale and self.shell is not Shell.ZOMBIE_COMMITS:
            broker.refused += 1
            return False
        if self.shell is not Shell.OFFSETS_WITHOUT_STATE or self.rng.random() < 0.8:
            self._forget(result)
            values = {place: encode_profile(value) for place, value in result.profiles.items()}
            broker.profiles |= values
            broker.lists += [made for _, made in result.lists]
            broker.letters += result.dead_letters
            if result.facts is not None:
                broker.facts.append(result.facts.to_bytes())
        if self.shell is not Shell.STATE_WITHOUT_OFFSETS or self.rng.random() < 0.8:
            broker.ledgers |= result.ledgers
            for number, ledger in result.ledgers.items():
                broker.steps.setdefault(number, []).append(dict(ledger.next_offsets))
        for place in result.erased:
            self.profiles.pop(place, None)
        self.marks |= _marks(result)
        self.profiles |= result.profiles
        self.ledgers = dict(result.ledgers)
        return True

    def _forget(self, result: Step) -> None:
        """Write what a step says of forgotten users."""
        broker, shell = self.broker, self.shell
        if shell is not Shell.LEAVES_NO_MARK:
            broker.marks |= _marks(result)
        for (partition, user_id), erased in result.erased.items():
            if shell is not Shell.LEAVES_PROFILES:
                broker.profiles.pop((partition, user_id), None)
            if shell is not Shell.LEAVES_LISTS:
                broker.lists += [Gone(scenario, user_id) for scenario in erased.scenarios]


def _marks(result: Step) -> dict[tuple[int, bytes], bytes]:
    return {
        (partition, marker_key(user_id)): encode_marker(erased.marker)
        for (partition, user_id), erased in result.erased.items()
    }


@dataclass(slots=True)
class Group:
    """Workers and a schedule: what happens next is drawn."""

    broker: Broker
    rng: np.random.Generator
    slots: int = 3
    shell: Shell = Shell.SOUND
    stepper: Stepper = step
    now_ms: int = 1_800_000_000_000
    workers: list[Worker] = field(default_factory=list)
    born: int = 0
    happened: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workers = [self._new() for _ in range(self.slots)]
        self.rebalance()

    def run(self, turns: int) -> None:
        """Let random things happen for a while, then drain without disturbance."""
        for _ in range(turns):
            self.now_ms += int(self.rng.integers(1, 50))
            happening = str(self.rng.choice(HAPPENINGS, p=CHANCES))
            self.happened[happening] = self.happened.get(happening, 0) + 1
            self._turn(happening)
        for _ in range(MOST_DELIVERIES):
            if self.broker.drained:
                break
            for place in range(self.slots):
                self._deliver(place)
        else:
            message = "the log is never drained"
            raise AssertionError(message)
        self.now_ms += 10**9
        for worker in self.workers:
            result = worker.owed(self.now_ms)
            if result is not None:
                assert worker.commit(result)
            worker.read_facts()
        for worker in self.workers:
            worker.read_facts()

    def rebalance(self) -> None:
        """Give every partition a random owner; workers restore what they own now."""
        owners = self.rng.integers(self.slots, size=self.broker.partitions)
        self.broker.owner = {n: self.workers[int(at)].name for n, at in enumerate(owners)}
        for worker in self.workers:
            worker.take_over()

    def _turn(self, happening: str) -> None:
        place = int(self.rng.integers(self.slots))
        worker = self.workers[place]
        if happening == "deliver":
            self._deliver(place)
        elif happening == "crash before commit":
            worker.prepare(self.now_ms, self.stepper)
            self._crash(place)
        elif happening == "crash after commit":
            result = worker.prepare(self.now_ms, self.stepper)
            if result is not None:
                worker.commit(result)
            self._crash(place)
        elif happening == "rebalance":
            self.rebalance()
        else:  # a worker that was away while its partitions moved tries to commit
            result = worker.prepare(self.now_ms, self.stepper)
            self.rebalance_away(place)
            if result is not None and not worker.commit(result):
                self._refused(place)

    def rebalance_away(self, place: int) -> None:
        """Move everything of one worker to its neighbour without telling it."""
        here, there = self.workers[place].name, self.workers[(place + 1) % self.slots]
        self.broker.owner = {
            number: there.name if name == here else name
            for number, name in self.broker.owner.items()
        }
        there.take_over()

    def _deliver(self, place: int) -> None:
        worker = self.workers[place]
        worker.read_facts()
        result = worker.prepare(self.now_ms, self.stepper)
        if result is not None and not worker.commit(result):
            self._refused(place)

    def _refused(self, place: int) -> None:
        if self.shell is Shell.KEEPS_STATE_AFTER_REFUSAL:
            self.workers[place].take_over()  # but the replica has folded facts that nobody wrote
        else:
            self._crash(place)

    def _crash(self, place: int) -> None:
        old, new = self.workers[place], self._new()
        self.workers[place] = new
        self.broker.owner = {
            number: new.name if name == old.name else name
            for number, name in self.broker.owner.items()
        }
        new.take_over()

    def _new(self) -> Worker:
        self.born += 1
        return Worker(self.broker, f"worker-{self.born}", self.rng, self.shell)


# Far more than any log takes: an erasure is left for later at seven deliveries of eight.
MOST_DELIVERIES = 400
HAPPENINGS = ["deliver", "crash before commit", "crash after commit", "rebalance", "zombie"]
CHANCES = [0.6, 0.12, 0.1, 0.1, 0.08]
