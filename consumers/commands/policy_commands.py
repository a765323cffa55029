"""`stream-rec policy …`: read, set, compare and roll back what operators steer.

A policy is checked here first, so that a mistake costs nothing, then published; the engine alone
decides, and its verdict is waited for. Knows the topics of policies, not what a policy does.
"""

import getpass
import json
import platform
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path
from typing import Any

import msgspec
from kafka.errors import KafkaError
from rich.table import Table

from consumers import terminal
from consumers.kafka_io.access import denied
from consumers.kafka_io.clients import plain_producer
from consumers.kafka_io.policy_history import is_history
from consumers.kafka_io.topic_reading import newest, partitions_of, read, reader
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import TORN, decode_accepted_policy
from consumers.recommending.verdicts import BY_HEADER, Audit
from consumers.settings import Settings
from stream_rec.errors import BrokerUnavailable, ConfigurationError, InvalidPolicy, StreamRecError
from stream_rec.policy import EffectivePolicy, Policies, parse_policy


class VerdictMissing(StreamRecError):
    """Nobody said in time whether a policy was accepted."""


def get(settings: Settings, scenario: str, *, layers: bool = False) -> None:
    """Print the effective policy of a scenario, or the layers it is made of, as JSON.

    Raises:
        BrokerUnavailable: nobody answers.
        ConfigurationError: there is no such installation.
    """
    policies = accepted(settings)
    if layers:
        written = policies.layers()
        found = {
            name: {"version": written[name][1], "policy": written[name][0]}
            for name in dict.fromkeys(("*", scenario))
            if name in written
        }
        _print_json(found)
        return
    _print_json(shown(policies.effective(scenario)))


def put(settings: Settings, scenario: str, source: str) -> None:
    """Check and publish a layer, wait for the verdict and say it; `null` takes the layer away.

    Raises:
        InvalidPolicy: it was refused, here or by the engine.
        ConfigurationError: the source cannot be read, or the scenario is no name.
        VerdictMissing: no recommender judged it in time.
    """
    patch = _read_source(source)
    check_scenario(scenario)
    if patch is not None:
        parse_policy(patch)
    _publish_and_tell(settings, scenario, patch)


def diff(settings: Settings, scenario: str, source: str) -> None:
    """Print what a layer would change in the effective policy, without setting it.

    Raises:
        InvalidPolicy: the layer is not valid.
    """
    patch = _read_source(source)
    check_scenario(scenario)
    policies = accepted(settings)
    before = policies.effective(scenario)
    policies.put(scenario, before.version, None if patch is None else parse_policy(patch))
    old, new = _lines(before), _lines(policies.effective(scenario))
    lines = list(unified_diff(old, new, fromfile="in force", tofile="with this layer"))
    terminal.results.print(
        "".join(lines) if lines else "no difference", markup=False, highlight=False
    )


def history(settings: Settings, scenario: str | None, *, as_json: bool = False) -> None:
    """Print who asked for which policy, when, and what became of it, newest last."""
    lines = [line for line in audited(settings) if scenario in (None, line.scenario)]
    if as_json:
        _print_json([msgspec.to_builtins(line) for line in lines])
        return
    table = Table("version", "scenario", "when", "who", "verdict", "layer or reason", box=None)
    for line in lines:
        what = line.reason or json.dumps(line.patch)
        when = datetime.fromtimestamp(line.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(line.offset), line.scenario, when, line.by or "", line.verdict, what)
    terminal.results.print(table)


def rollback(settings: Settings, scenario: str, version: int | None) -> None:
    """Publish an earlier accepted layer of a scenario again: the one before, or a given version.

    Raises:
        ConfigurationError: there is no such version, or none before.
    """
    check_scenario(scenario)
    _publish_and_tell(settings, scenario, earlier(settings, scenario, version))


def earlier(settings: Settings, scenario: str, version: int | None) -> bytes | None:
    """Return a layer that was accepted before: the one before the newest, or a given version.

    Raises:
        ConfigurationError: there is no such version, or none before.
    """
    taken = [
        line for line in audited(settings) if line.scenario == scenario and line.verdict == ACCEPTED
    ]
    if version is None:
        if not taken:
            msg = f"scenario {scenario!r} never had a layer of its own"
            raise ConfigurationError(msg)
        patch = taken[-2].patch if len(taken) > 1 else None
    else:
        chosen = next((line for line in taken if line.offset == version), None)
        if chosen is None:
            msg = f"scenario {scenario!r} has no accepted version {version}"
            raise ConfigurationError(msg)
        patch = chosen.patch
    return None if patch is None else json.dumps(patch).encode()


