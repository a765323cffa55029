"""Turn users whose lists are due into published lists: rank, number, date, name their sources.

Knows profiles, the replica and how lists are ranked; not why a list is due.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from stream_rec.item_hash import item_hash
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Listing, Profile
from stream_rec.ranking.rank import Ranked, rank
from stream_rec.ranking.rules import rules_time
from stream_rec.ranking.scoring import Request
from stream_rec.replica import Replica
from stream_rec.toplist import DEFAULT_USER, Lineage, TopList


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One list to make: the profile as it stands after all that was folded, and the scenario."""

    partition: int
    profile: Profile
    scenario: str


@dataclass(slots=True, kw_only=True)
class Published:
    """Lists with their partitions, and the profiles that now know of them."""

    lists: list[tuple[int, TopList]]
    profiles: dict[tuple[int, str], Profile]


def publish(
    replica: Replica,
    due: Sequence[Due],
    ledgers: Mapping[int, Ledger],
    *,
    now_ms: int,
    rng: np.random.Generator,
) -> Published:
    """Rank every due list in one batch; a user may be due in several scenarios.

    `now_ms` dates the lists; ages of events are read on the stream's own clock, rules on that of
    the wall unless an old log is replayed.
    """
    result = Published(lists=[], profiles={})
    if not due:
        return result
    requests = [_request(replica, entry) for entry in due]
    ranked = _ranked(replica, requests, now_ms=now_ms, rng=rng)
    for entry, (made, adapter_version, encoded_items) in zip(due, ranked, strict=True):
        place = (entry.partition, entry.profile.user_id)
        profile = result.profiles.get(place, entry.profile)
        old = profile.lists.get(entry.scenario)
        version = (old.version if old else profile.version_floor) + 1
        ledger = ledgers.get(entry.partition, Ledger())
        effective = replica.policies.effective(entry.scenario)
        lineage = Lineage(
            last_event_id=profile.last_event_id,
            events_applied=profile.events_applied,
            offsets={
                topic: (entry.partition, after - 1)
                for topic, after in ledger.next_offsets.items()
                if after > 0  # a topic of which nothing was read yet has no last record
            },
            adapter_version=adapter_version,
            policy_version=effective.version,
            catalogue_items=replica.catalogue.count,
            encoded_items=encoded_items,
        )
        life_ms = 1000 * effective.policy.toplist.expires_s
        toplist = _toplist(entry, made, version, (now_ms, life_ms), lineage)
        replica.exploration.published(toplist.recommendation_id, made.arms)
        result.lists.append((entry.partition, toplist))
        lists = profile.lists | {entry.scenario: Listing(version, now_ms)}
        result.profiles[place] = msgspec.structs.replace(profile, lists=lists)
    return result


def _ranked(
    replica: Replica, requests: Sequence[Request], *, now_ms: int, rng: np.random.Generator
) -> list[tuple[Ranked, int, int]]:
    """Return each list with the one adapter version that made it, and the items encoded there."""
    clock = replica.statistics.newest_ms or now_ms
    ruled_ms = rules_time(clock, now_ms)
    found: dict[int, tuple[Ranked, int, int]] = {}
    for served, places in replica.groups([request.scenario for request in requests]):
        theirs = [requests[place] for place in places]
        made = rank(served, theirs, now_ms=clock, rng=rng, ruled_ms=ruled_ms)
        source = (served.adapter_version, served.encoded_items())
        found |= {place: (one, *source) for place, one in zip(places, made, strict=True)}
    return [found[place] for place in range(len(requests))]


def _request(replica: Replica, due: Due) -> Request:
    policy = replica.policies.effective(due.scenario).policy
    nobody = due.profile.user_id == DEFAULT_USER
    return Request(profile=None if nobody else due.profile, scenario=due.scenario, policy=policy)


def _toplist(
    due: Due, made: Ranked, version: int, lives: tuple[int, int], lineage: Lineage
) -> TopList:
    """Return the list; `lives` is when it was made, and how long it is good for, both in ms."""
    now_ms, life_ms = lives
    name = f"{due.scenario}/{due.profile.user_id}/{version}"
    return TopList(
        recommendation_id=f"{item_hash(name):016x}",
        user_id=due.profile.user_id,
        scenario=due.scenario,
        version=version,
        generated_at=now_ms,
        expires_at=now_ms + life_ms,
        tier=made.tier,
        items=made.items,
        lineage=lineage,
    )
