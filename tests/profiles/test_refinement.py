import msgspec

from stream_rec.events import Event
from stream_rec.profiles.history import HISTORY, Interaction, Understood
from stream_rec.profiles.profile import Profile, Reading, fold
from stream_rec.profiles.refinement import Refinement, refined


def profile(*reviews: tuple[int, str]) -> Profile:
    """Fold reviews given as (offset, item)."""
    known = Profile("u")
    for offset, item_id in reviews:
        event = Event(
            event_id=f"e{offset}-{item_id}",
            event_type="review",
            user_id="u",
            item_id=item_id,
            timestamp=1_000 + offset,
            rating=4.0,
        )
        read = Reading(0.1, "a phrase")
        known = fold(known, event, topic=1, offset=offset, reading=read).profile
    return known


def said(offset: int, item_id: str, sentiment: float = -0.5, *tags: str) -> Refinement:
    return Refinement(
        user_id="u",
        item_id=item_id,
        offset=offset,
        text_version=0,
        sentiment=sentiment,
        understood=Understood(rating=2.0, tags=tags),
    )


def test_a_refinement_changes_its_review_and_nothing_else() -> None:
    before = profile((3, "a"), (3, "b"), (7, "a"))
    after = refined(before, said(3, "b"))
    assert after is not None
    changed = [old != new for old, new in zip(before.history, after.history, strict=True)]
    assert changed == [False, True, False]
    assert (after.history[1].sentiment, after.history[1].phrase) == (-0.5, "a phrase")
    assert msgspec.structs.replace(after, history=before.history) == before


def test_the_same_again_changes_nothing_and_the_newest_wins() -> None:
    once = refined(profile((3, "a")), said(3, "a"))
    assert once is not None
    assert refined(once, said(3, "a")) is None
    twice = refined(once, said(3, "a", 0.5))
    assert twice is not None
    assert twice.history[0].sentiment == 0.5


def test_what_is_not_remembered_is_not_refined() -> None:
    long_ago = profile(*((offset, "a") for offset in range(HISTORY + 1)))
    assert refined(long_ago, said(0, "a")) is None
    assert refined(long_ago, said(1, "b")) is None
    click = msgspec.structs.replace(long_ago.history[0], topic=0)
    clicks = msgspec.structs.replace(long_ago, history=(click,))
    assert refined(clicks, said(click.offset, "a")) is None


def test_profiles_from_before_refinements_are_read() -> None:
    known = profile((3, "a"))
    old = [*msgspec.to_builtins(known)]
    old[1] = [entry[:-1] for entry in old[1]]
    raw = msgspec.msgpack.encode(old)
    # Sets of items are bytes, which builtins hold as text: only the history is compared.
    history = msgspec.msgpack.decode(raw, type=list[object])[1]
    read = msgspec.convert(history, tuple[Interaction, ...])
    assert read == known.history
