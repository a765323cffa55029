"""Lists that have become wrong, made again soon: what a rule, a withdrawal or an end forbids.

Looked at once a second. Lists known to show what is forbidden come first, then all that are older
than the change, at the pace of `spare_lists.py`. Knows the newest lists only as far as `Exposure`
remembers them.
"""

from collections.abc import Callable

from consumers.recommending.spare_time import SpareTime
from stream_rec.exposure import Exposure
from stream_rec.ranking.forbidden import Forbidden, wrong_since
from stream_rec.replica import Replica
from stream_rec.staleness import Place
from stream_rec.toplist import DEFAULT_USER


class Sweeps:
    """What one worker looks out for; used by the loop's thread alone."""

    def __init__(
        self,
        replica: Replica,
        spare: SpareTime,
        exposure: Exposure,
        partition_of: Callable[[str], int],
    ) -> None:
        self._replica = replica
        self._spare = spare
        self._exposure = exposure
        self._partition_of = partition_of
        self._forbidden = Forbidden()

    def start(self, wrong_since_ms: int, now_ms: int, *, named_ms: int) -> None:
        """Sweep what became wrong while nobody looked.

        `wrong_since_ms` is when the newest policy was accepted or an item withdrawn, `named_ms`
        when one was named or changed.
        """
        replica = self._replica
        ruled_ms = wrong_since(
            replica, replica.policies, sorted(replica.scenarios), named_ms=named_ms, now_ms=now_ms
        )
        since_ms = min(now_ms, max(wrong_since_ms, ruled_ms))  # a producer's clock may be ahead
        self._spare.changed(sweep_ms=since_ms)
        self.look(now_ms)

    def look(self, now_ms: int) -> None:
        """Sweep what has become wrong since the last look."""
        replica = self._replica
        changes = self._forbidden.look(
            replica, replica.policies, sorted(replica.scenarios), now_ms=now_ms
        )
        for change in changes:
            places = [
                Place(self._partition_of(user_id), user_id, change.scenario)
                for user_id in self._exposure.who_sees(change.rows, change.scenario)
                if user_id != DEFAULT_USER
            ]
            self._spare.wrong(places, now_ms)
        if changes:
            self._spare.changed(sweep_ms=now_ms)
