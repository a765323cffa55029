"""One round of learning: all that it needs, and how it ended. Knows no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consumers.training.due import Begun, Due
from consumers.training.latest import Latest
from consumers.training.texts import Texts
from stream_rec.adapters.life import AdapterVersion
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.policy import AdapterPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One round and all it needs; `start` is what learning goes on from, `champion` what serves.

    `scenarios` holds the histories of others that share the adapter; `latest` gives an adapter
    what has come since it began.
    """

    due: Due
    version: int
    policy: AdapterPolicy
    texts: Texts  # with the vectors under the text version of `start`
    histories: Mapping[str, Sequence[Feedback]]
    start: AdapterVersion | None
    champion: AdapterVersion | None
    begun: Begun
    scenarios: Mapping[str, Mapping[str, Sequence[Feedback]]] = field(default_factory=dict)
    latest: Latest | None = None

    @property
    def pupils(self) -> set[str]:
        """Everybody who teaches; a scenario's buffer remembers some that `default` forgot."""
        return {user for own in (self.histories, *self.scenarios.values()) for user in own}

    @property
    def versions(self) -> set[int]:
        """Return the versions that a round makes and reads."""
        read = {record.version for record in (self.start, self.champion) if record is not None}
        return {self.version, *read}

    @property
    def text_version(self) -> int:
        """Whose adapter reads the texts of what the round makes."""
        if self.due.kind == "adapter":
            return self.version
        return self.start.text_version if self.start else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a round ended: a record in state `shadow` or `refused`, or None where it failed."""

    record: AdapterVersion | None
    reason: str
    seconds: float
