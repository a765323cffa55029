import pytest

from stream_rec.ranking.wording import prompt, unsupported, worded

FACTS = [
    'Similar to "Silent fan 27", which you reviewed',
    '"Silent fan 27": Home, Fans, quiet, Acme',
    'you wrote "never loud, even at night"',
]
NAMED = ["Silent fan 27"]


@pytest.mark.parametrize(
    "said",
    [
        'You reviewed "Silent fan 27", and this is similar.',
        'This is quiet, as in "Silent fan 27": you wrote "never loud"',
        " this is similar to Silent fan 27\nFacts: something else",
    ],
)
def test_words_made_of_the_evidence_stand(said: str) -> None:
    assert worded(FACTS, NAMED, lambda _: said) == said.strip().partition("\n")[0]


@pytest.mark.parametrize(
    "lie",
    [
        'You purchased "Silent fan 27", and this is similar.',  # another act
        'You reviewed "Silent fan 28", and this is similar.',  # another number
        'You reviewed "Silent fan 27", and the Zorb drone is similar.',  # another item
        'You wrote "never at night" of Silent fan 27',  # words of the review, another quotation
        'You did not like "Silent fan 27".',  # a denial that nothing says
        "This is quiet.",  # names no evidence
        "This is popular with Silent fan 27 fans",  # a quality that nothing says
        "",
        "Silent fan 27 \x07",
        "Silent fan 27 " * 40,
    ],
)
def test_a_worder_that_lies_is_not_heard(lie: str) -> None:
    assert worded(FACTS, NAMED, lambda _: lie) is None


def test_the_model_is_asked_with_every_fact_and_no_other() -> None:
    asked: list[str] = []

    def say(text: str) -> str:
        asked.append(text)
        return ""

    worded(FACTS, NAMED, say)
    assert asked == [prompt(FACTS)]
    assert all(fact in asked[0] for fact in FACTS)


def test_words_are_compared_whole() -> None:
    assert unsupported("quieter fan", FACTS) == ["quieter"]
    assert unsupported("2", FACTS) == ["2"]
