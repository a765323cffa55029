"""Teach the re-ranker from what a batch's users took: a uniform sample, bounded.

Knows profiles as they were before the batch; not how they are folded.
"""

from collections.abc import Sequence

import numpy as np

from stream_rec.events import Event
from stream_rec.policy import Policy
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.scoring import Example, learn
from stream_rec.replica import Replica

Taught = tuple[Profile | None, Event, Policy]
"""A consuming event, its user's profile before it, and the policy of its scenario."""


def teach(
    replica: Replica,
    taught: Sequence[Taught],
    *,
    most: int,
    rng: np.random.Generator,
    now_ms: int,
) -> int:
    """Learn from at most `most` events, each scenario by what serves it; return from how many."""
    if len(taught) > most:
        chosen = rng.choice(len(taught), most, replace=False)
        taught = [taught[place] for place in sorted(chosen.tolist())]
    examples = [
        Example(
            profile=profile,
            scenario=event.scenario,
            policy=policy,
            item_id=event.item_id,
            timestamp=event.timestamp,
        )
        for profile, event, policy in taught
    ]
    now_ms = replica.statistics.newest_ms or now_ms
    for served, places in replica.groups([example.scenario for example in examples]):
        learn(served, [examples[place] for place in places], now_ms=now_ms)
    return len(taught)
