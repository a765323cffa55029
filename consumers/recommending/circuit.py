"""When to stop reading a topic whose records cannot be used, and when to try again.

    closed      records are read; when in the last minute more than a share of them were bad, and
                bad enough of them, the circuit opens
    open        the topic is not read, so a broken deploy stays in its topic instead of being
                drained into the dead letters; after a while it is tried
    half-open   a small batch is read; it closes the circuit, or opens it for another while

What is bad is in the dead letters, with its reason; nothing is skipped. A policy that tolerates the
share closes it at once. Which topics are paused is kept in a file, so that a restart begins half
open, not with another minute of bad records. Knows counts and a clock, no Kafka and no record.
"""

import json
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stream_rec.policy import IntakePolicy
from stream_rec.step import Outcome

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class _Second:
    at: int
    records: int = 0
    bad: int = 0


class Circuit:
    """The circuit of one topic; times are seconds of any clock that only goes forward."""

    def __init__(self, *, paused: bool = False) -> None:
        self.state: State = "half_open" if paused else "closed"
        self.why = "paused before the restart" if paused else ""
        self._share = 0.0
        self._until = 0.0
        self._seconds: deque[_Second] = deque()
        self._probed = _Second(0)
        self._tried_since: float | None = None

    def count(self, records: int, bad: int, *, now: float) -> None:
        """Take what a batch came to."""
        if self.state == "half_open":
            self._probed.records += records
            self._probed.bad += bad
        if not self._seconds or self._seconds[-1].at != int(now):
            self._seconds.append(_Second(int(now)))
        self._seconds[-1].records += records
        self._seconds[-1].bad += bad

    def judge(self, policy: IntakePolicy, *, now: float) -> State:
        """Return the state that counts, time and policy make."""
        if self.state == "closed":
            self._judge_minute(policy, now)
        elif self._share <= policy.most_bad_share and self._share:
            self._close("the policy takes this share")
        elif self.state == "open" and now >= self._until:
            self.state, self._probed, self._tried_since = "half_open", _Second(int(now)), now
        elif self.state == "half_open":
            if self._tried_since is None:
                self._tried_since = now
            waited = now - self._tried_since >= policy.probe_s
            if waited or self._probed.records >= PROBE_RECORDS:
                self._judge_probe(policy, now)
        return self.state

    def retry_in(self, *, now: float) -> float:
        """Return the seconds until the topic is tried, 0 unless it is paused."""
        return max(0.0, self._until - now) if self.state == "open" else 0.0

    def _judge_minute(self, policy: IntakePolicy, now: float) -> None:
        while self._seconds and self._seconds[0].at <= now - MINUTE_S:
            self._seconds.popleft()
        records = sum(second.records for second in self._seconds)
        bad = sum(second.bad for second in self._seconds)
        if bad >= policy.least_bad and bad > policy.most_bad_share * records:
            self._open(records, bad, policy, now, f"in the last {MINUTE_S:.0f} s")

    def _judge_probe(self, policy: IntakePolicy, now: float) -> None:
        records, bad = self._probed.records, self._probed.bad
        if bad > policy.most_bad_share * records:
            self._open(records, bad, policy, now, "read to try it")
        else:
            self._close(f"{records - bad} of {records} records read to try it are good")

    def _open(self, records: int, bad: int, policy: IntakePolicy, now: float, when: str) -> None:
        self.state = "open"
        self.why = f"{bad} of {records} records {when} could not be used"
        self._share = bad / records
        self._until = now + policy.probe_s

    def _close(self, why: str) -> None:
        self.state, self.why, self._share = "closed", why, 0.0
        self._seconds.clear()


class Circuits:
    """The circuits of all topics that one worker reads, by topic; `file` outlives the process."""

    def __init__(self, topics: Iterable[str], file: Path) -> None:
        self._file = file
        before = _read(file)
        self._circuits = {topic: Circuit(paused=topic in before) for topic in topics}
        self._kept = {topic for topic in self._circuits if topic in before}

    def count(self, outcomes: Mapping[tuple[str, Outcome], int], *, now: float) -> None:
        """Take the outcomes of a batch by topic and outcome."""
        sums: dict[str, list[int]] = {}
        for (topic, outcome), count in outcomes.items():
            both = sums.setdefault(topic, [0, 0])
            both[0] += count
            both[1] += count if outcome == "dead_lettered" else 0
        for topic, (records, bad) in sums.items():
            if topic in self._circuits:
                self._circuits[topic].count(records, bad, now=now)

    def judge(self, policy: IntakePolicy, *, now: float) -> frozenset[str]:
        """Return the topics that are not to be read now; a change of any is said and kept."""
        paused = set()
        for topic, circuit in self._circuits.items():
            before = circuit.state
            if circuit.judge(policy, now=now) == "open":
                paused.add(topic)
            if circuit.state != before:
                _say(topic, circuit, before, policy)
        kept = {name for name, circuit in self._circuits.items() if circuit.state != "closed"}
        if kept != self._kept:
            self._kept = kept
            self._file.write_text(json.dumps(sorted(kept)), encoding="utf-8")
        return frozenset(paused)

    @property
    def trying(self) -> bool:
        """Whether a topic is being tried, so that batches are to be small."""
        return any(circuit.state == "half_open" for circuit in self._circuits.values())

    def reasons(self, *, now: float) -> str:
        """Return what is paused and why, in words; empty when nothing is."""
        told = [
            f"{topic}: {circuit.why}; tried "
            + (f"in {wait:.0f} s" if (wait := circuit.retry_in(now=now)) else "now")
            for topic, circuit in self._circuits.items()
            if circuit.state != "closed"
        ]
        return " · ".join(told)

    def states(self) -> dict[str, State]:
        """Return the state of each topic."""
        return {topic: circuit.state for topic, circuit in self._circuits.items()}


def _say(topic: str, circuit: Circuit, before: State, policy: IntakePolicy) -> None:
    if circuit.state == "open":
        LOG.error(
            "%s is PAUSED: %s; nothing is lost, it is tried again in %.0f s, or read at once when "
            "intake.most_bad_share of the policy of * is raised",
            topic, circuit.why, policy.probe_s,
        )  # fmt: skip
    elif circuit.state == "closed":
        LOG.warning("%s is read again: %s", topic, circuit.why)
    elif before == "open":
        LOG.info("%s is tried with %d records", topic, PROBE_RECORDS)


def _read(file: Path) -> set[str]:
    with suppress(OSError, ValueError, TypeError):
        return set(json.loads(file.read_text(encoding="utf-8")))
    return set()


LOG = logging.getLogger(__name__)
MINUTE_S = 60.0
PROBE_RECORDS = 32
