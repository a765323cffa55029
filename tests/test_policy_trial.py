import msgspec
import pytest

from stream_rec.errors import InvalidPolicy
from stream_rec.policy_trial import try_policy
from stream_rec.replica import Replica
from tests.ranking.shop import NOW_MS, busy_shop

PINNED = {"rules": [{"do": "pin", "rank": 1, "item_id": "kettle-1"}], "list": {"diversity": 0.5}}


class Cracked(Replica):
    """A replica that lists of one scenario cannot be made from."""

    def served(self, scenario: str) -> Replica:
        """Return itself, but for the cracked scenario."""
        if scenario == "cracked":
            message = "it is cracked"
            raise RuntimeError(message)
        return self


@pytest.mark.parametrize("scenario", ["*", "default", "another"])
def test_a_policy_that_lists_can_be_made_under_passes_and_changes_nothing(scenario: str) -> None:
    replica = busy_shop()
    try_policy(replica, scenario, PINNED, now_ms=NOW_MS)
    assert replica.policies.layers() == {}
    assert replica.scenarios == {"default"}
    assert len(msgspec.json.encode(replica.policies.effective("default").policy.rules)) == 2


def test_a_policy_that_no_list_can_be_made_under_is_refused_with_the_cause() -> None:
    replica = Cracked()
    try_policy(replica, "default", PINNED, now_ms=NOW_MS)
    with pytest.raises(InvalidPolicy, match=r"no list can be made.*RuntimeError: it is cracked"):
        try_policy(replica, "cracked", PINNED, now_ms=NOW_MS)


def test_the_layers_below_count() -> None:
    replica = busy_shop()
    replica.put_policy("*", 3, {"rules": [{"do": "block", "where": {"category": "goods"}}]})
    try_policy(replica, "default", {"list": {"size": 3}}, now_ms=NOW_MS)
    with pytest.raises(InvalidPolicy):
        try_policy(replica, "default", {"list": {"size": 0}}, now_ms=NOW_MS)
