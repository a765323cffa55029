"""Words and opinion words: any script, any length, both ends of a long text."""

import pytest

from stream_rec.profiles.lexicon import NEGATIONS, SIDES, negates, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It\u2019s GREAT, isn't it?", ["it's", "great", "isn't", "it", "?"]),
        ("well\u2014made\u2026good", ["well", "made", "good"]),
        ("音质很好。", ["音", "质", "很", "好"]),
        ("Größe straße", ["größe", "straße"]),
        (
            "love it \U0001f44d\U0001f44d :) <3",
            ["love", "it", "\U0001f44d", "\U0001f44d", ":)", "<3"],
        ),
        ("अच्छा है", ["अच्छा", "है"]),
        ("..., -- ()", []),
    ],
)
def test_texts_are_cut_into_words(text: str, expected: list[str]) -> None:
    assert words(text, limit=50) == expected


def test_long_text_keeps_its_beginning_and_its_end() -> None:
    text = " ".join(f"w{number}" for number in range(10_000))
    kept = words(text, limit=30)
    assert kept[:20] == [f"w{number}" for number in range(20)]
    assert kept[-10:] == [f"w{number}" for number in range(9990, 10_000)]


def test_no_word_is_endless() -> None:
    assert max(map(len, words("x" * 5000, limit=240))) <= 36


def test_lexicon_holds_both_sides_and_no_negation() -> None:
    sides = [*SIDES.values()]
    assert sides.count(1) > 90
    assert sides.count(-1) > 90
    assert not NEGATIONS & set(SIDES)
    assert negates("wouldn't")
    assert not negates("want")


def test_every_opinion_word_is_found_in_a_text() -> None:
    missed = [
        word for word in SIDES if words(f"so {word} indeed", limit=9) != ["so", word, "indeed"]
    ]
    assert missed == []
