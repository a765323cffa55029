"""Profiles on local disk: one RocksDB a partition, before it the hot ones (`hot_profiles.py`).

The changelog is the truth and this only its newest state: each write is one atomic batch with the
changelog position it belongs to, so after a crash the store is older, never torn. One that is
damaged is refused, removed and rebuilt. Knows no Kafka client; `changelog.py` fills it.
"""

import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

from consumers.kafka_io.wire import (
    NO_USER,
    decode_marker,
    decode_profile,
    encode_marker,
    marker_key,
)
from consumers.processes.heap import LARGE_BYTES
from consumers.recommending.hot_profiles import HotProfiles
from stream_rec import formats
from stream_rec.erasure import Marker
from stream_rec.errors import ConfigurationError, NewerFormat, StateRejected
from stream_rec.profiles.profile import Profile
from stream_rec.pseudonyms import PLAIN, Pseudonyms


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProfile:
    """A profile and its record value, which goes to the changelog and to the disk alike."""

    profile: Profile
    value: bytes


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a store is: the changelog and the next offset of it, the last ledger record, when.

    Format 1 did not say which version of stream-rec wrote it.
    """

    format: int = 2
    writer: str = formats.VERSION
    topic_id: str
    position: int
    ledger: bytes | None
    written_ms: int


class ProfileStore:
    """The profiles of the partitions that this worker owns; used by one thread."""

    def __init__(
        self,
        folder: Path,
        *,
        topic_id: str,
        hot_profiles: int = 2_000,
        trusted_ms: int = 64_800_000,
        names: Pseudonyms = PLAIN,
    ) -> None:
        self.names = names
        self._folder = folder
        self._topic_id = topic_id
        self._trusted_ms = trusted_ms
        self._outdated: dict[tuple[int, str], str] = {}  # users found under an older name
        self._forgot: dict[int, int] = {}  # partition -> how often it forgot users since it opened
        self._hot = HotProfiles(hot_profiles)
        self._open: dict[int, Rdict] = {}
        self._cache = Cache(BLOCK_CACHE_BYTES)

    def open(self, partition: int) -> Place | None:
        """Open a partition's store and say where it stands; None when it is new or was refused.

        Raises:
            NewerFormat: a newer version wrote it; it is left as it is.
        """
        self.close(partition)
        path = self._folder / f"profiles-{partition}"
        if (path / DAMAGED).exists():
            LOG.warning("profiles of partition %d were damaged; rebuilding", partition)
            shutil.rmtree(path)
        try:
            place = self._opened(partition, path)
            if place is None or place.written_ms > _now_ms() - self._trusted_ms:
                return place
            LOG.warning("profiles of partition %d are too old to trust; rebuilding", partition)
        except NewerFormat:
            self.close(partition)
            raise
        except Exception as error:  # RocksDB raises plain exceptions for every kind of damage
            LOG.warning("profiles of partition %d are refused (%s); rebuilding", partition, error)
        self.wipe(partition)
        return None

    def wipe(self, partition: int) -> None:
        """Forget a partition's profiles and open an empty store for it."""
        self.close(partition)
        path = self._folder / f"profiles-{partition}"
        shutil.rmtree(path, ignore_errors=True)
        self._opened(partition, path)

    def close(self, partition: int) -> None:
        """Let go of a partition; its files stay for when it comes back."""
        if (db := self._open.pop(partition, None)) is not None:
            db.close()
        self._forgot.pop(partition, None)
        self._hot.drop_partition(partition)
        for place in [place for place in self._outdated if place[0] == partition]:
            del self._outdated[place]

    def close_all(self) -> None:
        """Let go of every partition."""
        for partition in list(self._open):
            self.close(partition)

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are open."""
        return frozenset(self._open)

    def get(self, partition: int, user_id: str) -> Profile | None:
        """Return a user's profile; None for a user never seen.

        Raises:
            StateRejected: the store is damaged; it is rebuilt when it is opened next.
            NewerFormat: a newer version wrote the profile.
        """
        hot = self._hot.get(partition, user_id)
        if hot is not None:
            return hot
        try:
            value = self._open[partition].get(self.names.of(user_id).encode())
            if value is None:
                value = self._get_older(partition, user_id)
            if value is None:
                return None
            profile = decode_profile(value, self.names)
        except (NewerFormat, ConfigurationError):
            raise
        except Exception as error:
            self._damaged(partition)
            msg = f"profiles of partition {partition} cannot be read: {error}"
            raise StateRejected(msg) from error
        self._hot.keep(partition, profile)
        return profile

    def marker(self, partition: int, user_id: str) -> Marker | None:
        """Return the mark of a user who was forgotten, None for anybody else.

        Raises:
            StateRejected: the mark is torn.
            NewerFormat: a newer version wrote it.
        """
        for name in (self.names.of(user_id), *self.names.older(user_id)):
            value = self._open[partition].get(marker_key(name))
            if value is not None:
                return decode_marker(value)
        return None

    def name(self, partition: int, user_id: str) -> str:
        """Return the name under which a user was found, or else would be stored."""
        return self._outdated.get((partition, user_id)) or self.names.of(user_id)

    def note(self, partition: int) -> bytes | None:
        """Return the partition's note of the keys in use."""
        found: bytes | None = self._open[partition].get(KEYS_KEY)
        return found

    def empty(self, partition: int) -> bool:
        """Whether nobody is stored in a partition."""
        return next(iter(self._open[partition].keys(from_key=b"\x01")), None) is None

    def apply(
        self,
        partition: int,
        profiles: Iterable[StoredProfile],
        *,
        position: int,
        ledger: bytes,
        erased: Mapping[str, Marker] | None = None,
        note: bytes | None = None,
    ) -> None:
        """Take what a committed transaction wrote, with its changelog position, at once."""
        batch = WriteBatch(raw_mode=True)
        for user_id, marker in (erased or {}).items():
            self._hot.drop(partition, user_id)
            batch.delete(self.name(partition, user_id).encode())
            self._outdated.pop((partition, user_id), None)
            batch.put(marker_key(self.names.of(user_id)), encode_marker(marker))
        if erased:
            self._note_forgot(partition, batch)
        if note is not None:
            batch.put(KEYS_KEY, note)
        for stored in profiles:
            user_id = stored.profile.user_id
            if (old := self._outdated.pop((partition, user_id), None)) is not None:
                batch.delete(old.encode())
                self._note_forgot(partition, batch)
            batch.put(self.names.of(user_id).encode(), stored.value)
            self._hot.keep(partition, stored.profile)
        self._write(partition, batch, position=position, ledger=ledger)

    def load(
        self,
        partition: int,
        records: Iterable[tuple[bytes, bytes | None]],
        *,
        position: int,
        ledger: bytes | None,
    ) -> None:
        """Take records read back from the changelog; a value of None forgets the user."""
        batch = WriteBatch(raw_mode=True)
        for key, value in records:
            self._hot.drop(partition, key.decode("utf-8", "replace"))
            if value is None:
                batch.delete(key)
                self._note_forgot(partition, batch)
            else:
                batch.put(key, value)
        self._write(partition, batch, position=position, ledger=ledger)

    def everyone(self, partition: int) -> Iterator[Profile]:
        """Yield every profile, page by page, for as long as the partition is owned."""
        start = b"\x01"
        while partition in self._open:
            page = self._page(partition, start)
            if not page:
                return
            for _, value in page:
                yield decode_profile(value, self.names)
            start = page[-1][0] + b"\x00"

    def _page(self, partition: int, start: bytes) -> list[tuple[bytes, bytes]]:
        """Return the next keys and values; at damage, which only the status tells, raise."""
        page, iterator = list[tuple[bytes, bytes]](), self._open[partition].iter()
        iterator.seek(start)
        while len(page) < PAGE and iterator.valid():
            page.append((iterator.key(), iterator.value()))
            iterator.next()
        try:
            iterator.status()
        except Exception as error:
            self._damaged(partition)
            msg = f"profiles of partition {partition} cannot be read: {error}"
            raise StateRejected(msg) from error
        finally:
            del iterator  # it would keep the store open
        return page

    def _damaged(self, partition: int) -> None:
        if partition in self._open:
            (self._folder / f"profiles-{partition}" / DAMAGED).touch()

    def outdated(self, partition: int) -> Iterator[Profile]:
        """Yield every profile that is stored under an older name than it would be now."""
        for profile in self.everyone(partition):
            if self._open[partition].get(self.names.of(profile.user_id).encode()) is None:
                self._get_older(partition, profile.user_id)
                yield profile

    def unclean(self, partition: int) -> int:
        """Return how often users were forgotten whose bytes may still lie in the files; 0: none."""
        return self._forgot.get(partition, 0)

    def clean(self, partition: int) -> None:
        """Rewrite the files without what was deleted; takes seconds, and any thread may do it.

        RocksDB keeps deleted values in its log until a flush, in its tables until a compaction, and
        the bounds of gone tables in its manifest until that is written anew: by the second flush.
        """
        db = self._open[partition]
        db.flush(wait=True)
        whole = CompactOptions()
        whole.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        db.compact_range(None, None, whole)  # without force a lone table is moved, not written anew
        db.put(CLEANED_KEY, _now_ms().to_bytes(8, "big"))
        db.flush(wait=True)

    def cleaned(self, partition: int, forgot: int) -> None:
        """Note that files are clean of what had been forgotten when `unclean` returned `forgot`."""
        if partition in self._open and self._forgot.get(partition) == forgot:
            self._open[partition].delete(UNCLEAN_KEY)
            del self._forgot[partition]

    def disk_bytes(self) -> int:
        """Return the size of the live tables of all open partitions."""
        sizes = (
            db.property_int_value("rocksdb.total-sst-files-size") for db in self._open.values()
        )
        return sum(size or 0 for size in sizes)

    @property
    def hot_count(self) -> int:
        """How many profiles are in memory."""
        return len(self._hot)

    def _opened(self, partition: int, path: Path) -> Place | None:
        path.mkdir(parents=True, exist_ok=True)
        # Damaged until it is open: over one flipped bit of its manifest RocksDB reads for ever, and
        # the process that the watchdog starts instead must not try it again.
        (path / DAMAGED).touch()
        db = Rdict(str(path), options=self._options())
        (path / DAMAGED).unlink()
        self._open[partition] = db
        if db.get(UNCLEAN_KEY) is not None:
            self._forgot[partition] = 1
        value = db.get(PLACE_KEY)
        if value is None:
            if next(iter(db.keys()), None) is not None:
                msg = "it has profiles but no position"
                raise StateRejected(msg)
            return None
        found = formats.check_value("store", value)
        place = msgspec.msgpack.decode(value, type=Place)
        if found == 1:
            place = msgspec.structs.replace(place, format=2, writer="")
        if place.topic_id != self._topic_id:
            msg = "it follows another changelog"
            raise StateRejected(msg)
        return place

    def _write(
        self, partition: int, batch: WriteBatch, *, position: int, ledger: bytes | None
    ) -> None:
        place = Place(
            topic_id=self._topic_id, position=position, ledger=ledger, written_ms=_now_ms()
        )
        batch.put(PLACE_KEY, msgspec.msgpack.encode(place))
        self._open[partition].write(batch)

    def _get_older(self, partition: int, user_id: str) -> bytes | None:
        for name in self.names.older(user_id):
            value: bytes | None = self._open[partition].get(name.encode())
            if value is not None:
                self._outdated[partition, user_id] = name
                return value
        return None

    def _note_forgot(self, partition: int, batch: WriteBatch) -> None:
        batch.put(UNCLEAN_KEY, b"1")
        self._forgot[partition] = self._forgot.get(partition, 0) + 1

    def _options(self) -> Options:
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_bloom_filter(10, False)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        # In one piece: of smaller ones what is allocated between them would keep the room.
        options.set_arena_block_size(WRITE_BUFFER_BYTES)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_paranoid_checks(True)
        options.set_max_open_files(64)
        options.set_keep_log_file_num(2)
        options.set_max_manifest_file_size(1)  # written anew at every change of files, see `clean`
        options.set_max_background_jobs(1)
        return options


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


LOG = logging.getLogger(__name__)
PLACE_KEY = NO_USER + b"place"
UNCLEAN_KEY = NO_USER + b"unclean"
CLEANED_KEY = NO_USER + b"cleaned"
KEYS_KEY = NO_USER + b"keys"  # of the changelog too
PAGE = 256
DAMAGED = "DAMAGED"
BLOCK_CACHE_BYTES = 33_554_432
WRITE_BUFFER_BYTES = LARGE_BYTES  # so that each is mapped apart
