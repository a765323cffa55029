import numpy as np
import pytest

from stream_rec.events import DAY_MS
from stream_rec.items import Item
from stream_rec.policy import Where, policy_of
from stream_rec.ranking.rules import CompiledRules, RuleBook, compile_rules, matching
from stream_rec.replica import Replica
from tests.ranking.shop import NOW_MS, shop


@pytest.fixture
def replica() -> Replica:
    return shop(4)


def compiled(replica: Replica, *rules: dict[str, object]) -> CompiledRules:
    return compile_rules(policy_of({"rules": list(rules)}).rules, replica.catalogue)


def meant(replica: Replica, **where: object) -> set[str]:
    mask = matching(Where(**where), replica.catalogue)  # type: ignore[arg-type]
    return {replica.items.ids[row] for row in np.flatnonzero(mask)}


def blocked(replica: Replica, *rules: dict[str, object], now_ms: int = NOW_MS) -> set[str]:
    rows = np.arange(len(replica.items), dtype=np.int32)
    found = compiled(replica, *rules).blocks(rows, now_ms=now_ms)
    return {replica.items.ids[row] for row in rows[found]}


def factors(replica: Replica, *rules: dict[str, object]) -> dict[str, float]:
    rows = np.arange(len(replica.items), dtype=np.int32)
    found = np.exp(compiled(replica, *rules).log_factors(rows, now_ms=NOW_MS))
    return dict(zip(replica.items.ids, found.tolist(), strict=True))


@pytest.mark.parametrize(
    ("where", "items"),
    [
        ({"category": "novel"}, {"novel-0", "novel-1", "novel-2", "novel-3"}),
        ({"tag": "loud"}, {"monitor-1", "novel-1", "kettle-1"}),
        ({"brand": "brand-2"}, {"monitor-2", "novel-2", "kettle-2"}),
        ({"item_id": "novel-1"}, {"novel-1"}),
        ({"price_above": 30}, {"monitor-3", "novel-3", "kettle-3"}),
        ({"price_below": 20}, {"monitor-0", "novel-0", "kettle-0"}),
        ({"price_above": 10, "price_below": 30, "category": "novel"}, {"novel-1"}),
        ({"category": "novel", "tag": "quiet", "brand": "brand-0"}, {"novel-0"}),
        ({"category": "unheard of"}, set()),
        ({"item_id": "unheard of"}, set()),
        ({"available": False}, set()),
    ],
)
def test_all_conditions_of_a_rule_must_hold(
    replica: Replica, where: dict[str, object], items: set[str]
) -> None:
    assert meant(replica, **where) == items


def test_a_rule_without_conditions_means_every_item(replica: Replica) -> None:
    assert len(meant(replica)) == 12


def test_what_the_catalogue_does_not_say_is_not_met(replica: Replica) -> None:
    replica.put_item(Item(item_id="bare"))
    for where in ({"price_above": 0}, {"price_below": 1e9}, {"tag": ""}, {"brand": "Acme"}):
        assert "bare" not in meant(replica, **where)
    for age in ({"older_than_days": 0}, {"newer_than_days": 36500}):
        assert "bare" not in blocked(replica, {"do": "block", "where": age})
    assert "bare" in meant(replica, available=True)


def test_availability_is_a_condition_like_any_other(replica: Replica) -> None:
    replica.put_item(Item(item_id="novel-1", available=False, categories=("novel",)))
    assert meant(replica, available=False) == {"novel-1"}
    assert "novel-1" not in meant(replica, available=True)


def test_a_withdrawn_item_is_meant_by_no_rule(replica: Replica) -> None:
    replica.withdraw_item("novel-1")
    assert "novel-1" not in meant(replica)


def test_a_factor_multiplies_and_factors_of_several_rules_multiply(replica: Replica) -> None:
    found = factors(
        replica,
        {"do": "boost", "factor": 3, "where": {"category": "novel"}},
        {"do": "boost", "factor": 0.5, "where": {"tag": "loud"}},
        {"do": "boost", "factor": 4, "where": {"item_id": "novel-1", "newer_than_days": 99}},
    )
    assert found["novel-0"] == pytest.approx(3.0)
    assert found["monitor-1"] == pytest.approx(0.5)
    assert found["novel-1"] == pytest.approx(6.0)
    assert found["monitor-0"] == 1.0


