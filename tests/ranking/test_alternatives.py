import numpy as np
import pytest

from stream_rec.experts.views import TEXT
from stream_rec.items import Item
from stream_rec.policy import Signals
from stream_rec.ranking.alternatives import (
    REMEMBERED,
    Needs,
    TitleWords,
    complaints,
    neighbours,
    remedied,
)
from stream_rec.replica import Replica
from tests.ranking.shop import DIMENSION, happened, profile_of, shop


@pytest.fixture
def replica() -> Replica:
    return shop()


def complained(replica: Replica, *past: dict[str, object]) -> list[tuple[str, int]]:
    found = complaints(profile_of(*past), Signals(), replica.items)
    return [(complaint.past.item_id, complaint.age) for complaint in found]


def near(replica: Replica, item_id: str) -> dict[str, float]:
    found = neighbours(replica.items.row(item_id), replica.catalogue, replica.vectors.get(TEXT))
    names = [replica.items.ids[row] for row in found.rows]
    assert found.need.tolist() == sorted(found.need.tolist(), reverse=True)
    return dict(zip(names, found.need.tolist(), strict=True))


@pytest.mark.parametrize(
    "bad",
    [
        happened("monitor-1", "review", rating=1),
        happened("monitor-1", "review", rating=2, sentiment=-0.9),
        happened("monitor-1", "review", sentiment=-0.4),
        happened("monitor-1", "purchase", rating=1),
        happened("monitor-1", "dislike"),
        happened("monitor-1", "hide"),
    ],
)
def test_a_bad_review_or_a_refusal_is_a_complaint(replica: Replica, bad: dict[str, object]) -> None:
    assert complained(replica, happened("novel-1"), bad) == [("monitor-1", 0)]


@pytest.mark.parametrize(
    "fine",
    [
        happened("monitor-1", "review", rating=5),
        happened("monitor-1", "review", rating=3),
        happened("monitor-1", "review"),
        happened("monitor-1", "click"),
        happened("monitor-1", "skip"),
        happened("unheard-of", "review", rating=1),
    ],
)
def test_praise_a_skip_or_a_stranger_is_none(replica: Replica, fine: dict[str, object]) -> None:
    assert complained(replica, fine) == []


def test_only_the_newest_interactions_count_and_older_complaints_fade(replica: Replica) -> None:
    bad = happened("monitor-1", "review", rating=1)
    for later in range(REMEMBERED):
        past = [bad, *(happened(f"novel-{number}") for number in range(later))]
        assert complained(replica, *past) == [("monitor-1", later)]
    assert complained(replica, bad, *(happened(f"novel-{n}") for n in range(REMEMBERED))) == []
    two = complaints(profile_of(bad, happened("novel-1", "hide")), Signals(), replica.items)
    assert [complaint.fading for complaint in two] == [1.0, 0.5]


def test_an_item_taken_again_since_is_forgiven(replica: Replica) -> None:
    bad = happened("monitor-1", "review", rating=1)
    assert complained(replica, bad, happened("monitor-1", "purchase")) == []


def test_a_need_is_met_by_items_of_the_same_kind_and_never_by_the_item_itself(
    replica: Replica,
) -> None:
    found = near(replica, "monitor-1")
    assert set(found) == {f"monitor-{number}" for number in range(12) if number != 1}


def test_another_brand_meets_a_need_better_than_the_same_one(replica: Replica) -> None:
    found = near(replica, "monitor-1")
    same = [need for name, need in found.items() if int(name.split("-")[1]) % 3 == 1]
    others = [need for name, need in found.items() if int(name.split("-")[1]) % 3 != 1]
    assert max(same) < min(others)


def test_a_category_that_everything_has_names_no_need() -> None:
    replica = shop(vectors=False)
    replica.put_item(Item(item_id="bare", categories=("goods",)))
    assert near(replica, "bare") == {}
    assert "bare" not in near(replica, "monitor-1")


def test_text_alone_finds_a_need_where_there_are_no_categories() -> None:
    replica = Replica()
    for number in range(8):
        name = f"thing-{number}"
        replica.put_item(Item(item_id=name, title=name))
        vector = np.zeros(DIMENSION, np.float32)
        vector[number % 2] = 1.0
        vector[2 + number] = 0.2
        replica.put_text_vector(name, 1, vector)
    assert set(near(replica, "thing-0")) == {"thing-2", "thing-4", "thing-6"}


def test_an_item_that_nothing_describes_has_no_alternatives(replica: Replica) -> None:
    replica.put_item(Item(item_id="blank"))
    assert near(replica, "blank") == {}
    stranger = replica.items.add("stranger")
    assert len(neighbours(stranger, replica.catalogue, replica.vectors[TEXT]).rows) == 0


def test_items_that_are_sold_out_or_withdrawn_meet_no_need(replica: Replica) -> None:
    replica.withdraw_item("monitor-2")
    replica.put_item(Item(item_id="monitor-3", categories=("monitor",), available=False))
    assert not {"monitor-2", "monitor-3"} & set(near(replica, "monitor-1"))


@pytest.mark.parametrize(
    ("phrase", "first", "last"),
    [
        ("the fan is too loud", "quiet", "loud"),
        ("so NOISY I returned it", "quiet", None),
    ],
)
def test_words_of_the_complaint_put_its_opposite_first_and_its_like_last(
    replica: Replica, phrase: str, first: str, last: str | None
) -> None:
    row = replica.items.row("monitor-2")
    found = neighbours(row, replica.catalogue, replica.vectors[TEXT])
    need = remedied(found, phrase, replica.catalogue, TitleWords())
    moods = [replica.catalogue.tags.names_of(int(row))[0] for row in found.rows]
    change = dict(zip(moods, (need - found.need).tolist(), strict=True))
    assert change[first] > 0
    assert change["plain"] == 0
    if last is not None:
        assert change[last] < 0


@pytest.mark.parametrize("phrase", [None, "", "meh", "nicht mein Geschmack"])
def test_a_phrase_without_a_known_aspect_changes_nothing(
    replica: Replica, phrase: str | None
) -> None:
    found = neighbours(replica.items.row("monitor-2"), replica.catalogue, replica.vectors[TEXT])
    assert (remedied(found, phrase, replica.catalogue, TitleWords()) == found.need).all()


def test_neighbours_are_kept_until_enough_has_changed(replica: Replica) -> None:
    needs, row = Needs(), replica.items.row("monitor-1")
    first = needs.of(row, replica.catalogue, replica.vectors[TEXT])
    assert needs.of(row, replica.catalogue, replica.vectors[TEXT]) is first
    replica.withdraw_item("monitor-2")
    later = needs.of(row, replica.catalogue, replica.vectors[TEXT])
    assert len(later.rows) == len(first.rows) - 1


def test_words_of_a_title_follow_the_catalogue(replica: Replica) -> None:
    titles, row = TitleWords(), replica.items.row("monitor-1")
    assert {"loud", "monitor"} <= titles.of(row, replica.catalogue)
    replica.put_item(Item(item_id="monitor-1", title="Silent screen"))
    assert titles.of(row, replica.catalogue) == {"silent", "screen"}
