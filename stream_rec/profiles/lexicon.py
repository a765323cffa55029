"""What opinion words mean before a stream has taught anything, and how a text is cut into words.

Knows about two hundred and fifty everyday English words and emoticons with the side they take,
and the words that turn a side round. Does not know any product domain or any other language:
those are learned from rated reviews (`sentiment.py`), which this list only starts off.
"""

from __future__ import annotations

import re

FLIP_REACH = 3
"""How many words after a negation have their side turned round ("not a very good fan")."""


def words(text: str, *, limit: int) -> list[str]:
    """Cut a text into lower-case words, at most `limit` of them.

    A long text keeps its first two thirds and its last third, since reviews conclude at the end.
    Scripts written without spaces give one word per character.

    >>> words("Don't buy: it's LOUD!", limit=10)
    ["don't", 'buy', "it's", 'loud', '!']
    >>> words("a b c d e f", limit=3)
    ['a', 'b', 'f']
    """
    head = limit - limit // 3
    if len(text) > limit * MEAN_CHARACTERS:
        text = text[: head * MEAN_CHARACTERS] + " " + text[-(limit - head) * MEAN_CHARACTERS :]
    found = WORD.findall(text.lower().replace("\u2019", "'"))
    if len(found) > limit:
        found = found[:head] + found[head - limit :]
    return found


def negates(word: str) -> bool:
    """Tell whether a word turns round what follows it.

    >>> [negates(word) for word in ("not", "wouldn't", "very")]
    [True, True, False]
    """
    return word in NEGATIONS or word.endswith("n't")


MEAN_CHARACTERS = 24
"""Characters read per word wanted: bounds the work on a text of any length."""

WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]"  # scripts without spaces: one at a time
    r"|[:;]-?[()d]|<3|[!?]"
    r"|[\u2600-\u27bf\U0001f300-\U0001faff]"  # pictographs
    # Anything else that is neither space nor punctuation, at most 32 characters at a time.
    r"|[^\s!-/:-@\[-`{-~\u2000-\u206f\u2600-\u27bf\u3000-\u30ff\u3400-\u9fff\uff00-\uff20"
    r"\U0001f300-\U0001faff]{1,32}(?:'[a-z]{1,3}\b)?"
)

_TURNING = """
not no never nor neither without hardly barely cannot nothing lacks lack lacking
aint arent cant couldnt didnt doesnt dont isnt shouldnt wasnt wont wouldnt
"""

NEGATIONS = frozenset(_TURNING.split())

_FAVOURABLE = """
good great excellent love loved loves perfect perfectly best awesome amazing nice nicely easy easily
happy happily recommend recommended fun fantastic wonderful works solid sturdy beautiful beautifully
comfortable comfy favorite favourite enjoy enjoyed enjoying enjoyable superb brilliant pleased worth
quality impressive impressed glad outstanding reliable quiet silent satisfied smooth smoothly crisp
addictive incredible delicious tasty stunning gorgeous durable accurate helpful useful handy
convenient clever elegant fast quick sharp clear clean bright warm cozy lovely cute delightful
delighted thrilled exceptional flawless flawlessly gem masterpiece terrific fabulous fine better
affordable bargain value thoughtful intuitive effortless responsive lightweight compact versatile
charming hilarious engaging immersive polished generous fresh soft snug precise stable
powerful strong trustworthy winner classic hooked exceeded premium pleasant pleasantly friendly
:) :-) ;) :d <3 \U0001f44d \U0001f60d \U0001f600 \U0001f60a \u2764
"""

_UNFAVOURABLE = """
bad badly worst terrible terribly horrible horribly awful poor poorly disappointed disappointing
disappointment broke broken breaks breaking waste wasted useless junk cheap cheaply return returned
returning refund hate hated hates crap crappy garbage fail failed fails failing failure defective
annoying annoyed difficult worse uncomfortable unbearable boring bored problem problems
unfortunately stopped flimsy noisy loud trash suck sucks sucked crash crashes crashed buggy bugs
unplayable unusable frustrating frustrated regret avoid crack cracked stiff leak leaks leaked
leaking overpriced ugly dirty smelly stinks smell slow sluggish weak wobbly fragile faulty dead died
dies blurry dull bland tasteless stale rotten painful hurts scratched scratchy rattles rattle buzz
buzzing hiss squeaks squeaky creaks sticky mess messy confusing confused complicated clunky tedious
repetitive pointless lazy mediocre inferior misleading scam fake lie lied rude ridiculous nightmare
worthless disgusting pathetic inaccurate unreliable unstable unresponsive lag laggy stuck missing
wrong damaged dented torn rusted rusty peeling overheats overheating hot shrinks shrunk thin harsh
muddy tinny issue issues complaint complaints downside sadly meh mistake :( :-( \U0001f44e
\U0001f621 \U0001f620 \U0001f61e
"""

SIDES: dict[str, int] = {
    **dict.fromkeys(_FAVOURABLE.split(), 1),
    **dict.fromkeys(_UNFAVOURABLE.split(), -1),
}
"""Opinion words to the side they take: 1 favourable, -1 unfavourable."""