def test_the_most_factors_that_a_policy_may_hold_leave_scores_that_are_numbers(
    replica: Replica,
) -> None:
    up = {"do": "boost", "factor": 1000, "where": {"item_id": "novel-1"}}
    down = {"do": "boost", "factor": 1e-300, "where": {"item_id": "novel-2"}}
    found = factors(replica, *[up] * 500, *[down] * 500)
    assert np.isfinite(list(found.values())).all()
    assert found["novel-1"] > 1e12
    assert 0 < found["novel-2"] < 1e-12


def test_age_is_counted_from_now_to_the_end_of_the_day_it_names(replica: Replica) -> None:
    older = {"do": "block", "where": {"category": "novel", "older_than_days": 11}}
    assert blocked(replica, older) == {"novel-2", "novel-3"}
    assert blocked(replica, older, now_ms=NOW_MS + 1) == {"novel-1", "novel-2", "novel-3"}
    newer = {"do": "block", "where": {"newer_than_days": 2}}
    assert blocked(replica, newer) == {"monitor-0", "novel-0", "kettle-0"}
    assert blocked(replica, newer, now_ms=NOW_MS + DAY_MS) == set()


def test_a_pin_holds_until_its_end_and_not_at_it(replica: Replica) -> None:
    pin = {"do": "pin", "rank": 2, "item_id": "novel-1", "until": NOW_MS}
    rules = compiled(replica, pin, {"do": "pin", "rank": 1, "item_id": "novel-2"})
    names = [replica.items.ids[pin.row] for pin in rules.pinned(now_ms=NOW_MS - 1)]
    assert names == ["novel-2", "novel-1"]
    assert [replica.items.ids[pin.row] for pin in rules.pinned(now_ms=NOW_MS)] == ["novel-2"]


def test_a_pinned_item_that_is_blocked_withdrawn_sold_out_or_unknown_is_not_shown(
    replica: Replica,
) -> None:
    replica.withdraw_item("novel-0")
    replica.put_item(Item(item_id="novel-1", available=False))
    names = ("novel-0", "novel-1", "novel-2", "novel-3", "kettle-0", "unknown")
    pins = [{"do": "pin", "rank": rank, "item_id": name} for rank, name in enumerate(names, 1)]
    rules = compiled(
        replica,
        *pins,
        {"do": "block", "where": {"item_id": "novel-2"}},
        {"do": "block", "where": {"category": "kettle", "newer_than_days": 5}},
    )
    found = [replica.items.ids[pin.row] for pin in rules.pinned(now_ms=NOW_MS)]
    assert found == ["novel-3"]


def test_rules_are_compiled_once_until_the_catalogue_changes(replica: Replica) -> None:
    book = RuleBook()
    rules = policy_of({"rules": [{"do": "block", "where": {"tag": "loud"}}]}).rules
    again = policy_of({"rules": [{"do": "block", "where": {"tag": "loud"}}]}).rules
    first = book.compiled(rules, replica.catalogue)
    assert book.compiled(again, replica.catalogue) is first
    replica.put_item(Item(item_id="new", tags=("loud",)))
    later = book.compiled(rules, replica.catalogue)
    assert later is not None
    assert later is not first
    assert later.blocks(replica.items.rows(["new"]), now_ms=NOW_MS).all()


def test_no_rules_cost_nothing(replica: Replica) -> None:
    assert RuleBook().compiled((), replica.catalogue) is None


def test_the_book_of_rules_is_bounded(replica: Replica) -> None:
    book = RuleBook()
    for number in range(300):
        where = {"price_above": number}
        rules = policy_of({"rules": [{"do": "block", "where": where}]}).rules
        book.compiled(rules, replica.catalogue)
    assert len(book._compiled) == 256
