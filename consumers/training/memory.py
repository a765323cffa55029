"""What the trainer remembers, in one file with the offsets that it was read up to.

    buffers    feedback by scenario; `default`, which serves where no other adapter does, has all
    clocks     what came since the last round of each kind, and rounds begun but not ended
    erasures   until when a user is forgotten, so that no event read later brings them back
    pupils     which users each adapter learned from, by hash: its line ends when one is erased

State and position move together: written aside, flushed, renamed. A kill costs the time to read
again what came after, nothing else. Knows no topics' names, no models and no rounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from consumers.durable_file import replace_durably
from consumers.kafka_io.transaction import crash_point
from stream_rec import formats
from stream_rec.adapters.life import DEFAULT_SCENARIO
from stream_rec.errors import StateRejected
from stream_rec.language_model.replay_buffer import Feedback, ReplayBuffer


class Clock(msgspec.Struct, kw_only=True):
    """How one kind of round stands in one scenario."""

    events: int = 0  # since the last round began
    began_ms: int = 0  # wall clock; 0: never
    newest_ms: int = -1  # event time: what the last round knew
    serves_ms: int = -1  # event time: what the last round knew whose outcome came to serve at once
    offsets: dict[str, int] = {}  # "<topic>-<partition>": up to where it had read
    attempts: int = 0  # begun and not ended: only the end of the program leaves one here
    drifted: bool = False

    @property
    def ended(self) -> bool:
        """Whether any round has come to an end."""
        return self.newest_ms >= 0


class Pupils(msgspec.Struct, kw_only=True):
    """Whom an adapter learned from: its own users and those of the adapter it started from."""

    scenario: str
    start: int  # the version it started from, 0 the frozen model
    users: bytes  # sorted uint64 hashes
    erased: int = 0  # how many of them were erased since


class _Stored(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: int
    topic_ids: dict[str, str]
    offsets: dict[str, int]
    buffers: dict[str, bytes]
    clocks: dict[str, Clock]
    erased: dict[str, int]
    pupils: dict[int, Pupils]


class Memory:
    """Used by the loop's thread alone; a round gets copies."""

    def __init__(self, *, capacity: int = 0, seed: int = 0) -> None:
        self.capacity = capacity or MOST_EVENTS
        self.seed = seed
        self.buffers: dict[str, ReplayBuffer] = {}
        self.clocks: dict[str, Clock] = {}
        self.erased: dict[str, int] = {}
        self.pupils: dict[int, Pupils] = {}
        self.offsets: dict[str, int] = {}  # "<topic>-<partition>": next to read

    def __len__(self) -> int:
        """Return how many events are kept, those of `default` alone: it has all scenarios'."""
        return len(self.buffers.get(DEFAULT_SCENARIO, ()))

    def take(self, scenario: str, feedback: Feedback) -> bool:
        """Keep one event for its scenario and for `default`; False for one of an erased user."""
        if feedback.timestamp <= self.erased.get(_mark(feedback.user_id), -1):
            return False
        for name in dict.fromkeys((scenario, DEFAULT_SCENARIO)):
            buffer = self.buffers.get(name)
            if buffer is None:
                if len(self.buffers) >= MOST_SCENARIOS:
                    continue
                buffer = self.buffers[name] = ReplayBuffer(
                    self.capacity,
                    per_user=MOST_OF_A_USER,
                    half_life_ms=HALF_LIFE_MS,
                    seed=self.seed,
                )
            buffer.add(feedback)
            for kind in KINDS:
                self.clock(name, kind).events += 1
        return True

    def erase(self, user_id: str, up_to_ms: int) -> list[int]:
        """Forget a user up to a time; return the versions that learned from them."""
        mark = _mark(user_id)
        self.erased[mark] = max(up_to_ms, self.erased.get(mark, -1))
        while len(self.erased) > MOST_ERASED:
            self.erased.pop(next(iter(self.erased)))
        for buffer in self.buffers.values():
            buffer.erase(user_id, up_to_ms)
        hashed, marked = user_hash(user_id), []
        for version, pupils in self.pupils.items():
            users = np.frombuffer(pupils.users, np.uint64)
            at = int(np.searchsorted(users, np.uint64(hashed)))
            if at < len(users) and int(users[at]) == hashed:
                pupils.users = np.delete(users, at).tobytes()
                pupils.erased += 1
                marked.append(version)
        return marked

    def learned(self, version: int, pupils: Pupils) -> None:
        """Note whom a version learned from; users of the version it started from count as well."""
        self.pupils[version] = pupils
        if (before := self.pupils.get(pupils.start)) is not None:
            self._add_pupils(version, np.frombuffer(before.users, np.uint64))

    def learned_more(self, version: int, user_ids: Collection[str]) -> None:
        """Note that a version learns from more users than it began with."""
        self._add_pupils(version, user_hashes(user_ids))

    def _add_pupils(self, version: int, hashes: NDArray[np.uint64]) -> None:
        pupils = self.pupils[version]
        pupils.users = np.union1d(np.frombuffer(pupils.users, np.uint64), hashes).tobytes()

    def forget_versions(self, kept: Collection[int]) -> None:
        """Drop what is known of adapters that are gone."""
        self.pupils = {version: p for version, p in self.pupils.items() if version in kept}

    def clock(self, scenario: str, kind: str) -> Clock:
        """Return the clock of a kind of round."""
        return self.clocks.setdefault(f"{kind}/{scenario}", Clock())

    def start_clocks(self, now_ms: int) -> None:
        """Let clocks that never ran count from now."""
        for clock in self.clocks.values():
            clock.began_ms = clock.began_ms or now_ms

    def save(self, file: Path, topic_ids: dict[str, str]) -> None:
        """Write all of it whole or not at all."""
        stored = _Stored(
            format=FORMAT,
            topic_ids=topic_ids,
            offsets=self.offsets,
            buffers={name: buffer.to_bytes() for name, buffer in self.buffers.items()},
            clocks=self.clocks,
            erased=self.erased,
            pupils=self.pupils,
        )
        body = msgspec.msgpack.encode(stored)
        replace_durably(
            file,
            zlib.crc32(body).to_bytes(4, "little") + body,
            written=lambda: crash_point("memory_written"),
        )


