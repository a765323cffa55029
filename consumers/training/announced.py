"""The `adapters` topic as the trainer reads and writes it.

What belongs together, a version that serves at once, the pointer and the one it replaces, is
written in one transaction: a kill leaves all of it or none. Written only after the bundle is
complete. Knows no rounds and no bundles.
"""

import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from consumers.kafka_io.clients import transactional_producer
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.transaction import crash_point
from consumers.recommending.verdicts import Audit
from consumers.settings import Settings
from stream_rec.adapters.life import (
    DEFAULT_SCENARIO,
    AdapterVersion,
    LivePointer,
    apply_tombstone,
    decode_adapter,
    encode_adapter,
    record_key,
)
from stream_rec.errors import StateRejected


class Announced:
    """Every version and pointer there is."""

    def __init__(self) -> None:
        self.versions: dict[int, AdapterVersion] = {}
        self.pointers: dict[str, LivePointer] = {}
        self._newest = 0

    def take(self, record: Any) -> None:
        """Apply one record of the topic."""
        key = record.key or b""
        if record.value is None:
            apply_tombstone(key, self.versions, self.pointers)
            return
        try:
            found = decode_adapter(key, record.value)
        except StateRejected as error:
            LOG.warning("adapters, offset %d is skipped: %s", record.offset, error)
            return
        self.note([found])

    def note(self, records: Sequence[AdapterVersion | LivePointer]) -> None:
        """Apply records that were written just now, before they are read back."""
        for record in records:
            if isinstance(record, LivePointer):
                self.pointers[record.scenario] = record
            else:
                self.versions[record.version] = record
                self._newest = max(self._newest, record.version)

    @property
    def newest(self) -> int:
        """The highest version ever seen, gone ones too."""
        return self._newest

    def serving(self, scenario: str) -> AdapterVersion | None:
        """Return what serves a scenario, its own or that of `default`; None: the frozen model."""
        for name in dict.fromkeys((scenario, DEFAULT_SCENARIO)):
            if (pointer := self.pointers.get(name)) is not None:
                return self.versions.get(pointer.version)
        return None

    def in_shadow(self, scenario: str) -> AdapterVersion | None:
        """Return the version of a scenario that is tried on live events now."""
        tried = [
            v for v in self.versions.values() if v.scenario == scenario and v.state == "shadow"
        ]
        return max(tried, key=lambda v: v.version, default=None)

    def read_by(self) -> dict[int, AdapterVersion]:
        """Return the versions whose texts must be encoded, by text version.

        Those live or in shadow, and what was live before, if it was good: a rollback must find it
        complete.
        """
        wanted = [v for v in self.versions.values() if v.state == "shadow"]
        for pointer in self.pointers.values():
            before = self.versions.get(pointer.previous)
            wanted += [before] if before is not None and before.state in _SOUND else []
            live = self.versions.get(pointer.version)
            wanted += [live] if live is not None else []
        return {v.text_version: v for v in wanted if v.text_version > 0}

    def kept(self, scenario: str) -> set[int]:
        """Return the versions of a scenario whose bundles must stay."""
        named = {v.version for v in self.versions.values() if v.state == "shadow"}
        for pointer in self.pointers.values():
            named |= {pointer.version, pointer.previous}
        return {v for v in named if v in self.versions and self.versions[v].scenario == scenario}


def records_of(made: AdapterVersion, announced: Announced) -> list[AdapterVersion | LivePointer]:
    """Return what to write of a finished round.

    A tower that the gate let pass serves at once, since it reads texts as what it replaces does: a
    swap of it costs nothing. It and the pointer and the end of what it replaces go together. An
    adapter is measured against what serves now, perhaps with a later tower than when it began.
    """
    if made.state != "shadow":
        return [made]
    serving = announced.serving(made.scenario)
    if made.kind == "adapter":
        return [msgspec.structs.replace(made, champion=serving.version if serving else 0)]
    pointer = announced.pointers.get(made.scenario)
    if (serving.text_version if serving else 0) != made.text_version:
        reason = "while it learned, another adapter came to serve"
        return [msgspec.structs.replace(made, state="refused", reason=reason)]
    records: list[AdapterVersion | LivePointer] = [msgspec.structs.replace(made, state="promoted")]
    if serving is not None and serving.scenario == made.scenario and serving.state == "promoted":
        records.append(
            msgspec.structs.replace(
                serving,
                state="retired",
                changed_at=made.changed_at,
                reason=f"{made.version} replaced its tower",
            )
        )
    records.append(
        LivePointer(
            scenario=made.scenario,
            version=made.version,
            previous=_before(made, pointer, serving),
            changed_at=made.changed_at,
            reason=f"tower: {made.reason}",
        )
    )
    return records


def _before(
    tower: AdapterVersion, pointer: LivePointer | None, serving: AdapterVersion | None
) -> int:
    """Return what a rollback of a tower leads to: what served before its adapter did.

    So an adapter goes on being watched against that, whatever towers it gets. Towers of the frozen
    model lead to the tower before.
    """
    if pointer is None:
        return serving.version if serving is not None else 0
    return pointer.previous if tower.text_version else pointer.version


def announce(
    settings: Settings, records: Sequence[AdapterVersion | LivePointer], gone: Sequence[bytes] = ()
) -> None:
    """Write records of the topic, tombstones of `gone` keys and a line of audit for each record.

    Raises:
        KafkaError: it may or may not have been written; read the topic again.
    """
    topics = Topics(settings.prefix)
    producer = transactional_producer(settings, f"{settings.prefix}-trainer-{uuid.uuid4().hex}")
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for record in records:
            key, value = record_key(record), encode_adapter(record)
            producer.send(topics.adapters, key=key, value=value, partition=0)
            line = msgspec.json.encode(_audit(record))
            producer.send(topics.audit, key=record.scenario.encode(), value=line, partition=0)
            crash_point("announcing")
        for key in gone:
            producer.send(topics.adapters, key=key, value=None, partition=0)
        producer.commit_transaction()
        crash_point("announced")
    finally:
        producer.close(timeout=5)


def _audit(record: AdapterVersion | LivePointer) -> Audit:
    pointer = isinstance(record, LivePointer)
    return Audit(
        at=int(time.time() * 1000),
        kind="adapter",
        scenario=record.scenario,
        verdict="live" if isinstance(record, LivePointer) else record.state,
        offset=record.version,
        by=record.by,
        reason=record.reason,
        patch=None if pointer else {"version": record.version, **_figures(record)},
    )


def _figures(record: AdapterVersion | LivePointer) -> dict[str, Any]:
    if isinstance(record, LivePointer):
        return {}
    return {"kind": record.kind, "method": record.method, **record.metrics, **record.gate}


LOG = logging.getLogger(__name__)
_SOUND = frozenset({"promoted", "retired"})
