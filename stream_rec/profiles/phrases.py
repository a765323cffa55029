"""The one clause of a review that says most plainly what its writer felt.

Cuts a text into clauses and weighs their words; what it returns stands in the text word for word,
so a list can give it as a reason without inventing anything. Does not know who wrote the review or
where the phrase will be shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from stream_rec.profiles.lexicon import FLIP_REACH, SIDES, WORD, negates


def lexicon_weight(word: str) -> float:
    """Weigh a lower-case word by the built-in lexicon: 1, -1 or 0."""
    return SIDES.get(word, 0)


def telling_phrase(
    text: str, *, side: float = 0.0, weigh: Callable[[str], float] = lexicon_weight
) -> str | None:
    """Return the clause that best carries the sentiment of a text; None when none does.

    Args:
        text: the review; only its first 1200 and last 600 characters are read.
        side: above 0 only a favourable clause will do, below 0 only an unfavourable one.
        weigh: the evidence of a lower-case word, such as `Sentiment.word_weight`.

    Returns:
        A whole clause of at most 120 characters, verbatim, on one line and safe to show.

    >>> telling_phrase("Great picture, but the fan is unbearable.", side=-1)
    'the fan is unbearable'
    >>> telling_phrase("Great picture, but the fan is unbearable.", side=1)
    'Great picture'
    >>> telling_phrase("I bought it on Tuesday.") is None
    True
    """
    best, strongest = None, 0.0
    for clause in _clauses(text):
        strength = _strength(clause, weigh)
        strength = (strength if side > 0 else -strength) if side else abs(strength)
        if strength > strongest and not UNSHOWABLE.search(clause):
            best, strongest = clause, strength
    return best


def _clauses(text: str) -> Iterator[str]:
    if len(text) <= HEAD + TAIL:
        yield from _pieces(text, SEPARATOR)
        return
    # What the cut has torn is left out: the last clause of the head, the first of the tail.
    yield from list(_pieces(text[:HEAD], SEPARATOR))[:-1]
    yield from list(_pieces(text[-TAIL:], SEPARATOR))[1:]


def _pieces(text: str, separator: re.Pattern[str]) -> Iterator[str]:
    for piece in separator.split(text):
        clause = piece.strip(EDGES)
        if opening := OPENING.match(clause):
            clause = clause[opening.end() :]
        if len(clause) > LONGEST:
            if separator is SEPARATOR:
                yield from _pieces(clause, JOINT)
        elif clause:
            yield clause


def _strength(clause: str, weigh: Callable[[str], float]) -> float:
    """Sum the signed weights of a clause's words, negations applied, per square root of a word."""
    total, stress, flipped = 0.0, 1.0, 0
    found = WORD.findall(clause.lower().replace("\u2019", "'"))
    for word in found:
        weight = weigh(word)
        if weight:
            total += stress * (-weight if flipped else weight)
        if negates(word):
            flipped = FLIP_REACH
        elif flipped:
            flipped -= 1
        stress = STRESS if word in STRESSING else 1.0
    if not total:
        return 0.0
    # One or two words name no aspect ("Great!"), so they win only when nothing longer speaks.
    return total / math.sqrt(len(found) + FEW) * (1.0 if len(found) >= FEW else 0.5)


LONGEST = 120
HEAD, TAIL = 1200, 600
FEW = 3
STRESS = 1.5
STRESSING = frozenset(["very", "too", "so", "extremely", "really", "absolutely", "completely"])
EDGES = " \t\"'`*-–—_~>|\u00a0\u201c\u201d\u2018\u2019"

SEPARATOR = re.compile(
    r"[.!?]+(?=[\s\"')A-Z<]|$)"  # not in 4.5
    r"|[:,;](?=\s)|[\t\r\n\v\f\x85\u2028\u2029()\[\]…。！？，；、•]"
    r"|\s[-–—]+\s|—|--|<[^<>]{1,20}>"
    r"|\s(?=(?i:but|although|though|however|except|yet|whereas)\s)"
)
JOINT = re.compile(r"\s(?=(?i:and|because|which|so|when|while|since|until|or|if)\s)")
OPENING = re.compile(
    r"(?i:but|and|although|though|however|yet|so|because|also|plus|or|then|well|whereas)\s+"
)
UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters, changes of writing direction and halves of surrogate pairs."""