def read_memory(file: Path, topic_ids: dict[str, str]) -> Memory | None:
    """Read what `Memory.save` wrote; None where there is none, or it is of topics made anew.

    Raises:
        StateRejected: torn or damaged: read the log again.
        NewerFormat: a newer version wrote it; it is left as it is.
    """
    if not file.exists():
        return None
    body = file.read_bytes()
    if zlib.crc32(body[4:]).to_bytes(4, "little") != body[:4]:
        message = f"{file.name} is torn or damaged"
        raise StateRejected(message)
    formats.check_value("memory", body[4:])
    try:
        stored = msgspec.msgpack.decode(body[4:], type=_Stored)
    except msgspec.MsgspecError as error:
        message = f"{file.name} is damaged: {error}"
        raise StateRejected(message) from error
    if stored.topic_ids != topic_ids:
        return None
    memory = Memory()
    memory.buffers = {name: ReplayBuffer.from_bytes(b) for name, b in stored.buffers.items()}
    if stored.format == 1:
        memory.buffers = {name: _of_stars(buffer) for name, buffer in memory.buffers.items()}
    memory.clocks, memory.erased = stored.clocks, stored.erased
    memory.pupils, memory.offsets = stored.pupils, stored.offsets
    return memory


def _of_stars(buffer: ReplayBuffer) -> ReplayBuffer:
    """Return what format 1 kept, which took all ratings for stars from 1 to 5."""
    out = ReplayBuffer(
        buffer.capacity,
        per_user=buffer.per_user,
        half_life_ms=buffer.half_life_ms,
        seed=buffer.seed,
    )
    for feedback in buffer:
        rating = feedback.rating
        share = None if rating is None else min(1.0, max(0.0, (rating - 1.0) / 4.0))
        out.add(msgspec.structs.replace(feedback, rating=share))
    return out


def _mark(user_id: str) -> str:
    """Return what is kept of an erased user: 128 bits of a hash, never the id."""
    return blake2b(user_id.encode(), digest_size=16).hexdigest()


def user_hash(user_id: str) -> int:
    """Return the 64-bit hash that stands for a user among an adapter's pupils."""
    return int.from_bytes(blake2b(user_id.encode(), digest_size=8).digest(), "little")


def user_hashes(user_ids: Collection[str]) -> NDArray[np.uint64]:
    """Return sorted hashes of users, (users,)."""
    return np.sort(np.fromiter(map(user_hash, user_ids), np.uint64, len(user_ids)))


FORMAT = 2
KINDS = ("tower", "adapter")
MOST_EVENTS = 60_000
MOST_OF_A_USER = 64
MOST_SCENARIOS = 32
MOST_ERASED = 100_000
HALF_LIFE_MS = 90 * 86_400_000.0
