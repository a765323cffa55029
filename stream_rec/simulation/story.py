"""One shopper whose visit is scripted, so that a demonstration shows what a review changes.

Nora wants an office monitor, looks at several, buys one and finds its fan too loud. The products
are chosen by what they are really like, so the review is true. Does not know what is recommended
to her.
"""

from __future__ import annotations

from typing import NamedTuple

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
    part = bought.kind.aspects[ASPECT]
    review = {
        "rating": 2,
        "title": "Loud",
        "text": f"Great picture, but the {part} is unbearable.",
    }
    acts: list[tuple[str, str, Product, Record]] = [
        *(("Nora looks at a monitor for her office", "click", other, {}) for other in others),
        ("and at one with a great picture", "click", bought, {}),
        ("puts it into the cart", "cart", bought, {}),
        ("and buys it", "purchase", bought, {"value": bought.price}),
        ("A week later: the fan is unbearable", "review", bought, review),
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


def _shortlist(shop: Shop) -> list[Product]:
    """Return the product to be regretted, loud with a good picture, and three to look at first."""
    range_ = [p for p in shop.products if (p.kind.name, p.use) == NEED and not p.newcomer]
    range_.sort(key=lambda p: p.quality[ASPECT] - max(0.0, p.quality["picture"]))
    bought, *rest = range_
    rest.sort(key=lambda p: -p.appeal)
    return [bought, *rest[:3]]


NEED = ("monitor", "office")
ASPECT = "noise"
