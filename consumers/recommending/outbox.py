"""What one transaction writes: collected from a step, from lists made in spare time, from verdicts.

Each partition that is touched gets its profiles, then its standing (ledger and judged offsets), in
that order, so the last changelog record of a transaction tells how far it went. Knows no clients.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from kafka import TopicPartition

from consumers.kafka_io.dead_letters import DeadLetter, dead_letter_record
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.transaction import Outgoing
from consumers.kafka_io.wire import LEDGER_KEY, Standing, encode_profile, encode_standing
from consumers.recommending.erasures import erasing_records
from consumers.recommending.key_notes import new_note
from consumers.recommending.profile_store import KEYS_KEY, ProfileStore, StoredProfile
from stream_rec import step
from stream_rec.erasure import Erased
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.publish import Published
from stream_rec.statistics.facts import Facts
from stream_rec.toplist import TopList, encode


@dataclass(slots=True, kw_only=True)
class Outbox:
    """The effects of one round of the loop, before their transaction."""

    ledgers: Mapping[int, Ledger]
    profiles: dict[tuple[int, str], Profile] = field(default_factory=dict)
    erased: dict[tuple[int, str], Erased] = field(default_factory=dict)
    lists: list[tuple[int, TopList]] = field(default_factory=list)
    facts: Facts | None = None
    letters: list[DeadLetter] = field(default_factory=list)
    records: list[Outgoing] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    notes: dict[int, bytes] = field(default_factory=dict)

    def add_step(self, result: step.Step, partitions: Iterable[int]) -> None:
        """Take what a batch came to; `partitions` are those its records came from."""
        self.ledgers = result.ledgers
        self.profiles |= result.profiles
        self.erased |= result.erased
        self.lists += result.lists
        self.facts = result.facts
        self.letters += [_letter(letter) for letter in result.dead_letters]
        self.touched |= set(partitions)

    def add_lists(self, made: Published) -> None:
        """Take lists made without an event."""
        self.profiles |= made.profiles
        self.lists += made.lists
        self.touched |= {partition for partition, _ in made.lists}

    def add_verdicts(self, letters: list[DeadLetter], records: list[Outgoing]) -> None:
        """Take what the owner of partition 0 decided."""
        self.letters += letters
        self.records += records
        self.touched.add(0)

    def add_moved(
        self, profiles: Mapping[tuple[int, str], Profile], notes: Mapping[int, bytes]
    ) -> None:
        """Take profiles that are to be stored under a newer key, and notes of what is done."""
        self.profiles |= {p: profile for p, profile in profiles.items() if p not in self.profiles}
        self.notes |= notes
        self.touched |= {partition for partition, _ in profiles} | set(notes)

    def add_touches(self, records: list[Outgoing]) -> None:
        """Take records whose partitions are to be written to, changelog included."""
        self.records += records
        self.touched |= {record.partition for record in records}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.touched


@dataclass(slots=True, kw_only=True)
class Sealed:
    """An outbox as records, and what the store takes once they are committed."""

    records: list[Outgoing]
    offsets: dict[TopicPartition, int]
    stored: dict[int, list[StoredProfile]]
    standings: dict[int, bytes]
    erased: dict[tuple[int, str], Erased]
    notes: dict[int, bytes]


def seal(
    outbox: Outbox,
    topics: Topics,
    judged: Mapping[str, int],
    *,
    limits: Mapping[str, int],
    store: ProfileStore,
) -> Sealed:
    """Encode an outbox; `limits` are the largest dead letters by source topic, in bytes.

    The store knows under which names users stand in the changelog.
    """
    records = [
        record
        for place, erased in outbox.erased.items()
        for record in erasing_records(topics, place, erased, store)
    ]
    records += [
        Outgoing(
            topic=topics.recommendations, partition=partition, key=made.key, value=encode(made)
        )
        for partition, made in outbox.lists
    ]
    stored: dict[int, list[StoredProfile]] = {number: [] for number in sorted(outbox.touched)}
    records += _profiles(outbox, topics, store, stored)
    notes = {n: note for n in stored if stored[n] and (note := new_note(store, n)) is not None}
    notes |= {n: note for n, note in outbox.notes.items() if not stored[n]}
    records += [_changed(topics, number, KEYS_KEY, note) for number, note in notes.items()]
    standings, offsets = {}, {}
    for number in stored:
        ledger = outbox.ledgers[number]
        standing = Standing(ledger=ledger, judged=dict(judged) if number == 0 else {})
        standings[number] = encode_standing(standing)
        records.append(_changed(topics, number, LEDGER_KEY, standings[number]))
        for topic, offset in ledger.next_offsets.items():
            offsets[TopicPartition(topic, number)] = offset
    if outbox.facts is not None:
        records += [
            Outgoing(topic=topics.statistics, partition=0, key=None, value=value)
            for value in outbox.facts.parts(MOST_FACTS_BYTES)
        ]
    records += [dead_letter_record(x, limit=limits[x.topic]) for x in outbox.letters]
    records += outbox.records
    return Sealed(
        records=records,
        offsets=offsets,
        stored=stored,
        standings=standings,
        erased=outbox.erased,
        notes=notes,
    )


def _profiles(
    outbox: Outbox, topics: Topics, store: ProfileStore, stored: dict[int, list[StoredProfile]]
) -> list[Outgoing]:
    """Encode the profiles, into `stored` too; one found under an older name leaves it."""
    records, moved = [], set()
    for (partition, user_id), profile in outbox.profiles.items():
        value = encode_profile(profile, store.names)
        stored[partition].append(StoredProfile(profile=profile, value=value))
        old, name = store.name(partition, user_id).encode(), store.names.of(user_id).encode()
        if old != name:
            records.append(_changed(topics, partition, old, None))
            moved.add(partition)
        records.append(_changed(topics, partition, name, value))
    if moved:  # the broker is to clean their old names as it does those of the forgotten
        now_ms = time.time_ns() // 1_000_000
        ledgers = {n: msgspec.structs.replace(outbox.ledgers[n], erased_at=now_ms) for n in moved}
        outbox.ledgers = {**outbox.ledgers, **ledgers}
    return records


def _changed(topics: Topics, partition: int, key: bytes, value: bytes | None) -> Outgoing:
    return Outgoing(topic=topics.profiles, partition=partition, key=key, value=value)


def merge(
    sealed: Sealed, store: ProfileStore, topics: Topics, written: Mapping[tuple[str, int], int]
) -> None:
    """Give the store what is committed; `written` are the last offsets by topic and partition."""
    for number, profiles in sealed.stored.items():
        position = written[topics.profiles, number] + 1
        store.apply(
            number,
            profiles,
            position=position,
            ledger=sealed.standings[number],
            erased={user: gone.marker for (n, user), gone in sealed.erased.items() if n == number},
            note=sealed.notes.get(number),
        )


def _letter(letter: step.DeadLetter) -> DeadLetter:
    arrival, error = letter.arrival, letter.error
    return DeadLetter(
        topic=arrival.topic,
        partition=arrival.partition,
        offset=arrival.offset,
        key=arrival.key,
        value=arrival.value,
        headers=arrival.headers,
        stage=error.stage,
        error=type(error).__name__,
        reason=error.reason,
    )


# Brokers take a record of one megabyte unless told otherwise; late events of long names fill more.
MOST_FACTS_BYTES = 524_288