def accepted(settings: Settings) -> Policies:
    """Return the policies in force."""
    topic = Topics(settings.prefix).accepted_policies
    policies = Policies()
    with reader(settings) as consumer:
        for key, record in newest(consumer, topic, partitions_of(consumer, topic)).items():
            if is_history(key):
                continue
            layer = decode_accepted_policy(record.value or b"")
            policies.put(key.decode(), layer.offset, layer.patch)
    return policies


def audited(settings: Settings) -> list[Audit]:
    """Return every accepted policy there ever was, and the refusals still in the audit, in order.

    What is in force has a key that compaction empties; history has keys of its own. The audit
    tells of refusals, and of policies accepted before history was kept.
    """
    topics = Topics(settings.prefix)
    found: dict[int, Audit] = {}
    with reader(settings) as consumer:
        for topic in (topics.audit, topics.accepted_policies):
            for record in read(consumer, topic, partitions_of(consumer, topic)):
                if topic == topics.audit or is_history(record.key):
                    line = audit_line(record.value)
                    if line is not None and line.kind == "policy":
                        found[line.offset] = line
    return [found[offset] for offset in sorted(found)]


def _publish_and_tell(settings: Settings, scenario: str, patch: bytes | None) -> None:
    verdict = publish(settings, scenario, patch)
    if verdict.verdict != ACCEPTED:
        msg = f"refused by the engine: {verdict.reason}"
        raise InvalidPolicy(msg)
    done = "is withdrawn" if patch is None else "is in force"
    terminal.results.print(f"accepted: version {verdict.offset} {done} for {scenario}")


def publish(
    settings: Settings, scenario: str, patch: bytes | None, *, by: str | None = None
) -> Audit:
    """Publish a layer as it is, in the name of `by` or of who runs this, and return the verdict.

    Raises:
        BrokerUnavailable: the record cannot be written.
        VerdictMissing: no recommender judged it within `VERDICT_S`.
    """
    topics = Topics(settings.prefix)
    with reader(settings) as consumer:
        partitions_of(consumer, topics.policies)
        who = f"{by or _user()}@{platform.node()}".encode()
        try:
            producer = plain_producer(settings)
            sent = producer.send(
                topics.policies,
                key=scenario.encode(),
                value=patch,
                partition=0,
                headers=[(BY_HEADER, who)],
            )
            offset = sent.get(timeout=WRITE_S).offset
            producer.close(timeout=5)
        except KafkaError as error:
            msg = f"cannot write to {topics.policies}: {error}"
            raise denied(error, settings, "operator") or BrokerUnavailable(msg) from error
        until, start = time.monotonic() + VERDICT_S, 0
        while time.monotonic() < until:
            for record in read(consumer, topics.audit, [0], start=start):
                start = record.offset + 1
                line = audit_line(record.value)
                if line is not None and line.kind == "policy" and line.offset == offset:
                    return line
            time.sleep(0.05)
    msg = (
        f"published as version {offset}, but no recommender judged it within {VERDICT_S:.0f} s: "
        "is one running on this prefix? It will be judged when one does"
    )
    raise VerdictMissing(msg)


def audit_line(value: bytes | None) -> Audit | None:
    """Read a line of the audit; None where it is torn, or of a later version."""
    with suppress(*TORN):
        return msgspec.json.decode(value or b"", type=Audit)
    return None


def _read_source(source: str) -> bytes | None:
    if source == "-":
        text = sys.stdin.read()
    elif source.lstrip().startswith("{") or source.strip() == "null":
        text = source
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{source}: neither JSON nor a file that can be read ({error})"
            raise ConfigurationError(msg) from error
    return None if text.strip() == "null" else text.encode()


def check_scenario(scenario: str) -> None:
    """Return when it can be the name of a scenario.

    Raises:
        ConfigurationError: it cannot.
    """
    if not 0 < len(scenario) <= 128 or "/" in scenario:
        msg = f"{scenario!r} is no scenario: 1 to 128 characters without '/'"
        raise ConfigurationError(msg)


def shown(effective: EffectivePolicy) -> dict[str, Any]:
    """Return an effective policy as `policy get` prints it."""
    return {"version": effective.version, "policy": msgspec.to_builtins(effective.policy)}


def _lines(effective: EffectivePolicy) -> list[str]:
    text = json.dumps(shown(effective)["policy"], indent=2, sort_keys=True)
    return [f"{line}\n" for line in text.splitlines()]


def _print_json(value: object) -> None:
    terminal.results.print_json(json.dumps(value))


def _user() -> str:
    with suppress(Exception):  # a container may run as a number without a name
        return getpass.getuser()
    return "unknown"


ACCEPTED = "accepted"
VERDICT_S = 30.0
WRITE_S = 30.0
