"""The phrase of a review: the telling clause, verbatim, short, quick and harmless."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.profiles.phrases import LONGEST, telling_phrase
from stream_rec.profiles.sentiment import Sentiment


@pytest.mark.parametrize(
    ("text", "side", "phrase"),
    [
        ("Great picture, but the fan is unbearable.", -1, "the fan is unbearable"),
        ("Great picture, but the fan is unbearable.", 1, "Great picture"),
        ("Terrible! The battery dies after an hour.", -1, "The battery dies after an hour"),
        ("It cost 4.5 dollars.The strap broke (twice)", -1, "The strap broke"),
        ("I like the size - the hinge feels flimsy - oh well", -1, "the hinge feels flimsy"),
        ("The screen is not very good although it is bright", -1, "The screen is not very good"),
        ("No problems so far. Arrived Monday.", 1, "No problems so far"),
        ("It is loud<br />and it is too loud", -1, "it is too loud"),
        ("Garbage", -1, "Garbage"),
        ("The box came on a Tuesday, in the rain.", -1, None),
        ("Lovely sound, comfortable to wear.", -1, None),
        ("", 0, None),
    ],
)
def test_telling_clause_is_found(text: str, side: float, phrase: str | None) -> None:
    assert telling_phrase(text, side=side) == phrase


def test_without_a_side_the_strongest_clause_wins() -> None:
    text = "The lid is nice. The pump is horribly loud and leaks."
    assert telling_phrase(text) == "The pump is horribly loud and leaks"


def test_too_long_clause_is_cut_at_a_joint_and_never_inside() -> None:
    filler = "it stands on the desk next to the window where the sun comes in every day of the year"
    text = f"{filler} and the motor is noisy because {filler}"
    assert telling_phrase(text, side=-1) == "the motor is noisy"
    assert telling_phrase("noisy " * 60) is None


def test_words_learned_from_the_stream_count() -> None:
    sentiment = Sentiment()
    for _ in range(20):
        sentiment.learn("der Lüfter ist unbrauchbar", 1, neutral=3)
        sentiment.learn("das Bild ist prima", 5, neutral=3)
    text = "Das Bild ist prima, der Lüfter aber unbrauchbar."
    weigh = sentiment.word_weight
    assert telling_phrase(text, side=-1, weigh=weigh) == "der Lüfter aber unbrauchbar"
    assert telling_phrase(text, side=-1) is None


@pytest.mark.parametrize("bad", ["\x1b[2J", "\u202e", "\ud800", "\x00"])
def test_clause_that_could_harm_a_terminal_is_passed_over(bad: str) -> None:
    assert telling_phrase(f"The fan is {bad} terrible. The lid is bad.") == "The lid is bad"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["bad", "good", "the fan", ", ", ". ", " ", "é", "\n"]) | st.text())
)
def test_phrase_is_a_short_encodable_part_of_the_text(parts: list[str]) -> None:
    text = "".join(parts)
    phrase = telling_phrase(text)
    if phrase is not None:
        assert phrase in text
        assert 0 < len(phrase) <= LONGEST
        assert phrase.encode()
        assert len(phrase.splitlines()) == 1


@pytest.mark.parametrize("text", ["a" * 300_000, ", " * 200_000, "<" * 300_000, " but" * 100_000])
def test_any_length_is_read_quickly(text: str) -> None:
    began = time.perf_counter()
    telling_phrase(text)
    assert time.perf_counter() - began < 0.1
