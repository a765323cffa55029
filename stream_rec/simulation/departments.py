"""What the simulated shop sells: twenty kinds of product, what they are bought for, what matters.

A kind names its department and category, the uses shoppers have for it (each a need of its own),
the aspects its quality lies in (with the part each is about), its price range, the sizes it comes
in, and the kinds bought along with it. Does not know single products (`catalogue.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of product; `uses` maps a use to what the maker says about it."""

    name: str
    department: str
    category: str
    noun: str
    uses: dict[str, str]
    aspects: dict[str, str]
    price: tuple[float, float]
    sizes: tuple[str, ...]
    goes_with: tuple[str, ...]

    @property
    def said(self) -> str:
        """What a reviewer calls one of them, in the singular."""
        return "pair" if self.noun.endswith("s") else self.noun


KINDS: tuple[Kind, ...] = (
    Kind(
        name="monitor",
        department="Computing",
        category="Monitors",
        noun="monitor",
        uses={
            "office": "Made for long days of letters and tables.",
            "gaming": "Made for fast games, with 165 pictures a second.",
            "photo": "Made for editing photos, calibrated at the factory.",
        },
        aspects={"noise": "fan", "picture": "panel", "stability": "stand", "build": "frame"},
        price=(129, 699),
        sizes=('24"', '27"', '32"', '34"'),
        goes_with=("keyboard", "lamp"),
    ),
    Kind(
        name="keyboard",
        department="Computing",
        category="Keyboards",
        noun="keyboard",
        uses={
            "office": "Made for writers who share a room.",
            "gaming": "Made for quick fingers, with keys that can be programmed.",
            "travel": "Made for the road: it folds into a coat pocket.",
        },
        aspects={
            "noise": "space bar",
            "comfort": "wrist rest",
            "connection": "radio",
            "build": "case",
        },
        price=(25, 189),
        sizes=("60%", "75%", "full-size"),
        goes_with=("monitor", "headphones"),
    ),
    Kind(
        name="headphones",
        department="Audio",
        category="Headphones",
        noun="headphones",
        uses={
            "commuting": "Made for trains and open-plan offices.",
            "studio": "Made for mixing, with a flat response.",
            "sport": "Made for running, and safe with sweat.",
        },
        aspects={"sound": "driver", "battery": "battery", "comfort": "headband", "build": "hinge"},
        price=(29, 349),
        sizes=("over-ear", "on-ear", "in-ear"),
        goes_with=("speaker", "watch"),
    ),
    Kind(
        name="speaker",
        department="Audio",
        category="Speakers",
        noun="speaker",
        uses={
            "party": "Made for a garden full of friends.",
            "shower": "Made for wet rooms, with a hook.",
            "desk": "Made for the desk, and no wider than a book.",
        },
        aspects={"sound": "woofer", "battery": "battery", "connection": "radio", "build": "grille"},
        price=(19, 299),
        sizes=("mini", "mid-size", "tower"),
        goes_with=("headphones", "lamp"),
    ),
    Kind(
        name="coffee",
        department="Kitchen",
        category="Coffee makers",
        noun="coffee maker",
        uses={
            "espresso": "Made for espresso, at nine bar.",
            "filter": "Made for a big pot on a slow morning.",
            "travel": "Made for camp sites and hotel rooms.",
        },
        aspects={"taste": "filter", "noise": "pump", "cleaning": "tank", "build": "handle"},
        price=(24, 499),
        sizes=("2-cup", "6-cup", "10-cup"),
        goes_with=("blender", "pan"),
    ),
    Kind(
        name="blender",
        department="Kitchen",
        category="Blenders",
        noun="blender",
        uses={
            "smoothies": "Made for frozen fruit and ice.",
            "soup": "Made for hot soup straight from the pot.",
            "baking": "Made for batter and dough.",
        },
        aspects={"power": "motor", "noise": "motor", "cleaning": "jug", "build": "jug"},
        price=(22, 259),
        sizes=("0.6 l", "1.2 l", "2 l"),
        goes_with=("knife", "coffee"),
    ),
    Kind(
        name="knife",
        department="Kitchen",
        category="Knives",
        noun="knife",
        uses={
            "chef": "Made for everything on the board.",
            "bread": "Made for crusts, with long teeth.",
            "paring": "Made for peeling and fine work.",
        },
        aspects={"edge": "blade", "comfort": "handle", "grip": "handle", "build": "tip"},
        price=(12, 179),
        sizes=("9 cm", "15 cm", "20 cm"),
        goes_with=("pan", "blender"),
    ),
    Kind(
        name="pan",
        department="Kitchen",
        category="Pans",
        noun="pan",
        uses={
            "frying": "Made for eggs, pancakes and steak.",
            "wok": "Made for high flames, with a round bottom.",
            "casserole": "Made for stews that take all day.",
        },
        aspects={"warmth": "base", "cleaning": "coating", "weight": "lid", "build": "handle"},
        price=(18, 229),
        sizes=("20 cm", "24 cm", "28 cm"),
        goes_with=("knife", "barbecue"),
    ),
    Kind(
        name="shoes",
        department="Running",
        category="Running shoes",
        noun="running shoes",
        uses={
            "trail": "Made for roots, rocks and mud.",
            "road": "Made for miles of asphalt.",
            "racing": "Made for race day, with a plate in the sole.",
        },
        aspects={"comfort": "cushioning", "grip": "sole", "fit": "toe box", "build": "sole"},
        price=(49, 249),
        sizes=("wide", "regular", "narrow"),
        goes_with=("jacket", "watch"),
    ),
    Kind(
        name="watch",
        department="Running",
        category="Sports watches",
        noun="sports watch",
        uses={
            "marathon": "Made for training plans and race pace.",
            "hiking": "Made for long tours, with maps.",
            "swimming": "Made for lengths and open water.",
        },
        aspects={"battery": "battery", "tracking": "sensor", "comfort": "strap", "build": "glass"},
        price=(79, 599),
        sizes=("42 mm", "46 mm", "51 mm"),
        goes_with=("shoes", "headphones"),
    ),
    Kind(
        name="jacket",
        department="Running",
        category="Running jackets",
        noun="running jacket",
        uses={
            "rain": "Made for wet spring mornings.",
            "winter": "Made for frost and dark evenings.",
            "wind": "Made for coast paths and ridges.",
        },
        aspects={"weather": "hood", "zip": "zip", "fit": "cuff", "weight": "lining"},
        price=(39, 219),
        sizes=("slim", "regular", "long"),
        goes_with=("shoes", "tent"),
    ),
    Kind(
        name="board_game",
        department="Games",
        category="Board games",
        noun="board game",
        uses={
            "family": "Made for children and grandparents at one table.",
            "strategy": "Made for long evenings of plotting.",
            "party": "Made for a loud room of eight.",
        },
        aspects={"rules": "rule book", "depth": "deck", "pieces": "board"},
        price=(14, 109),
        sizes=("2 players", "2–4 players", "3–8 players"),
        goes_with=("puzzle", "lamp"),
    ),
    Kind(
        name="puzzle",
        department="Games",
        category="Puzzles",
        noun="puzzle",
        uses={
            "landscape": "Made from photographs of wild coasts.",
            "art": "Made after famous paintings.",
            "children": "Made for small hands, with big pieces.",
        },
        aspects={"pieces": "board", "picture": "print", "depth": "cut"},
        price=(9, 59),
        sizes=("100 pieces", "500 pieces", "1000 pieces"),
        goes_with=("board_game", "lamp"),
    ),
    Kind(
        name="secateurs",
        department="Garden",
        category="Hand tools",
        noun="secateurs",
        uses={
            "roses": "Made for roses and soft shoots.",
            "hedge": "Made for hedges and long straight cuts.",
            "orchard": "Made for old wood in the orchard.",
        },
        aspects={"edge": "blade", "comfort": "handle", "grip": "handle", "build": "spring"},
        price=(11, 89),
        sizes=("18 cm", "21 cm", "60 cm"),
        goes_with=("hose", "barbecue"),
    ),
    Kind(
        name="hose",
        department="Garden",
        category="Watering",
        noun="garden hose",
        uses={
            "terrace": "Made for pots and small terraces.",
            "lawn": "Made for the sprinkler on a big lawn.",
            "vegetables": "Made for drip lines between the beds.",
        },
        aspects={"build": "fitting", "weight": "reel", "power": "nozzle", "assembly": "reel"},
        price=(15, 149),
        sizes=("10 m", "20 m", "30 m"),
        goes_with=("secateurs", "barbecue"),
    ),
    Kind(
        name="barbecue",
        department="Garden",
        category="Barbecues",
        noun="barbecue",
        uses={
            "charcoal": "Made for smoke and patience.",
            "gas": "Made for dinner after work, lit by a button.",
            "picnic": "Made for the beach: it folds flat.",
        },
        aspects={"warmth": "grate", "assembly": "frame", "cleaning": "tray", "stability": "leg"},
        price=(29, 549),
        sizes=("2-person", "4-person", "8-person"),
        goes_with=("pan", "hose"),
    ),
    Kind(
        name="tent",
        department="Camping",
        category="Tents",
        noun="tent",
        uses={
            "trekking": "Made for one more pass before dark.",
            "family": "Made for two weeks by the lake.",
            "festival": "Made for three nights and little sleep.",
        },
        aspects={"weather": "fly", "weight": "pole", "assembly": "pole", "zip": "zip"},
        price=(39, 599),
        sizes=("1-person", "3-person", "5-person"),
        goes_with=("sleeping_bag", "lamp"),
    ),
    Kind(
        name="sleeping_bag",
        department="Camping",
        category="Sleeping bags",
        noun="sleeping bag",
        uses={
            "summer": "Made for warm nights and huts.",
            "winter": "Made for snow, down to minus fifteen.",
            "children": "Made to grow along for five years.",
        },
        aspects={"warmth": "filling", "zip": "zip", "weight": "sack", "comfort": "lining"},
        price=(29, 389),
        sizes=("short", "regular", "long"),
        goes_with=("tent", "jacket"),
    ),
    Kind(
        name="lamp",
        department="Home",
        category="Lamps",
        noun="lamp",
        uses={
            "reading": "Made for the chair by the window.",
            "desk": "Made for work until late.",
            "bedside": "Made for the last page of the day.",
        },
        aspects={"light": "shade", "stability": "arm", "noise": "transformer", "build": "switch"},
        price=(17, 219),
        sizes=("small", "medium", "tall"),
        goes_with=("monitor", "puzzle"),
    ),
    Kind(
        name="vacuum",
        department="Home",
        category="Vacuum cleaners",
        noun="vacuum cleaner",
        uses={
            "pets": "Made for fur on sofas and stairs.",
            "stairs": "Made without a cord, to hang on the wall.",
            "robot": "Made to find its own way round.",
        },
        aspects={"power": "motor", "noise": "motor", "battery": "battery", "cleaning": "bin"},
        price=(59, 649),
        sizes=("0.4 l", "0.8 l", "2 l"),
        goes_with=("lamp", "blender"),
    ),
)
