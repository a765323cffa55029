from consumers.commands.worded import in_other_words, worded_reasons
from stream_rec.items import Item
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile
from stream_rec.toplist import Lineage, ListedItem, Reason, TopList

ITEMS = {
    "fan": Item(item_id="fan", title="Silent fan", tags=("quiet",)),
    "pan": Item(item_id="pan", title="Red pan"),
}
REVIEW = Interaction(0, 1, 0, "fan", "review", "default", 5.0, 0.9, "a joy to use")


def toplist() -> TopList:
    reasons = (
        Reason(
            kind="because_you_reviewed",
            text='Similar to "Silent fan", which you reviewed',
            evidence=("fan",),
        ),
        Reason(kind="popular_now", text="Popular now"),
    )
    entries = [
        ListedItem(item_id=f"i{number}", rank=number + 1, score=0.1, sources={}, reason=reason)
        for number, reason in enumerate(reasons)
    ]
    return TopList(
        recommendation_id="r",
        user_id="u",
        scenario="default",
        version=1,
        generated_at=0,
        tier="lm",
        items=tuple(entries),
        lineage=Lineage(
            last_event_id="e",
            events_applied=1,
            offsets={},
            adapter_version=0,
            policy_version=-1,
            catalogue_items=2,
            encoded_items=2,
        ),
    )


def test_words_that_hold_take_the_place_of_a_reason_and_a_lie_leaves_it() -> None:
    asked: list[str] = []

    def say(prompt: str) -> str:
        """A scripted worder: true of the first place, a lie about the second."""
        asked.append(prompt)
        return (
            'You reviewed "Silent fan", "a joy to use", so this similar quiet'
            if "Silent fan" in prompt
            else "Popular with owners of the Red pan"
        )

    made, profile = toplist(), Profile("u", history=(REVIEW,))
    words = worded_reasons(made, profile, ITEMS, say)
    assert list(words) == ["i0"]
    assert 'you wrote "a joy to use"' in asked[0]
    assert "Red pan" not in asked[0] + asked[1], "the model was told what is no evidence"
    shown = in_other_words(made, words)
    assert [entry.reason.text for entry in shown.items] == [words["i0"], "Popular now"]
    assert shown.items[0].reason.evidence == ("fan",)


def test_without_the_profile_nothing_of_the_review_can_be_quoted() -> None:
    def say(_: str) -> str:
        return 'You reviewed "Silent fan", "a joy to use"'

    assert worded_reasons(toplist(), None, ITEMS, say) == {}
    assert "i0" in worded_reasons(toplist(), Profile("u", history=(REVIEW,)), ITEMS, say)
