"""Keep this worker's replica equal to the replicated topics, read whole and without a group.

    items, internal.policies, internal.vectors     the newest record of each key
    internal.statistics                            every record but this worker's own, which were
                                                   folded when they were made
    internal.rerankers                             what the other workers learned, and their
                                                   evidence on adapters
    adapters                                       the life of each version, and which one is live

Records that cannot be used are kept for `verdicts.py` when this worker owns the verdict, and are
otherwise only skipped. Knows no user, and writes no topic.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from consumers.kafka_io.policy_history import is_history
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import decode_accepted_policy, decode_vector, split_vector_key
from consumers.recommending.adapter_rounds import AdapterRounds
from consumers.recommending.learners import Learners
from consumers.recommending.snapshots import Snapshot, read_snapshot, write_snapshot
from consumers.recommending.verdicts import Verdicts
from stream_rec.errors import InvalidRecord, StateRejected
from stream_rec.experts.views import TEXT
from stream_rec.formats import stop_if_newer
from stream_rec.items import parse_item
from stream_rec.replica import Replica
from stream_rec.statistics.facts import Facts
from stream_rec.statistics.statistics import Statistics


@dataclass(slots=True, kw_only=True)
class Own:
    """This worker's records on `internal.statistics`: written up to, and read back up to."""

    worker: str
    written: int = -1
    read: int = -1


@dataclass(slots=True, kw_only=True)
class Changes:
    """What one poll changed; the default lists follow from it."""

    records: int = 0
    by_topic: dict[str, int] = field(default_factory=dict)
    withdrawn: bool = False


