"""The simulated shop's products: what a shopper can read, and what they are really like.

Makes products from a seed. Titles, descriptions, tags and prices tell part of the hidden quality,
as in a real shop: makers boast of what is good and keep quiet about the rest. Does not know
shoppers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

from stream_rec.simulation.aspects import ASPECTS
from stream_rec.simulation.departments import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product; everything from `quality` on is hidden from the shop's own systems.

    `quality` is -1 to 1 by aspect; `looks` is a direction no text tells; `appeal` is how well known
    it is, log scale; `price_level` is its place in the kind's range, 0 to 1; a `newcomer` appears
    while the stream runs.
    """

    item_id: str
    title: str
    description: str
    brand: str
    price: float
    kind: Kind
    use: str
    tags: tuple[str, ...]
    quality: dict[str, float]
    looks: tuple[float, ...]
    appeal: float
    price_level: float
    newcomer: bool

    def record(self, published_at: int) -> dict[str, Any]:
        """Return the record for the items topic; `published_at` in epoch milliseconds."""
        return {
            "item_id": self.item_id,
            "title": self.title,
            "description": self.description,
            "categories": [[self.kind.department, self.kind.category]],
            "tags": list(self.tags),
            "brand": self.brand,
            "price": self.price,
            "available": True,
            "published_at": published_at,
        }


def make_products(rng: Random, *, count: int, newcomers: int) -> tuple[Product, ...]:
    """Make `count` products of the opening range, then `newcomers` that will appear later.

    Kinds and uses take turns, so that every need has about the same number of products.
    """
    ranges = [[*_NAMES] for _ in KINDS]
    for names in ranges:
        rng.shuffle(names)
    made = []
    for number in range(count + newcomers):
        row = number % len(KINDS)
        turn = number // len(KINDS)
        uses = [*KINDS[row].uses]
        name = ranges[row][turn % len(_NAMES)]
        model = name if turn < len(_NAMES) else f"{name} {turn // len(_NAMES) + 1}"
        made.append(
            _make_product(
                rng,
                KINDS[row],
                use=uses[turn % len(uses)],
                names=(f"i{number + 1:04}", model),
                newcomer=number >= count,
            )
        )
    return tuple(made)


def _make_product(
    rng: Random, kind: Kind, *, use: str, names: tuple[str, str], newcomer: bool
) -> Product:
    item_id, model = names
    brand = rng.choice(BRANDS[kind.department])
    craft = 0.35 * math.sin(1.7 * sum(map(ord, brand)))  # a maker is good or bad throughout
    quality = {aspect: max(-1.0, min(1.0, craft + rng.gauss(0.1, 0.6))) for aspect in kind.aspects}
    mean = sum(quality.values()) / len(quality)
    level = max(0.0, min(1.0, 0.5 + 0.25 * mean + rng.gauss(0, 0.22)))
    low, high = kind.price
    strengths = sorted((a for a in quality if quality[a] > 0.35), key=lambda a: -quality[a])
    size = rng.choice(kind.sizes)
    boast = [ASPECTS[aspect].strength for aspect in strengths[:1]]
    return Product(
        item_id=item_id,
        title=" ".join([brand, model, size, *boast, use, kind.noun]),
        description=_description(rng, kind, use=use, strengths=strengths),
        brand=brand,
        price=round(low * (high / low) ** level) - 0.01,
        kind=kind,
        use=use,
        tags=(use, size, *(["new"] if newcomer else [])),
        quality=quality,
        looks=tuple(rng.gauss(0, 1) for _ in range(LOOKS)),
        appeal=1.3 * rng.gauss(0, 1) + 0.6 * mean,
        price_level=level,
        newcomer=newcomer,
    )


def _description(rng: Random, kind: Kind, *, use: str, strengths: list[str]) -> str:
    claims = [ASPECTS[a].claim.format(part=kind.aspects[a]) for a in strengths[:3]]
    rng.shuffle(claims)
    if not claims:
        claims = [rng.choice(_PLATITUDES)]
    return " ".join([kind.uses[use], *claims, rng.choice(_ENDINGS)])


LOOKS = 3

BRANDS = {
    "Computing": ("Vantor", "Lumeo", "Kestrel", "Oakbyte", "Nordlys", "Pixara"),
    "Audio": ("Sonara", "Brume", "Tamber", "Oktav", "Lyrebird", "Echonel"),
    "Kitchen": ("Brassica", "Molino", "Tavola", "Steamwell", "Pernille", "Copperleaf"),
    "Running": ("Fleetwing", "Cadenza", "Ridgeway", "Stridera", "Tarn", "Zephra"),
    "Games": ("Meeplewood", "Foxglove", "Parlour & Co", "Dicehall", "Lanternfish", "Tessella"),
    "Garden": ("Greenhithe", "Loam", "Thistledown", "Gardel", "Hawthorne", "Sorrel"),
    "Camping": ("Basecamp North", "Larch", "Cairn", "Windrow", "Fernweh", "Tundra"),
    "Home": ("Hygga", "Alabaster", "Moorhen", "Lindqvist", "Casalux", "Dovetail"),
}

_WORDS = """
Alder Arcus Bolt Breeze Cinder Cobalt Corvus Delta Drift Ember Fjord Flint Halo Harbor
Indigo Ivory Juno Kite Lagoon Linden Lumen Maple Meridian Mistral Nimbus Nova Onyx Opal Orbit
Pebble Pine Prism Quartz Quill Raven Reef Saffron Sierra Solace Spruce Summit Terra Tide Umbra
Vale Vela Willow Zenith
"""
_NAMES = tuple(_WORDS.split())

_PLATITUDES = (
    "Simple and honest.",
    "Does what it should.",
    "Known for years, now in new colours.",
)

_ENDINGS = (
    "Two years of guarantee.",
    "Comes in a box of recycled card.",
    "Spare parts are kept for ten years.",
    "Designed in Aarhus.",
    "Thirty days to change your mind.",
)
