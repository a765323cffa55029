import numpy as np
import pytest

from stream_rec.events import Event
from stream_rec.items import Item
from stream_rec.policy_comparison import Standing, changed
from stream_rec.replica import Replica
from stream_rec.toplist import Lineage, ListedItem, Reason, TopList


@pytest.fixture
def replica() -> Replica:
    made = Replica()
    for number in range(8):
        made.put_item(Item(item_id=f"i{number}", tags=("loud",) if number < 4 else ("quiet",)))
    made.statistics.reserve()
    made.statistics.counts[:3] = (60, 30, 5)
    return made


def toplist(*items: str, user: str = "u", events: int = 2) -> TopList:
    listed = tuple(
        ListedItem(
            item_id=item, rank=rank, score=0.1, sources={}, reason=Reason(kind="popular", text="")
        )
        for rank, item in enumerate(items, 1)
    )
    lineage = Lineage(
        last_event_id=None,
        events_applied=events,
        offsets={},
        adapter_version=0,
        policy_version=0,
        catalogue_items=8,
        encoded_items=8,
    )
    return TopList(
        recommendation_id="r",
        user_id=user,
        scenario="default",
        version=1,
        generated_at=0,
        tier="popular",
        items=listed,
        lineage=lineage,
    )


EVENT = Event(event_id="e", event_type="click", user_id="u", item_id="i0", timestamp=1)


def test_spread_tells_whom_and_what_lists_serve(replica: Replica) -> None:
    standing = Standing(replica)
    standing(EVENT, toplist("i0", "i1", "i2", "i7"))
    standing(EVENT, toplist("i0", user="*", events=0))
    spread = standing.spread()
    assert spread.lists == 2
    assert spread.coverage == 0.5
    assert spread.exposure == {"new": 0.2, "head": 0.4, "tail": 0.4}
    assert spread.exposure_by_user == {"new": 0.2, "light": 0.8, "heavy": 0.0}
    assert 0.0 < spread.gini < 1.0


def test_a_list_of_unlike_items_is_more_diverse(replica: Replica) -> None:
    alike, unlike = Standing(replica), Standing(replica)
    alike(EVENT, toplist("i0", "i1", "i2"))
    unlike(EVENT, toplist("i0", "i4", "i1"))
    assert alike.spread().diversity < unlike.spread().diversity


def test_only_the_first_ten_places_are_compared(replica: Replica) -> None:
    standing = Standing(replica)
    standing(EVENT, toplist(*(f"i{number % 8}" for number in range(14))))
    assert len(standing.lists[0]) == 10


def test_a_run_without_lists_spreads_over_nothing(replica: Replica) -> None:
    spread = Standing(replica).spread()
    assert (spread.lists, spread.coverage, spread.diversity) == (0, 0.0, 0.0)
    assert np.isfinite(spread.gini)
    assert changed([], []).compared == 0


def test_lists_are_compared_place_by_place_at_the_same_moments() -> None:
    before = [("a", "b"), ("a", "b"), ("a", "b"), ("a", "b")]
    after = [("a", "b"), ("b", "a"), ("a", "c"), ("d", "e")]
    found = changed(before, after)
    assert (found.lists, found.first, found.replaced) == (0.75, 0.5, 0.375)
    with pytest.raises(ValueError, match="shorter"):
        changed(before, after[:2])
