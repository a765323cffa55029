"""One shopper whose visit is scripted, so that a demonstration shows what a review changes.

Nora wants an office monitor, looks at several, buys one and finds its fan too loud. The products
are chosen by what they are really like, so the review is true. Does not know what is recommended
to her.
"""

from __future__ import annotations

from typing import NamedTuple

from stream_rec.simulation.aspects import ASPECTS
from stream_rec.simulation.catalogue import Product
from stream_rec.simulation.shop import Record, Shop


class Scene(NamedTuple):
    """One event of the story and what to say about it; `topic` is `clicks` or `reviews`."""

    caption: str
    topic: str
    record: Record


PROTAGONIST = "nora"


def story(shop: Shop, start_ms: int, interval_ms: int) -> list[Scene]:
    """Tell the story: looks, a purchase, and a bad review.

    No other shopper has her name. Scenes are `interval_ms` apart, from `start_ms` on.
    """
    bought, *others = _shortlist(shop)
    review = {"rating": 2, "title": "Loud", "text": _review_text(bought)}
    acts: list[tuple[str, str, Product, Record]] = [
        *(("Nora looks at a monitor for her office", "click", other, {}) for other in others),
        ("and at one more", "click", bought, {}),
        ("puts it into the cart", "cart", bought, {}),
        ("and buys it", "purchase", bought, {"value": bought.price}),
        ("Nora writes: the fan is unbearable", "review", bought, review),
    ]
    return [
        Scene(
            caption,
            "reviews" if event_type == "review" else "clicks",
            {
                "event_id": f"s{shop.seed}-{PROTAGONIST}-{number}",
                "event_type": event_type,
                "user_id": PROTAGONIST,
                "item_id": product.item_id,
                "scenario": "default",
                "session_id": f"s{shop.seed}-{PROTAGONIST}",
                **extra,
                "timestamp": start_ms + number * interval_ms,
            },
        )
        for number, (caption, event_type, product, extra) in enumerate(acts)
    ]


def _review_text(product: Product) -> str:
    """Praise a product for what it does best, the picture first, and blame its noise."""
    rest = {aspect: value for aspect, value in product.quality.items() if aspect != ASPECT}
    best = "picture" if rest["picture"] >= 0.2 else max(rest, key=rest.__getitem__)
    blame = f"the {product.kind.aspects[ASPECT]} is unbearable."
    if rest[best] <= 0:
        return blame.capitalize()
    return f"{ASPECTS[best].praise[0]}, but {blame}"


def _shortlist(shop: Shop) -> list[Product]:
    """Return the product to be regretted, then three to look at before it.

    It is the loudest, if it can be one with a good picture.
    """
    range_ = [p for p in shop.products if (p.kind.name, p.use) == NEED and not p.newcomer]
    range_.sort(
        key=lambda p: (p.quality[ASPECT] > -0.2 or p.quality["picture"] < 0.2, p.quality[ASPECT])
    )
    bought, *rest = range_
    rest.sort(key=lambda p: -p.appeal)
    return [bought, *rest[:3]]


NEED = ("monitor", "office")
ASPECT = "noise"
