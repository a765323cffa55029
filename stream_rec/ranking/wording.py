"""Reasons put into other words, and whether these say nothing but what the evidence says.

A language model may word a reason; it may not add to it. Its words pass only if each stands in the
evidence or is plain grammar, if what they quote stands there verbatim, and if they name the item
that the reason rests on. What the user did, and every "not", is in the evidence or nowhere. So a
model can leave things out or sound odd, but it cannot name what is not there. Knows no model.
"""

import re
from collections.abc import Callable, Sequence

Worder = Callable[[str], str]
"""Continues a prompt with a few words."""


def prompt(facts: Sequence[str]) -> str:
    """Return what a language model is asked; the first fact is the reason as it stands."""
    known = "\n".join(f"- {fact}" for fact in facts)
    return (
        "Facts:\n"
        f"{known}\n"
        "Say in one short, friendly sentence to the reader why this is recommended. "
        'Use these facts only, call the item "this", and keep quoted names as they are.\n'
        "Sentence:"
    )


def worded(facts: Sequence[str], named: Sequence[str], say: Worder) -> str | None:
    """Return the reason in a model's words, or None where these do not hold.

    Args:
        facts: The reason as it stands, then what else is on record of its evidence.
        named: Titles of the items that the reason rests on; one of them must be in the words.
        say: The model.

    >>> facts = ['Similar to "Silent fan", which you reviewed']
    >>> worded(facts, ["Silent fan"], lambda _: 'You reviewed "Silent fan", and this is similar.')
    'You reviewed "Silent fan", and this is similar.'
    >>> worded(facts, ["Silent fan"], lambda _: "You loved the drone!") is None
    True
    """
    words = say(prompt(facts)).strip().partition("\n")[0].strip()
    if not 0 < len(words) <= LONGEST or not words.isprintable():
        return None
    if named and not any(title.lower() in words.lower() for title in named):
        return None
    return None if unsupported(words, facts) else words


def unsupported(words: str, facts: Sequence[str]) -> list[str]:
    """Return the words, numbers and quotations that are neither in the facts nor plain grammar.

    >>> unsupported('You bought 3 "red kettles"', ["You bought 2 kettles"])
    ['3', 'red', 'red kettles']
    """
    known = " ".join(facts).lower()
    there = set(WORD.findall(known)) | GRAMMAR
    strange = [word for word in WORD.findall(words.lower()) if word not in there]
    quoted = [first or second for first, second in QUOTED.findall(words)]
    return strange + [quote for quote in quoted if quote.lower() not in known]


LONGEST = 240
WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
QUOTED = re.compile(r'"([^"]*)"|\u201c([^\u201d]*)\u201d')
# No word here names a thing, a quality, a number, an act of the user or a denial.
GRAMMAR = frozenset(
    WORD.findall(
        "a an and also are as at be because by for from here in is it its of on or our so that the "
        "their them these they this those to too we which who why with you your recommended "
        "recommend suggest suggested recommendation picked"
    )
)
