import numpy as np
import pytest

from stream_rec.events import DAY_MS
from stream_rec.items import Item
from stream_rec.ranking.forbidden import Change, Forbidden, wrong_since
from stream_rec.ranking.rules import rules_time
from stream_rec.replica import Replica

NOW_MS = 1_763_790_285_000


@pytest.fixture
def replica() -> Replica:
    made = Replica()
    for number in range(6):
        published = NOW_MS - number * DAY_MS
        item = Item(item_id=f"i{number}", tags=("loud",) * (number == 4), published_at=published)
        made.put_item(item)
    made.statistics.newest_ms = NOW_MS
    return made


class Watch:
    def __init__(self, replica: Replica) -> None:
        self.replica, self.forbidden, self.version = replica, Forbidden(), 0
        assert self.look() == []

    def look(self, now_ms: int = NOW_MS) -> list[Change]:
        replica = self.replica
        return self.forbidden.look(replica, replica.policies, ["default"], now_ms=now_ms)

    def names(self, now_ms: int = NOW_MS) -> list[str]:
        return [self.replica.items.ids[row] for change in self.look(now_ms) for row in change.rows]

    def wrong_since(self, scenario: str = "default", named_ms: int = 0) -> int:
        replica = self.replica
        return wrong_since(replica, replica.policies, [scenario], named_ms=named_ms, now_ms=NOW_MS)

    def rule(self, *rules: dict[str, object]) -> None:
        self.version += 1
        self.replica.put_policy("default", self.version, {"rules": list(rules)})


@pytest.fixture
def watch(replica: Replica) -> Watch:
    return Watch(replica)


def test_a_withdrawn_or_sold_out_item_is_new_on_the_list_of_the_forbidden_once(
    watch: Watch,
) -> None:
    watch.replica.withdraw_item("i1")
    watch.replica.put_item(Item(item_id="i2", available=False))
    assert watch.names() == ["i1", "i2"]
    assert watch.names() == []


def test_an_item_that_comes_back_or_is_new_makes_no_list_wrong(watch: Watch) -> None:
    watch.replica.withdraw_item("i1")
    watch.look()
    watch.replica.put_item(Item(item_id="i1"))
    watch.replica.put_item(Item(item_id="brand new", available=False))
    assert watch.look() == []


def test_a_rule_forbids_and_its_end_does_not(watch: Watch) -> None:
    watch.rule({"do": "block", "where": {"tag": "loud"}})
    assert watch.names() == ["i4"]
    watch.rule()
    assert watch.look() == []


def test_an_item_that_changes_so_that_a_rule_means_it_is_found(watch: Watch) -> None:
    watch.rule({"do": "block", "where": {"tag": "loud"}})
    watch.look()
    watch.replica.put_item(Item(item_id="i0", tags=("loud",)))
    assert watch.names() == ["i0"]


def test_time_alone_forbids_what_grows_too_old(watch: Watch) -> None:
    watch.rule({"do": "block", "where": {"older_than_days": 3.5}})
    assert watch.names() == ["i4", "i5"]
    assert watch.names(NOW_MS + DAY_MS // 4) == []
    assert watch.names(NOW_MS + DAY_MS) == ["i3"]


def test_a_pin_makes_lists_wrong_when_it_comes_and_when_it_ends(watch: Watch) -> None:
    watch.rule({"do": "pin", "rank": 1, "item_id": "i3", "until": NOW_MS + 5_000})
    [came] = watch.look()
    assert (came.pins, came.rows.tolist()) == (True, [])
    assert watch.look(NOW_MS + 4_999) == []
    [ended] = watch.look(NOW_MS + 5_000)
    assert ended.pins
    assert watch.look(NOW_MS + 9_000) == []


def test_a_boost_makes_no_list_wrong(watch: Watch) -> None:
    watch.rule({"do": "boost", "factor": 2, "where": {"tag": "loud"}})
    assert watch.look() == []


def test_the_last_end_of_a_pin_is_known_after_a_restart(watch: Watch) -> None:
    ends = (NOW_MS - 9_000, NOW_MS - 2_000, NOW_MS + 9_000)
    watch.rule(
        *({"do": "pin", "rank": 1, "item_id": f"i{n}", "until": end} for n, end in enumerate(ends)),
        {"do": "pin", "rank": 5, "item_id": "i4"},
    )
    assert watch.wrong_since() == NOW_MS - 2_000
    assert watch.wrong_since("elsewhere") == 0


def test_when_the_last_item_grew_too_old_is_known_after_a_restart(watch: Watch) -> None:
    watch.rule(
        {"do": "block", "where": {"older_than_days": 3.5}},
        {"do": "block", "where": {"older_than_days": 1.75, "tag": "loud"}},
        {"do": "block", "where": {"newer_than_days": 0.5}},
        {"do": "boost", "factor": 2, "where": {"older_than_days": 0.25}},
    )
    assert watch.wrong_since() == NOW_MS - DAY_MS // 2 + 1, "i4 is the newest of 3.5 days"
    watch.rule({"do": "block", "where": {"older_than_days": 30}})
    assert watch.wrong_since() == 0


def test_an_item_named_last_may_have_made_lists_wrong_where_rules_bar_or_pin(
    watch: Watch,
) -> None:
    for rule, since_ms in (
        ({"do": "boost", "factor": 2, "where": {"tag": "loud"}}, 0),
        ({"do": "block", "where": {"tag": "loud"}}, NOW_MS - 50),
        ({"do": "pin", "rank": 1, "item_id": "i1"}, NOW_MS - 50),
    ):
        watch.rule(rule)
        assert watch.wrong_since(named_ms=NOW_MS - 50) == since_ms
    assert watch.wrong_since(named_ms=NOW_MS + 50) == NOW_MS, "a producer's clock may be ahead"


@pytest.mark.parametrize(
    ("stream_ms", "read_at"),
    [(NOW_MS - 6 * DAY_MS, NOW_MS), (NOW_MS + DAY_MS, NOW_MS), (NOW_MS - 300 * DAY_MS, None)],
)
def test_rules_go_by_the_clock_on_the_wall_unless_an_old_log_is_replayed(
    stream_ms: int, read_at: int | None
) -> None:
    assert rules_time(stream_ms, NOW_MS) == (read_at or stream_ms)


def test_rows_come_as_the_catalogue_numbers_them(watch: Watch) -> None:
    watch.replica.withdraw_item("i5")
    [change] = watch.look()
    assert change.rows.dtype == np.int32
    assert change.scenario == "default"
