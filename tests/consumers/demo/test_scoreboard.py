import pytest

from consumers.demo.scoreboard import Scoreboard
from stream_rec.toplist import Lineage, ListedItem, Reason, TopList

ITEMS = [f"i{number}" for number in range(20)]


def toplist(user, items, *, version=1, applied=0):
    return TopList(
        recommendation_id="r", user_id=user, scenario="default", version=version, generated_at=0,
        tier="popular",
        items=tuple(
            ListedItem(
                item_id=item, rank=rank, score=1.0, sources={},
                reason=Reason(kind="popular_now", text="Popular now"),
            )
            for rank, item in enumerate(items, 1)
        ),
        lineage=Lineage(
            last_event_id=None, events_applied=applied, offsets={}, adapter_version=0,
            policy_version=-1, catalogue_items=20, encoded_items=20,
        ),
    )  # fmt: skip


def test_an_event_is_scored_by_the_list_published_before_it_was_sent():
    board = Scoreboard(ITEMS)
    board.arrived(toplist("*", ["i3"]), now=0.0)
    board.sending("ann", "i3", now=1.0)
    board.arrived(toplist("ann", ["i4", "i5"], applied=1), now=1.1)
    board.sending("ann", "i5", now=2.0)
    quality = board.quality()
    assert quality.events == 2
    assert quality.engine == pytest.approx((1.0 + 0.6309) / 2, abs=1e-4)


def test_only_a_list_that_counts_the_event_answers_it():
    board = Scoreboard(ITEMS)
    board.sending("ann", "i1", now=10.0)
    assert board.arrived(toplist("ann", ["i2"], applied=0), now=10.1) is None
    assert board.longest_wait(now=10.2) == pytest.approx(0.2)
    assert board.arrived(toplist("ann", ["i2"], version=2, applied=1), now=10.3) == pytest.approx(
        0.3
    )
    assert board.waiting == {}
    assert board.freshness().p50 == pytest.approx(300.0)
    assert board.rate(now=10.3, over=1.0) == 1.0


def test_a_version_that_does_not_rise_is_counted_as_an_error():
    board = Scoreboard(ITEMS)
    board.arrived(toplist("ann", ["i1"], version=2), now=0.0)
    board.arrived(toplist("ann", ["i1"], version=2), now=0.0)
    assert board.version_errors == 1


def test_warm_up_and_items_taken_again_are_not_scored():
    board = Scoreboard(ITEMS, warm_up=1)
    board.sending("ann", "i1", now=0.0)
    board.arrived(toplist("ann", ["i2"], applied=1), now=0.0)
    board.sending("ann", "i1", now=1.0)
    assert board.quality().events == 0
    board.arrived(toplist("ann", ["i2"], version=2, applied=2), now=1.0)
    board.sending("ann", "i2", now=2.0)
    assert board.quality().events == 1
