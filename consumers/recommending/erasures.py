"""What an erasure writes, and how its traces leave the log and the disk within a stated time.

    log     the records of a forgotten user are superseded by tombstones. Kafka compacts no active
            segment and rolls none that nobody writes to, so while an erasure is young its partition
            gets a small record now and then, in the changelog and among the lists
    disk    RocksDB keeps deleted values until a compaction: one is run in a thread, `every_s` after
            the first erasure at the latest; files of partitions that left go after an hour

Knows neither what a user is remembered by nor who asks: that is `stream_rec/erasure.py`.
"""

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from consumers.kafka_io.topics import REFINED_WITHIN_MS, Topics
from consumers.kafka_io.transaction import Outgoing
from consumers.kafka_io.wire import encode_marker, marker_key
from consumers.recommending.profile_store import ProfileStore
from stream_rec.erasure import Erased
from stream_rec.ledger import Ledger
from stream_rec.record_fields import whole_number


def erasing_records(
    topics: Topics, place: tuple[int, str], erased: Erased, store: ProfileStore
) -> list[Outgoing]:
    """Return the tombstones of a user's profile and lists, and the mark that stays.

    They come before whatever else a transaction writes: a user who has come back in the same batch
    has a new profile and new lists behind them.
    """
    partition, user_id = place
    key = store.name(partition, user_id).encode()
    lists = [f"{scenario}/{user_id}".encode() for scenario in erased.scenarios]
    gone = [(topics.recommendations, key) for key in lists] + [(topics.profiles, key)]
    records = [
        Outgoing(topic=topic, partition=partition, key=key, value=None) for topic, key in gone
    ]
    mark = encode_marker(erased.marker)
    key = marker_key(store.names.of(user_id))
    return [
        *records,
        Outgoing(topic=topics.profiles, partition=partition, key=key, value=mark),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningTimes:
    """How soon the broker cleans the product's own topics, in milliseconds, by their settings.

    `roll_ms` closes an active segment, `lag_ms` after that it is compacted at the latest, and
    tombstones stay `tombstones_ms` longer; the longest of the topics concerned. `kept_ms` is how
    long refinements stay, and `trusted_ms` how long a store may have missed the changelog and still
    meet every tombstone in it.
    """

    roll_ms: int
    lag_ms: int
    tombstones_ms: int
    trusted_ms: int
    kept_ms: int = 0

    @property
    def values_ms(self) -> int:
        """How long after an erasure the log may hold what the user was remembered by."""
        return max(self._compacted_ms, self.kept_ms)

    @property
    def keys_ms(self) -> int:
        """How long after an erasure the log may hold the user's id, in the keys of tombstones."""
        return max(2 * self._compacted_ms + self.tombstones_ms, self.kept_ms)

    @property
    def touch_ms(self) -> int:
        """How often a partition with a young erasure is written to."""
        return min(max(min(self.roll_ms, self.lag_ms) // 2, 500), MOST_TOUCH_MS)

    @property
    def _compacted_ms(self) -> int:
        return self.roll_ms + self.lag_ms + self.touch_ms + CLEANER_MS

    @property
    def bounded(self) -> bool:
        """Whether there is a deadline at all: by default a broker has none."""
        return max(self.lag_ms, self.roll_ms, self.kept_ms) < UNBOUNDED_MS


def cleaning_times(client: KafkaAdminClient, topics: Topics) -> CleaningTimes:
    """Read the settings of the topics that carry user ids in their keys."""
    names = (topics.profiles, topics.recommendations)
    found = client.describe_configs(
        [
            ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys((*CONFIGS, KEPT), ""))
            for name in (*names, topics.refinements)
        ],
        config_filter="all",
    )["topic"]
    kept = {name: int(found[topics.refinements][name]["value"]) for name in ("segment.ms", KEPT)}
    values = {config: [int(found[name][config]["value"]) for name in names] for config in CONFIGS}
    roll, lag, tombstones = (max(values[config]) for config in CONFIGS)
    return CleaningTimes(
        roll_ms=min(roll, lag),  # the broker rolls a compacted segment by the shorter one
        lag_ms=lag,
        tombstones_ms=tombstones,
        trusted_ms=min(values["delete.retention.ms"]) * 3 // 4,
        kept_ms=sum(kept.values()) + LOOKS_MS + REFINED_WITHIN_MS
        if kept[KEPT] >= 0
        else UNBOUNDED_MS,
    )


class Traces:
    """What one worker does so that nothing of a forgotten user stays; used by the loop's thread."""

    def __init__(
        self,
        store: ProfileStore,
        topics: Topics,
        times: CleaningTimes,
        *,
        folder: Path,
        every_s: int,
    ) -> None:
        self._store = store
        self._topics = topics
        self._times = times
        self._folder = folder
        self._every_s = every_s
        self._touched: dict[int, int] = {}
        self._next_touch_ms = 0
        self._next_look = 0.0
        self._thread: threading.Thread | None = None
        self._cleaning: tuple[int, int] | None = None
        self._since: dict[int, float] = {}
        self.cleanings = 0
        if not times.bounded:
            LOG.warning(
                "%s or %s has no max.compaction.lag.ms: the log keeps forgotten users without end",
                topics.profiles,
                topics.recommendations,
            )

    def touch(self, ledgers: Mapping[int, Ledger], now_ms: int) -> list[Outgoing]:
        """Return a record for each partition with a young erasure that is to be written to now."""
        if now_ms < self._next_touch_ms:
            return []
        self._next_touch_ms = now_ms + min(self._times.touch_ms, 1_000)
        due = [
            number
            for number, ledger in ledgers.items()
            if now_ms - ledger.erased_at <= self._times.keys_ms
            and now_ms - self._touched.get(number, 0) >= self._times.touch_ms
        ]
        self._touched |= dict.fromkeys(due, now_ms)
        topic = self._topics.recommendations
        return [Outgoing(topic=topic, partition=n, key=NOBODYS, value=None) for n in due]

    def look(self) -> None:
        """Start cleaning a partition's files when it is time, and settle what has been cleaned."""
        if self._thread is not None and not self._thread.is_alive():
            self._settle()
        now = time.monotonic()
        if now < self._next_look or self._thread is not None:
            return
        self._next_look = now + min(self._every_s / 4, LOOK_EVERY_S)
        self._remove_unowned()
        for number in sorted(self._store.owned):
            forgot = self._store.unclean(number)
            if forgot and now - self._since.setdefault(number, now) >= self._every_s:
                self._cleaning = (number, forgot)
                self._thread = threading.Thread(target=self._clean, args=(number,), daemon=True)
                self._thread.start()
                return

    def finish(self) -> None:
        """Wait for a cleaning in progress: its files must not be closed or handed on before."""
        if self._thread is not None:
            self._thread.join()
            self._settle()

    def _clean(self, number: int) -> None:
        started = time.monotonic()
        try:
            self._store.clean(number)
        except Exception:  # tried again at the next look
            LOG.exception("files of partition %d cannot be cleaned", number)
            self._cleaning = None
        else:
            took = time.monotonic() - started
            LOG.info("files of partition %d are clean of forgotten users (%.1f s)", number, took)

    def _settle(self) -> None:
        self._thread = None
        if self._cleaning is not None:
            self._store.cleaned(*self._cleaning)
            del self._since[self._cleaning[0]]
            self.cleanings += 1
            self._cleaning = None

    def _remove_unowned(self) -> None:
        """Files wait a while for their partition to come back; then nobody would clean them."""
        oldest = time.time() - UNOWNED_KEPT_S
        for path in self._folder.glob("profiles-*"):
            number = whole_number(path.name.partition("-")[2])
            if number is not None and number not in self._store.owned:
                newest = max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
                if newest < oldest:
                    LOG.info("removing the files of partition %s, which left", number)
                    shutil.rmtree(path, ignore_errors=True)


LOG = logging.getLogger(__name__)
CONFIGS = ("segment.ms", "max.compaction.lag.ms", "delete.retention.ms")
KEPT = "retention.ms"
# How often the broker looks for what is to be deleted (`log.retention.check.interval.ms`).
LOOKS_MS = 300_000
# A key that no list can have: a scenario must not be `*`.
NOBODYS = b"*/*"
# The cleaner looks around every `log.cleaner.backoff.ms` (15 s), then works.
CLEANER_MS = 60_000
MOST_TOUCH_MS = 1_800_000
UNBOUNDED_MS = 10**15
LOOK_EVERY_S = 30.0
UNOWNED_KEPT_S = 3_600.0
