"""A published list: what consumers of the recommendations topic read.

Knows the contract's output fields; not how a list comes about.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

# The pseudo-user whose list serves everyone never seen; kept in partition 0.
DEFAULT_USER = "*"
Tier = Literal["adapted", "lm", "statistics", "popular"]


class Reason(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why an item stands in a list: the kind, its words, and the user's own items behind it."""

    kind: str
    text: str
    evidence: tuple[str, ...] = ()


class ListedItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One place of a list; `sources` are the experts' shares in it and sum to about 1."""

    item_id: str
    rank: int
    score: float
    sources: dict[str, float]
    explored: bool = False
    propensity: float = 1.0
    reason: Reason


class Lineage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a list was made from; `offsets` maps a topic to its [partition, offset] last folded."""

    last_event_id: str | None
    events_applied: int
    offsets: dict[str, tuple[int, int]]
    adapter_version: int
    policy_version: int
    catalogue_items: int
    encoded_items: int


class TopList(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The newest list of one user in one scenario; `version` strictly increases per key.

    From `expires_at` on readers show the list of `*` instead; lists of older versions lack it.
    """

    recommendation_id: str
    user_id: str
    scenario: str
    version: int
    generated_at: int
    expires_at: int | UnsetType = UNSET
    tier: Tier
    items: tuple[ListedItem, ...]
    lineage: Lineage

    @property
    def key(self) -> bytes:
        """The key of its record."""
        return f"{self.scenario}/{self.user_id}".encode()


def encode(toplist: TopList) -> bytes:
    """Return the list as JSON."""
    return _encoder.encode(toplist)


_encoder = msgspec.json.Encoder()
