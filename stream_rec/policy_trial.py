"""Make one list under a policy before it is accepted, and throw the list away.

Bounds refuse what somebody thought of. A policy that no list can be made under for any reason
nobody thought of would stop every worker, each time it starts again. Knows no topic, changes
nothing.
"""

from typing import Any

import msgspec
import numpy as np

from stream_rec.errors import InvalidPolicy
from stream_rec.policy import Policies
from stream_rec.ranking.rank import rank
from stream_rec.ranking.rules import rules_time
from stream_rec.ranking.scoring import Request
from stream_rec.replica import Replica


def try_policy(replica: Replica, scenario: str, patch: dict[str, Any], *, now_ms: int) -> None:
    """Make the list of users never seen as it would be with one more layer.

    `scenario` may be `*`, all of them: then the list is that of `default`.

    Raises:
        InvalidPolicy: the layers do not fit together, or no list can be made under them.
    """
    policies = Policies()
    for name, (layer, offset) in replica.policies.layers().items():
        policies.put(name, offset, layer)
    policies.put(scenario, 0, patch)
    name = "default" if scenario == "*" else scenario
    request = Request(profile=None, scenario=name, policy=policies.effective(name).policy)
    clock = replica.statistics.newest_ms or now_ms
    try:
        (made,) = rank(
            replica.served(name),
            [request],
            now_ms=clock,
            rng=np.random.default_rng(0),
            ruled_ms=rules_time(clock, now_ms),
        )
        msgspec.json.encode(made.items)
    except Exception as error:
        message = f"no list can be made under it: {type(error).__name__}: {error}"
        raise InvalidPolicy(message) from error
