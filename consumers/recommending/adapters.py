"""Adapters as they live on the `adapters` topic: loaded in the background, swapped between batches.

    take       every record of the topic: versions, and which one is live in each scenario
    load       what is live, what served before it while that is watched, what is in shadow; one
               after the other by a thread that gives way, beside the tables that serve
    swap       between two batches, one assignment; a version that cannot be loaded is refused with
               a line in the log, and what served before goes on

Nothing here decides which version is live: `adapter_verdicts.py` does, and operators do. Writes no
topic.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from consumers.recommending.trials import Trial, shadows, watches
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.adapters.life import (
    DEFAULT_SCENARIO,
    AdapterVersion,
    LivePointer,
    apply_tombstone,
    decode_adapter,
)
from stream_rec.adapters.space import Loading, Space
from stream_rec.adapters.text_model import is_of
from stream_rec.errors import CheckpointRejected, StateRejected
from stream_rec.replica import Replica


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    version: int
    space: Space | None
    reason: str
    took_s: float


class Adapters:
    """What one worker knows of adapters; used by the loop's thread, loading apart."""

    def __init__(self, replica: Replica, root: str) -> None:
        self._replica = replica
        self._root = root
        self.versions: dict[int, AdapterVersion] = {}
        self.pointers: dict[str, LivePointer] = {}
        self.refused: dict[int, str] = {}
        self.unwatched: set[Trial] = set()  # watches that have ended well
        self.load_s = 0.0
        self._text_model: str | None = None
        self._tries: dict[int, tuple[int, float]] = {}  # version -> failed tries, time of the next
        self._busy: int | None = None
        self._done: queue.SimpleQueue[_Loaded] = queue.SimpleQueue()
        self._dirty = False
        self._look_again = 0.0
        self._closing = threading.Event()

    def take(self, record: Any) -> None:
        """Note one record of the topic; one that cannot be read changes nothing."""
        key = record.key or b""
        self._dirty = True
        if record.value is None:
            apply_tombstone(key, self.versions, self.pointers)
            return
        try:
            found = decode_adapter(key, record.value)
        except StateRejected as error:
            LOG.error("adapters: offset %d is skipped: %s", record.offset, error)
            return
        if isinstance(found, LivePointer):
            self.pointers[found.scenario] = found
        else:
            self.versions[found.version] = found
        self.refused.pop(found.version, None)
        self._tries.pop(found.version, None)

    def texts_are_of(self, model: str) -> None:
        """Note which model made the frozen vectors: adapters of another one must not serve."""
        self._text_model, self._dirty = model, True

    def scenario_of(self, scenario: str) -> str:
        """Return the scenario whose adapter serves a scenario: its own, or the default."""
        return scenario if scenario in self.pointers else DEFAULT_SCENARIO

    def trials(self) -> list[Trial]:
        """Return what is to be compared: both versions of each are in memory."""
        made = {0, *self._replica.spaces.made}
        return [
            trial
            for trial in (*shadows(self.versions, self.pointers), *self.watches())
            if trial.version in made
            and trial.against in made
            and trial.version != trial.against
            and trial not in self.unwatched
        ]

    def watches(self) -> list[Trial]:
        """Return what is watched while it serves, watches that have ended among them."""
        return watches(self.versions, self.pointers)

    def restore(self, alive: Callable[[], None]) -> None:
        """Load what is live, and let it serve; what is in shadow follows later."""
        for pointer in self.pointers.values():
            for version in (pointer.version, pointer.previous):
                if version == 0 or version in self._replica.spaces.made:
                    break
                alive()
                if (loading := self._begin(version)) is not None:
                    loading.pause = lambda _: alive()
                    self._load(loading, self.versions[version], eager=False)
                    self._settle(self._done.get())
                if version not in self.refused:
                    break
        self.between_batches()

    def between_batches(self) -> bool:
        """Take in what was loaded, swap, and start to load what is missing; say whether it swapped.

        Costs nothing while nothing has changed.
        """
        while not self._done.empty():
            self._settle(self._done.get())
        if not self._dirty and time.monotonic() < self._look_again:
            return False
        self._dirty, self._look_again = False, time.monotonic() + LOOK_EVERY_S
        self._refuse_foreign()
        swapped = self._swap()
        wanted = self._wanted()
        self._replica.spaces.keep_only({*wanted, *self._replica.spaces.serving.values()})
        for version in wanted:
            if self._busy is None and self._may_try(version):
                self._start(version)
        return swapped

    def tries(self, version: int) -> int:
        """Return how often a version could not be loaded."""
        return self._tries.get(version, (0, 0.0))[0]

    def close(self) -> None:
        """Let go of what is being loaded."""
        self._closing.set()

    def _live(self) -> list[int]:
        found = dict.fromkeys(pointer.version for pointer in self.pointers.values())
        return [version for version in found if version]

    def _wanted(self) -> list[int]:
        """Return the versions to have in memory, what is needed most first."""
        before = [trial.against for trial in self.watches() if trial not in self.unwatched]
        refused = [p.previous for p in self.pointers.values() if p.version in self.refused]
        shadow = [record.version for record in self.versions.values() if record.state == "shadow"]
        found = dict.fromkeys([*self._live(), *refused, *before, *sorted(shadow)])
        return [version for version in found if version]

    def _swap(self) -> bool:
        """Let the pointed versions serve where they are in memory; else what served before."""
        spaces = self._replica.spaces
        chosen = {}
        for scenario, pointer in self.pointers.items():
            now = spaces.version_of(scenario)
            loading = pointer.version not in self.refused
            order = (pointer.version, now if loading else pointer.previous, pointer.previous, 0)
            chosen[scenario] = next(v for v in order if v == 0 or v in spaces.made)
        if chosen == spaces.serving:
            return False
        spaces.serve(chosen)
        LOG.info(
            "adapters: now serving %s",
            ", ".join(f"{name}: {version}" for name, version in sorted(chosen.items())),
        )
        return True

    def _refuse_foreign(self) -> None:
        made = self._replica.spaces.made
        for version in [version for version in made if not self._fits(version)]:
            del made[version]
            self._refuse(version, FOREIGN)

    def _fits(self, version: int) -> bool:
        record = self.versions.get(version)
        if record is None or self._text_model is None:
            return True
        return is_of(record.base_model_hash, self._text_model)

    def _may_try(self, version: int) -> bool:
        if version in self._replica.spaces.made:
            return False
        _, after = self._tries.get(version, (0, 0.0))
        return time.monotonic() >= after

    def _begin(self, version: int) -> Loading | None:
        record = self.versions.get(version)
        if record is None:
            self._refuse(version, "there is no record of it")
            return None
        if not self._fits(version):
            self._refuse(version, FOREIGN)
            return None
        spaces, replica = self._replica.spaces, self._replica
        loading = spaces.begin(version, record.text_version, replica.items, replica.frozen_texts())
        self._busy = version
        return loading

    def _start(self, version: int) -> None:
        loading = self._begin(version)
        if loading is None:
            return
        loading.pause = self._pause
        threading.Thread(
            target=self._load,
            args=(loading, self.versions[version]),
            name=f"adapter-{version}",
            daemon=True,
        ).start()

    def _pause(self, worked_s: float) -> None:
        if self._closing.wait(worked_s):
            raise SystemExit

    def _load(self, loading: Loading, record: AdapterVersion, *, eager: bool = True) -> None:
        started = time.monotonic()
        space, reason = None, ""
        if eager:
            with suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            checkpoint = read_checkpoint(
                self._root,
                record.scenario,
                record.version,
                base_model_hash=record.base_model_hash,
            )
            space = loading.build(checkpoint, eager=eager)
        except (CheckpointRejected, StateRejected) as error:
            reason = str(error)
        except Exception as error:  # storage of any kind may fail in any way; serving must not
            reason = f"{type(error).__name__}: {error}"
        took = time.monotonic() - started
        self._done.put(_Loaded(version=loading.version, space=space, reason=reason, took_s=took))

    def _settle(self, loaded: _Loaded) -> None:
        self._busy, self._dirty = None, True
        if loaded.space is None:
            self._replica.spaces.abandon(loaded.version)
            self._refuse(loaded.version, loaded.reason)
            return
        self._replica.spaces.finish(loaded.space)
        self.refused.pop(loaded.version, None)
        self._tries.pop(loaded.version, None)
        self.load_s = loaded.took_s
        LOG.info("adapters: version %d is in memory, %.1f s", loaded.version, loaded.took_s)

    def _refuse(self, version: int, reason: str) -> None:
        tries = self._tries.get(version, (0, 0.0))[0] + 1
        self._tries[version] = (tries, time.monotonic() + min(RETRY_S * 2**tries, LONGEST_RETRY_S))
        if self.refused.get(version) != reason:
            LOG.error("adapters: version %d is refused, the old one serves: %s", version, reason)
        self.refused[version] = reason


LOG = logging.getLogger(__name__)
FOREIGN = "it was made for another base model than the one that reads the catalogue"
NICENESS = 10
LOOK_EVERY_S = 1.0
RETRY_S, LONGEST_RETRY_S = 2.0, 300.0
