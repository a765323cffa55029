"""The step when the encoder has read a review: what changes, and what is only counted."""

import msgspec

from stream_rec.profiles.history import Understood
from stream_rec.profiles.refinement import Refinement
from stream_rec.step import Arrival
from tests.test_step import Bench, versions


def refinement(bench: Bench, review: Arrival, sentiment: float, user: str = "ann") -> Arrival:
    """What an encoder says of a review of item i1."""
    said = Refinement(
        user_id=user,
        item_id="i1",
        offset=review.offset,
        text_version=0,
        sentiment=sentiment,
        understood=Understood(aspects=(("noise", -0.5),)),
    )
    made = bench.arrival(user, kind="refinement")
    return msgspec.structs.replace(made, topic="refinements", refinement=said)


def test_a_refinement_changes_its_review_and_makes_all_lists_of_the_user_again() -> None:
    bench = Bench()
    review = bench.arrival(kind="review", text="It is what it is.")
    bench.take(review, bench.arrival(item_id="i2", scenario="home"))
    result = bench.take(refinement(bench, review, -1.0))
    assert dict(result.outcomes) == {("refinements", "refined"): 1}
    assert versions(result) == [("default/ann", 2), ("home/ann", 2)]
    profile = bench.profiles[0, "ann"]
    assert profile.events_applied == 2
    assert [past.sentiment for past in profile.history if past.understood] == [-1.0]
    assert result.facts is None, "others were told of the review already"
    assert dict(bench.take(refinement(bench, review, -1.0)).outcomes) == {
        ("refinements", "unused"): 1
    }


def test_a_refinement_of_the_same_batch_finds_its_review_wherever_it_stands() -> None:
    bench = Bench()
    review = bench.arrival(kind="review", text="It is what it is.")
    result = bench.take(refinement(bench, review, 0.5), review)
    assert result.outcomes["refinements", "refined"] == 1
    assert versions(result) == [("default/ann", 1)]


def test_a_refinement_of_nobody_or_nothing_has_no_effect_and_is_counted() -> None:
    bench = Bench()
    review = bench.arrival(kind="review")
    bench.take(review)
    stranger = refinement(bench, review, 0.5, user="bob")
    torn = msgspec.structs.replace(refinement(bench, review, 0.5), refinement=None)
    result = bench.take(stranger, torn)
    assert dict(result.outcomes) == {("refinements", "unused"): 2}
    assert (result.lists, result.profiles) == ([], {})
