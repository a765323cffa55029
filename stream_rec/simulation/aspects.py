"""What can be good or bad about a product, and the words shoppers and makers have for it.

Each aspect has a title word and a claim that makers use where it is strong, and clauses and
headlines that reviewers use. `{part}` stands for the part concerned: a fan, a pump, a strap. Does
not know which product has which aspect (`departments.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One thing a product can do well or badly."""

    strength: str
    claim: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    praise: tuple[str, str]
    blame: tuple[str, str]


ASPECTS: dict[str, Aspect] = {
    "noise": Aspect(
        strength="Silent",
        claim="The {part} runs silently, even at night.",
        good=(
            "the {part} is barely audible",
            "the {part} stays quiet all day",
            "I never notice the {part}",
        ),
        bad=(
            "the {part} is unbearable",
            "the {part} is far too loud",
            "the {part} whines terribly all evening",
        ),
        praise=("Wonderfully quiet", "So quiet"),
        blame=("Loud", "Noisy {part}"),
    ),
    "battery": Aspect(
        strength="Long-Life",
        claim="The battery lasts for days on one charge.",
        good=(
            "the battery lasts for ages",
            "I happily charge it once a week",
            "the battery is excellent",
        ),
        bad=(
            "the battery dies after an hour",
            "the battery is a disappointment",
            "it is annoying how often it is empty",
        ),
        praise=("Great battery", "Lasts and lasts"),
        blame=("Weak battery", "Always empty"),
    ),
    "comfort": Aspect(
        strength="Comfort",
        claim="Soft padding keeps it comfortable for hours.",
        good=(
            "it is comfortable for hours",
            "the {part} feels soft and light",
            "the {part} is a pleasure to use",
        ),
        bad=(
            "the {part} hurts after half an hour",
            "it is uncomfortable and stiff",
            "the {part} digs in badly",
        ),
        praise=("Very comfortable", "Soft and light"),
        blame=("Uncomfortable", "Painful after a while"),
    ),
    "build": Aspect(
        strength="Rugged",
        claim="A reinforced {part} stands up to years of use.",
        good=(
            "the {part} is solid",
            "the {part} feels sturdy and well-made",
            "it still looks perfect after months of use",
        ),
        bad=(
            "the {part} broke within a month",
            "the {part} feels flimsy",
            "the {part} cracked in the first week",
        ),
        praise=("Built to last", "Solid"),
        blame=("Broke quickly", "Flimsy {part}"),
    ),
    "picture": Aspect(
        strength="Vivid",
        claim="Colours are rich and details crisp from every side.",
        good=(
            "the picture is stunning",
            "the colours are beautiful",
            "details are sharp and clear",
        ),
        bad=("the picture is dull", "the colours look wrong", "details are blurry at the edges"),
        praise=("Great picture", "Beautiful colours"),
        blame=("Dull picture", "Blurry"),
    ),
    "sound": Aspect(
        strength="Clear-Voice",
        claim="Every voice and every string comes through clearly.",
        good=("the sound is fantastic", "voices are clear and warm", "the bass is deep and crisp"),
        bad=("the sound is tinny", "the bass is muddy and weak", "voices sound awful"),
        praise=("Fantastic sound", "Warm and clear"),
        blame=("Tinny", "Poor sound"),
    ),
    "connection": Aspect(
        strength="Instant-Pair",
        claim="It connects in seconds and stays connected.",
        good=(
            "it connects quickly every time",
            "pairing was effortless",
            "the connection is reliable",
        ),
        bad=(
            "the connection is unreliable",
            "pairing it is frustrating",
            "it gets stuck and loses the signal",
        ),
        praise=("Just connects", "Effortless pairing"),
        blame=("Drops out", "Unreliable"),
    ),
    "weight": Aspect(
        strength="Featherweight",
        claim="Light enough to carry all day.",
        good=(
            "it is pleasantly light to carry",
            "it is impressively lightweight",
            "it packs down nicely",
        ),
        bad=(
            "it is annoyingly heavy",
            "it is much too heavy to carry far",
            "it is bulky and awful to carry",
        ),
        praise=("Light as a feather", "So light"),
        blame=("Too heavy", "Bulky"),
    ),
    "cleaning": Aspect(
        strength="Easy-Clean",
        claim="It comes apart without tools and rinses clean in a minute.",
        good=(
            "it is easy to clean",
            "it wipes clean in seconds",
            "cleaning it is effortless",
        ),
        bad=(
            "cleaning it is tedious",
            "food gets stuck in every corner",
            "it stays sticky whatever I try",
        ),
        praise=("Easy to clean", "Clean in seconds"),
        blame=("Impossible to clean", "A mess to clean"),
    ),
    "fit": Aspect(
        strength="True-Fit",
        claim="The cut follows the body without pinching.",
        good=("the fit is perfect", "it fits snug and never slips", "the size is accurate"),
        bad=(
            "the fit is terrible",
            "it runs small and rubs painfully",
            "the size is wrong by a whole number",
        ),
        praise=("Fits perfectly", "True to size"),
        blame=("Wrong size", "Terrible fit"),
    ),
    "grip": Aspect(
        strength="Sure-Grip",
        claim="The {part} holds firm in the wet.",
        good=(
            "the {part} holds beautifully in the wet",
            "the grip is superb",
            "the {part} is reliable on any surface",
        ),
        bad=(
            "the {part} slips badly in the wet",
            "the grip is poor",
            "the {part} gives way at the worst moment",
        ),
        praise=("Superb grip", "Holds in the wet"),
        blame=("Slippery", "No grip"),
    ),
    "weather": Aspect(
        strength="Stormproof",
        claim="Taped seams keep the rain outside.",
        good=(
            "it stays perfectly dry in heavy rain",
            "the fabric is reliable in a storm",
            "it keeps the wind out nicely",
        ),
        bad=("the seams leak", "it leaked in the first rain", "it is useless in the rain"),
        praise=("Bone dry", "Perfect in the rain"),
        blame=("Leaks", "Not waterproof"),
    ),
    "zip": Aspect(
        strength="Glide-Zip",
        claim="Wide zips run freely, also with gloves on.",
        good=("the zips run smoothly", "the zip is solid", "the pockets are handy"),
        bad=(
            "the zip is stuck half of the time",
            "the zip broke at once",
            "the pockets are uselessly small and annoying",
        ),
        praise=("Smooth zips", "Clever pockets"),
        blame=("Zip broke", "Awful zip"),
    ),
    "warmth": Aspect(
        strength="Thermal",
        claim="It keeps its warmth through a frosty night.",
        good=(
            "it is wonderfully warm",
            "it keeps me warm and cozy all night",
            "the heat is even and it warms up fast",
        ),
        bad=(
            "it is a disappointment on cold days",
            "it takes a miserable hour to get warm",
            "the heat is uneven and weak",
        ),
        praise=("Warm and cozy", "Wonderfully warm"),
        blame=("Cold", "Weak heat"),
    ),
    "edge": Aspect(
        strength="Razor-Edge",
        claim="The blade is ground by hand and keeps its edge.",
        good=(
            "the blade is sharp out of the box",
            "the blade cuts smoothly",
            "the edge stays sharp for months",
        ),
        bad=(
            "the blade went dull in a week",
            "the blade is dull and rusty",
            "the steel is inferior and the edge chipped",
        ),
        praise=("Wonderfully sharp", "Sharp and stays sharp"),
        blame=("Dull blade", "Rusty"),
    ),
    "taste": Aspect(
        strength="Full-Flavour",
        claim="Even extraction brings out the whole flavour.",
        good=("the coffee is delicious", "every cup tastes great", "the aroma is wonderful"),
        bad=("the coffee is bland", "every cup tastes stale", "the coffee tastes awful"),
        praise=("Delicious coffee", "Great taste"),
        blame=("Bland coffee", "Tastes awful"),
    ),
    "rules": Aspect(
        strength="Quick-Start",
        claim="The rules fit on one page and are taught in five minutes.",
        good=(
            "the rules are clear and elegant",
            "we were happily playing within five minutes",
            "it is easy to teach",
        ),
        bad=(
            "the rules are confusing",
            "the rule book is a mess",
            "the scoring is needlessly complicated",
        ),
        praise=("Easy to learn", "Clear rules"),
        blame=("Confusing rules", "Too complicated"),
    ),
    "depth": Aspect(
        strength="Ever-Changing",
        claim="No two games are the same.",
        good=(
            "every round is different and fun",
            "we love playing it again and again",
            "the decisions are clever",
        ),
        bad=(
            "it gets boring after two games",
            "every round is repetitive",
            "winning is pointless luck",
        ),
        praise=("Endless fun", "Different every time"),
        blame=("Boring", "Repetitive"),
    ),
    "pieces": Aspect(
        strength="Deluxe",
        claim="Wooden pieces and thick boards come in a fitted box.",
        good=("the pieces are beautiful", "the cards are sturdy", "the artwork is gorgeous"),
        bad=(
            "the pieces are flimsy",
            "two pieces were missing",
            "the cards look worn and cheap",
        ),
        praise=("Beautiful pieces", "Gorgeous artwork"),
        blame=("Missing pieces", "Flimsy cards"),
    ),
    "assembly": Aspect(
        strength="Click-Together",
        claim="It is set up by one person in minutes.",
        good=(
            "it was easy to put together",
            "it is great to set up alone",
            "the instructions are clear",
        ),
        bad=(
            "putting it together was a nightmare",
            "the instructions are confusing",
            "some screws were missing",
        ),
        praise=("Set up in minutes", "Easy to put together"),
        blame=("Nightmare to assemble", "Missing screws"),
    ),
    "light": Aspect(
        strength="Daylight",
        claim="The light is even and free of flicker.",
        good=(
            "the light is bright and even",
            "the light is warm and pleasant",
            "it gives a beautiful glow",
        ),
        bad=(
            "the light flickers terribly",
            "the light is harsh",
            "it is too weak to read by",
        ),
        praise=("Lovely light", "Bright and even"),
        blame=("Flickers", "Harsh light"),
    ),
    "power": Aspect(
        strength="Turbo",
        claim="A strong {part} makes short work of the hardest jobs.",
        good=(
            "the {part} is powerful",
            "it gets through everything impressively fast",
            "the {part} is impressively strong",
        ),
        bad=(
            "the {part} is weak",
            "it is slow and struggles with everything",
            "the {part} fails after five minutes",
        ),
        praise=("Powerful", "Impressively strong"),
        blame=("Weak {part}", "No power"),
    ),
    "tracking": Aspect(
        strength="Pinpoint",
        claim="Position and pulse are measured every second.",
        good=(
            "the tracking is accurate",
            "distance and pulse are precise",
            "the route is spot on and reliable",
        ),
        bad=(
            "the tracking is inaccurate",
            "the distance is wrong every time",
            "the pulse readings are useless",
        ),
        praise=("Accurate", "Precise tracking"),
        blame=("Inaccurate", "Wrong distances"),
    ),
    "stability": Aspect(
        strength="Steady",
        claim="It stands firm on any ground.",
        good=("the {part} is stable", "it stands perfectly steady", "the {part} is reliable"),
        bad=(
            "the {part} is wobbly",
            "it is frustrating how easily it tips over",
            "the {part} wobbles terribly",
        ),
        praise=("Rock steady", "Very stable"),
        blame=("Wobbly", "Tips over"),
    ),
}
