"""Verdicts on what producers and operators send to `items` and `policies`, each given exactly once.

The owner of clicks partition 0 gives them: an accepted policy goes to `internal.policies`, a
refused record to its dead letters, and both kinds of policy verdict to `audit`; an accepted one is
also kept as history, for good. All are written in
the worker's own transactions with `judged`, the next offset of each judged partition, so that
neither a crash nor a change of owner repeats or loses one. Knows no transaction.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from kafka import TopicPartition

from consumers.kafka_io.dead_letters import DeadLetter
from consumers.kafka_io.policy_history import history_key
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.transaction import Outgoing
from consumers.kafka_io.wire import AcceptedPolicy, encode_accepted_policy
from stream_rec.errors import InvalidPolicy, StreamRecError
from stream_rec.policy import parse_policy


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit: what was asked, by whom, and what became of it."""

    format: int = 1
    at: int
    kind: str
    scenario: str
    verdict: str
    offset: int
    by: str | None
    reason: str | None = None
    patch: dict[str, Any] | None = None


class Verdicts:
    """What is to be written with the next transaction; empty unless this worker owns them."""

    def __init__(
        self, topics: Topics, trial: Callable[[str, dict[str, Any]], None] = lambda *_: None
    ) -> None:
        """`trial` raises InvalidPolicy where a layer of a scenario cannot be worked with."""
        self._topics = topics
        self._trial = trial
        self.owned = False
        self.judged: dict[str, int] = {}
        self.letters: list[DeadLetter] = []
        self.records: list[Outgoing] = []

    def own(self, judged: Mapping[str, int]) -> None:
        """Start from where the last owner's transactions ended."""
        self.owned = True
        self.judged = dict(judged)
        self.settled()

    def disown(self) -> None:
        """Forget what was not written; the next owner reads it again."""
        self.owned = False
        self.judged = {}
        self.settled()

    def settled(self) -> None:
        """Forget what the transaction has written."""
        self.letters = []
        self.records = []

    @property
    def waiting(self) -> int:
        """How many verdicts are to be written."""
        return len(self.letters) + len(self.records)

    def looked_at(self, positions: Mapping[TopicPartition, int]) -> None:
        """Note how far the judged topics have been read."""
        for place, position in positions.items():
            name = f"{place.topic}-{place.partition}"
            self.judged[name] = max(position, self.judged.get(name, 0))

    def refuse(self, record: Any, error: StreamRecError) -> None:
        """Send a record to its dead letters, unless it has been judged or another worker judges."""
        if self.owned and record.offset >= self._next(record):
            self.letters.append(
                DeadLetter(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    key=record.key,
                    value=record.value,
                    headers=tuple(record.headers or ()),
                    stage=getattr(error, "stage", "validate"),
                    error=type(error).__name__,
                    reason=str(error),
                )
            )

    def take_policy(self, record: Any) -> None:
        """Accept or refuse one record of `policies`."""
        if not self.owned or record.offset < self._next(record):
            return
        scenario = "?"
        try:
            scenario = _scenario(record.key)
            patch = None if record.value is None else parse_policy(record.value)
            if patch is not None:
                self._trial(scenario, patch)
        except InvalidPolicy as error:
            self.refuse(record, error)
            self._audit(record, scenario, verdict="refused", reason=str(error))
            return
        accepted = AcceptedPolicy(offset=record.offset, patch=patch, accepted_at=_now_ms())
        self.records.append(
            Outgoing(
                topic=self._topics.accepted_policies,
                partition=0,
                key=record.key,
                value=encode_accepted_policy(accepted),
            )
        )
        line = self._audit(record, scenario, verdict="accepted", patch=patch)
        key = history_key(scenario, record.offset)
        self.records.append(
            Outgoing(topic=self._topics.accepted_policies, partition=0, key=key, value=line)
        )

    def _next(self, record: Any) -> int:
        return self.judged.get(f"{record.topic}-{record.partition}", 0)

    def _audit(self, record: Any, scenario: str, *, verdict: str, **fields: Any) -> bytes:
        """Note a verdict in the audit, and return the line."""
        by = dict(record.headers or ()).get(BY_HEADER)
        line = Audit(
            at=_now_ms(),
            kind="policy",
            scenario=scenario,
            verdict=verdict,
            offset=record.offset,
            by=None if by is None else by.decode("utf-8", "replace")[:200],
            **fields,
        )
        value = msgspec.json.encode(line)
        key = scenario.encode("utf-8", "replace")
        self.records.append(Outgoing(topic=self._topics.audit, partition=0, key=key, value=value))
        return value


def _scenario(key: bytes | None) -> str:
    """Return the scenario that a policy's key names.

    Raises:
        InvalidPolicy: it names none.
    """
    try:
        scenario = (key or b"").decode()
    except UnicodeDecodeError as error:
        msg = "the key is not UTF-8"
        raise InvalidPolicy(msg) from error
    if not 0 < len(scenario) <= MAX_SCENARIO or "/" in scenario:
        msg = f"the key must be a scenario of 1 to {MAX_SCENARIO} characters without '/'"
        raise InvalidPolicy(msg)
    return scenario


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


BY_HEADER = "stream_rec.by"
MAX_SCENARIO = 128