class Control:
    """The reader of the replicated topics; used by the loop's thread alone."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        topics: Topics,
        replica: Replica,
        verdicts: Verdicts,
        *,
        own: Own,
        learners: Learners,
        adapters: AdapterRounds,
    ) -> None:
        self.own = own
        self._learners, self._adapters = learners, adapters
        self._consumer = consumer
        self._topics = topics
        self._replica = replica
        self._verdicts = verdicts
        self.wrong_since_ms = 0  # when a policy was accepted, or an item withdrawn, last
        self.named_ms = 0  # when an item was named or changed, last
        self._writing: threading.Thread | None = None
        self._text_model: str | None = None
        self._judged_places: set[TopicPartition] = set()
        self._ends: dict[TopicPartition, int] = {}
        self._takers: Mapping[str, Callable[[Any], None]] = {
            topics.items: self._take_item,
            topics.policies: verdicts.take_policy,
            topics.accepted_policies: self._take_policy,
            topics.vectors: self._take_vector,
            topics.statistics: self._take_facts,
            topics.rerankers: self._take_learned,
            topics.adapters: adapters.take,
        }

    def start(self, snapshot: Path, statistics_id: str) -> None:
        """Assign every replicated partition; statistics go on from the snapshot if it is sound."""
        places = []
        for topic in self._takers:
            partitions = self._consumer.partitions_for_topic(topic) or {0}
            places += [TopicPartition(topic, number) for number in sorted(partitions)]
        self._judged_places = {
            place for place in places if place.topic in {self._topics.items, self._topics.policies}
        }
        self._consumer.assign(places)
        begin = self._consumer.beginning_offsets(places)
        self._ends = self._consumer.end_offsets(places)
        for place in places:
            self._consumer.seek(place, begin[place])
        log = TopicPartition(self._topics.statistics, 0)
        bounds = range(begin[log], self._ends[log] + 1)
        if (offset := self._restored(snapshot, statistics_id, bounds)) is not None:
            self._consumer.seek(log, offset)
        self._consumer.pause(TopicPartition(self._topics.policies, 0))
        self._ends.pop(TopicPartition(self._topics.policies, 0))

    @property
    def caught_up(self) -> bool:
        """Whether everything that stood in the topics at the start has been read."""
        behind = {
            place: end for place, end in self._ends.items() if self._consumer.position(place) < end
        }
        self._ends = behind
        return not behind

    def poll(self, *, timeout_ms: int = 0, most: int = 200) -> Changes:
        """Apply up to `most` records."""
        changes = Changes()
        for place, records in self._consumer.poll(timeout_ms, max_records=most).items():
            take = self._takers[place.topic]
            for record in records:
                take(record)
            changes.records += len(records)
            if place.topic == self._topics.items:
                changes.withdrawn |= any(record.value is None for record in records)
            changes.by_topic[place.topic] = changes.by_topic.get(place.topic, 0) + len(records)
        if self._verdicts.owned:
            self._verdicts.looked_at(
                {place: self._consumer.position(place) for place in self._judged_places}
            )
        return changes

    def own_verdicts(self, judged: Mapping[str, int]) -> None:
        """Give verdicts from here on: read again whatever the last owner had not judged."""
        begin = self._consumer.beginning_offsets(list(self._judged_places))
        self._verdicts.own(judged)
        for place in self._judged_places:
            next_offset = max(begin[place], judged.get(f"{place.topic}-{place.partition}", 0))
            if place.topic == self._topics.policies:
                self._consumer.seek(place, next_offset)
                self._consumer.resume(place)
            elif next_offset < self._consumer.position(place):
                self._consumer.seek(place, next_offset)

    def disown_verdicts(self) -> None:
        """Give no verdicts from here on."""
        self._verdicts.disown()
        self._consumer.pause(TopicPartition(self._topics.policies, 0))

    def snapshot(self, path: Path, statistics_id: str) -> bool:
        """Write a snapshot if every own record has been read back; say whether it was.

        Until then the statistics hold facts that stand beyond the position. The file is written by
        a thread of its own: its flush must not hold a list up.
        """
        if self.own.read < self.own.written or (self._writing and self._writing.is_alive()):
            return False
        taken = Snapshot(
            topic_id=statistics_id,
            offset=self._consumer.position(TopicPartition(self._topics.statistics, 0)),
            statistics=self._replica.statistics.to_bytes(),
        )
        self._writing = threading.Thread(target=write_snapshot, args=(path, taken), daemon=True)
        self._writing.start()
        return True

    def close(self) -> None:
        """Wait for a snapshot being written, and let go of the broker."""
        if self._writing is not None:
            self._writing.join()
        self._consumer.close(autocommit=False)

    def _restored(self, path: Path, statistics_id: str, bounds: range) -> int | None:
        try:
            snapshot = read_snapshot(path, statistics_id)
            if snapshot is None or snapshot.offset not in bounds:
                return None
            statistics = Statistics.from_bytes(snapshot.statistics, self._replica.items)
        except StateRejected as error:
            LOG.warning("%s; reading the statistics from their log", error)
            return None
        self._replica.statistics = statistics
        return snapshot.offset

    def _take_item(self, record: Any) -> None:
        try:
            if record.value is None:
                if record.key is not None:
                    self._replica.withdraw_item(record.key.decode("utf-8", "replace"))
                    self.wrong_since_ms = max(self.wrong_since_ms, record.timestamp)
                return
            item = parse_item(record.value, key=record.key)
            self._replica.put_item(item)
            self.named_ms = max(self.named_ms, record.timestamp)
            if not item.available:
                self.wrong_since_ms = max(self.wrong_since_ms, record.timestamp)
        except (InvalidRecord, StateRejected) as error:
            self._verdicts.refuse(record, error)

    def _take_policy(self, record: Any) -> None:
        try:
            if record.value is not None and not is_history(record.key):
                accepted = decode_accepted_policy(record.value)
                self.wrong_since_ms = max(self.wrong_since_ms, accepted.accepted_at)
                self._replica.put_policy(record.key.decode(), accepted.offset, accepted.patch)
        except (InvalidRecord, StateRejected) as error:
            LOG.error("accepted policy at offset %d is skipped: %s", record.offset, error)

    def _take_vector(self, record: Any) -> None:
        try:
            version, item_id = split_vector_key(record.key or b"")
            if record.value is None:  # its item was withdrawn, which the items topic says too
                self._replica.spaces.drop_text(version, item_id)
                return
            stored = decode_vector(record.value)
            if version == 0 and stored.model != self._text_model:
                if self._text_model is not None:
                    LOG.warning("text vectors of another model: the old ones are dropped")
                self._replica.vectors.pop(TEXT, None)
                self._text_model = stored.model
                self._adapters.texts_are_of(stored.model)
            self._replica.put_text_vector(item_id, stored.text_hash, stored.values, version)
        except StateRejected as error:
            LOG.error("vector at offset %d is skipped: %s", record.offset, error)

    def _take_learned(self, record: Any) -> None:
        if not self._adapters.take_evidence(record):
            self._learners.take(record)

    def _take_facts(self, record: Any) -> None:
        try:
            facts = Facts.from_bytes(record.value)
        except StateRejected as error:  # torn: every worker skips it alike
            stop_if_newer("facts", record.value)
            LOG.error("facts at offset %d are skipped: %s", record.offset, error)
            return
        if facts.worker == self.own.worker:
            self.own.read = record.offset
        else:
            self._replica.statistics.fold(facts)


LOG = logging.getLogger(__name__)
