"""`stream-rec adapter …`: read the life of adapters, move the pointer, and say who did.

Promotions and rollbacks are written here, version first and pointer last, and take effect when the
recommenders have read them; the audit says who asked. Knows the `adapters` topic, no vectors.
"""

import getpass
import json
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from kafka.errors import KafkaError
from rich.table import Table

from consumers import terminal
from consumers.kafka_io.access import denied
from consumers.kafka_io.clients import plain_producer
from consumers.kafka_io.topic_reading import newest, partitions_of, reader
from consumers.kafka_io.topics import Topics
from consumers.recommending.verdicts import Audit
from consumers.settings import Settings
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.adapters.life import (
    AdapterVersion,
    LivePointer,
    decode_adapter,
    encode_adapter,
    record_key,
)
from stream_rec.adapters.turns import Known, Records, Turn, promotion, rollback
from stream_rec.errors import BrokerUnavailable, ConfigurationError, StateRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an operator asks for beside the version; `by` names them, else who runs this."""

    reason: str = ""
    force: bool = False
    by: str | None = None


def known(settings: Settings) -> Known:
    """Read what the topic says now.

    Raises:
        BrokerUnavailable: nobody answers.
        ConfigurationError: there is no such installation.
    """
    topic = Topics(settings.prefix).adapters
    versions: dict[int, AdapterVersion] = {}
    pointers: dict[str, LivePointer] = {}
    with reader(settings) as consumer:
        for key, record in newest(consumer, topic, partitions_of(consumer, topic)).items():
            try:
                found = decode_adapter(key, record.value or b"")
            except StateRejected as error:
                terminal.say(f"skipped: {error}")
                continue
            if isinstance(found, LivePointer):
                pointers[found.scenario] = found
            else:
                versions[found.version] = found
    return Known(versions=versions, pointers=pointers)


def show_all(settings: Settings, scenario: str | None = None, *, as_json: bool = False) -> None:
    """Print what serves each scenario, and every version, oldest first."""
    found = known(settings)
    live = [p for name, p in sorted(found.pointers.items()) if scenario in (None, name)]
    versions = [
        record
        for _, record in sorted(found.versions.items())
        if scenario in (None, record.scenario)
    ]
    if as_json:
        _print_json({"live": live, "versions": versions})
        return
    if not versions and not live:
        terminal.results.print("no adapter yet: the frozen language model serves", highlight=False)
        return
    serving = {pointer.version: pointer.scenario for pointer in live}
    table = Table("version", "scenario", "state", "kind", "changed", "evidence", "why", box=None)
    for record in versions:
        mark = "*" if record.version in serving else ""
        table.add_row(
            f"{record.version}{mark}",
            record.scenario,
            record.state,
            record.kind,
            _when(record.changed_at),
            _evidence(record),
            record.reason + (f" ({record.by})" if record.by else ""),
        )
    terminal.results.print(table)
    for pointer in live:
        what = f"version {pointer.version}" if pointer.version else "the frozen language model"
        line = f"{pointer.scenario}: {what} serves since {_when(pointer.changed_at)}"
        terminal.results.print(f"{line}; before it {pointer.previous}", highlight=False)


def on_record(settings: Settings, version: int) -> tuple[AdapterVersion, list[str]]:
    """Return all that is on record of one version, and the scenarios whose pointer names it.

    Raises:
        ConfigurationError: there is none.
    """
    found = known(settings)
    record = found.versions.get(version)
    if record is None:
        have = ", ".join(map(str, sorted(found.versions))) or "none"
        msg = f"there is no adapter version {version}; there are {have}"
        raise ConfigurationError(msg)
    return record, sorted(name for name, p in found.pointers.items() if p.version == version)


def show_one(settings: Settings, version: int, *, as_json: bool = False) -> None:
    """Print all that is on record of one version.

    Raises:
        ConfigurationError: there is none.
    """
    record, serving = on_record(settings, version)
    if as_json:
        _print_json({"version": record, "serving": serving})
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in msgspec.to_builtins(record).items():
        if name.endswith("_at"):
            value = _when(value)
        elif isinstance(value, dict):
            value = "\n".join(f"{key}: {_short(entry)}" for key, entry in value.items())
        table.add_row(name.replace("_", " "), str("" if value is None else value))
    table.add_row("serving", ", ".join(serving) or "no scenario")
    terminal.results.print(table)


def promote(settings: Settings, version: int, asked: Asked) -> Records:
    """Let a version serve its scenario; return what was written, the pointer last.

    Raises:
        ConfigurationError: there is no such version, it serves already, or it was refused and
            nobody forces it.
        CheckpointRejected: its bundle is missing, torn, foreign or not finite; no force helps.
        BrokerUnavailable: the records cannot be written.
    """
    found = known(settings)
    records = promotion(found, version, _turn(asked))
    record = found.versions[version]
    if record.state in {"refused", "rejected"} and not asked.force:
        why = record.reason or "the gate"
        msg = f"version {version} is {record.state} ({why}); --force promotes it all the same"
        raise ConfigurationError(msg)
    read_checkpoint(
        settings.checkpoint_root,
        record.scenario,
        version,
        base_model_hash=record.base_model_hash,
    )
    _write(settings, records, "promoted", version)
    return records


def roll_back(settings: Settings, scenario: str, asked: Asked) -> Records:
    """Let the version before serve a scenario again; return what was written, the pointer last.

    Raises:
        ConfigurationError: no adapter of its own serves the scenario.
        BrokerUnavailable: the records cannot be written.
    """
    found = known(settings)
    records = rollback(found, scenario, _turn(asked))
    _write(settings, records, "rolled_back", found.pointers[scenario].version)
    return records


def tell(records: Records, *, as_json: bool) -> None:
    """Print what serves now, after a promotion or a rollback."""
    if as_json:
        _print_json(turned(records))
        return
    pointer = records[-1]
    gone = [r for r in records[:-1] if isinstance(r, AdapterVersion) and r.state == "rolled_back"]
    what = f"version {pointer.version}" if pointer.version else "the frozen language model"
    back = f" again, {gone[0].version} is rolled back" if gone else ""
    terminal.results.print(f"{what} serves {pointer.scenario}{back}", highlight=False)


def turned(records: Records) -> dict[str, Any]:
    """Return what a promotion or a rollback wrote, as its JSON."""
    return {"live": records[-1], "versions": records[:-1]}


def _write(settings: Settings, records: Records, verdict: str, version: int) -> None:
    """Write the records in their order, then the audit; the producer is idempotent.

    Raises:
        BrokerUnavailable: they cannot be written.
    """
    topics, last = Topics(settings.prefix), records[-1]
    line = Audit(
        at=last.changed_at,
        kind="adapter",
        scenario=last.scenario,
        verdict=verdict,
        offset=version,
        by=last.by,
        reason=last.reason,
    )
    sent = [(topics.adapters, record_key(record), encode_adapter(record)) for record in records]
    sent.append((topics.audit, last.scenario.encode(), msgspec.json.encode(line)))
    try:
        producer = plain_producer(settings)
        for topic, key, value in sent:
            producer.send(topic, key=key, value=value, partition=0).get(timeout=WRITE_S)
        producer.close(timeout=5)
    except KafkaError as error:
        if (refused := denied(error, settings, "operator")) is not None:
            raise refused from error
        msg = f"cannot write to {topics.adapters}: {error}"
        raise BrokerUnavailable(msg) from error


def _turn(asked: Asked) -> Turn:
    now_ms = time.time_ns() // 1_000_000
    by = asked.by or f"{_user()}@{platform.node()}"
    return Turn(now_ms=now_ms, reason=asked.reason or "asked by an operator", by=by)


def _evidence(record: AdapterVersion) -> str:
    if "events" in record.shadow:
        return f"{record.shadow['events']} events, mean {record.shadow.get('mean', 0.0):+.4f}"
    return ", ".join(f"{name} {_short(value)}" for name, value in list(record.gate.items())[:2])


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _print_json(value: Any) -> None:
    terminal.results.print_json(json.dumps(msgspec.to_builtins(value)))


def _user() -> str:
    with suppress(Exception):  # a container may run as a number without a name
        return getpass.getuser()
    return "unknown"


WRITE_S = 30.0
