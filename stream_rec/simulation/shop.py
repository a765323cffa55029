"""The simulated shop: a catalogue, its shoppers, and what they do, from a seed alone.

Emits items and events as plain dicts in the format of the public contract. The same seed and
arguments give the same stream; there is no clock, timestamps are arguments. Does not know Kafka,
files, or what is recommended: its shoppers do not read the lists.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from stream_rec.simulation.catalogue import Product, make_products
from stream_rec.simulation.reviews import write_review
from stream_rec.simulation.tastes import Need, Shopper, buy, decide, drift, make_shopper, pick

Record = dict[str, Any]


class Happening(NamedTuple):
    """One record of the stream; `topic` is `items`, `clicks` or `reviews`."""

    topic: str
    record: Record


class Shop:
    """A shop of `items` products and `newcomers` to come, visited by `users` shoppers."""

    def __init__(
        self, seed: int = 7, *, items: int = 600, users: int = 400, newcomers: int = 60
    ) -> None:
        self.seed = seed
        self.users = users
        self.products = make_products(Random(f"{seed} shelf"), count=items, newcomers=newcomers)

    def catalogue(self, start_ms: int = 0) -> list[Record]:
        """Return the opening range, published over the year before `start_ms`."""
        rng = Random(f"{self.seed} published")
        return [
            product.record(start_ms - rng.randrange(YEAR_MS))
            for product in self.products
            if not product.newcomer
        ]

    def shoppers(self) -> list[Shopper]:
        """Make the shoppers as they are before the stream begins."""
        rng = Random(f"{self.seed} crowd")
        return [
            make_shopper(rng, f"{rng.choice(_NAMES)}-{number:03}")
            for number in range(1, self.users + 1)
        ]

    def events(self, count: int, start_ms: int, interval_ms: int) -> Iterator[Record]:
        """Yield `count` events, one every `interval_ms` from `start_ms` on; see `happenings`."""
        for happening in self.happenings(count, start_ms, interval_ms):
            if happening.topic != "items":
                yield happening.record

    def happenings(self, count: int, start_ms: int, interval_ms: int) -> Iterator[Happening]:
        """Yield `count` events, and the newcomers' items evenly among the first nine tenths.

        A newcomer is met only after its item has been yielded. Another `count` is another stream,
        since newcomers appear at other times.
        """
        traffic = Traffic(self)
        waiting = deque(product for product in self.products if product.newcomer)
        gap = max(LEAST_GAP, 9 * count // (10 * (len(waiting) + 1)))
        for number in range(count):
            now_ms = start_ms + number * interval_ms
            if number and number % gap == 0 and waiting:
                product = waiting.popleft()
                traffic.put_on_shelf(product)
                yield Happening("items", product.record(now_ms))
            event = traffic.next_event(number, now_ms)
            yield Happening("reviews" if event["event_type"] == "review" else "clicks", event)


class Traffic:
    """Shoppers in the shop at the same time, each in the middle of a session."""

    def __init__(self, shop: Shop) -> None:
        self.shoppers = shop.shoppers()
        self._rng = Random(f"{shop.seed} traffic")
        self._prefix = f"s{shop.seed}"
        self._shelves: dict[str, list[Product]] = {}
        for product in shop.products:
            if not product.newcomer:
                self.put_on_shelf(product)
        self._activity = [shopper.activity for shopper in self.shoppers]
        places = max(1, min(len(self.shoppers) // AT_ONCE, 64))
        self._inside: list[deque[Record]] = [deque() for _ in range(places)]
        self._sessions = 0

    def put_on_shelf(self, product: Product) -> None:
        """Let shoppers find a product from now on."""
        self._shelves.setdefault(product.kind.name, []).append(product)

    def next_event(self, number: int, now_ms: int) -> Record:
        """Return event `number` of the stream, that of one of the shoppers inside."""
        place = self._rng.randrange(len(self._inside))
        while not self._inside[place]:
            # One visit at a time for each shopper: who is inside does not come in again.
            visiting = {acts[0]["user_id"] for acts in self._inside if acts}
            shopper = self._rng.choices(self.shoppers, self._activity)[0]
            if shopper.user_id not in visiting:
                self._inside[place].extend(self._session(shopper))
        act = self._inside[place].popleft()
        return {"event_id": f"{self._prefix}-{number:07}", **act, "timestamp": now_ms}

    def _session(self, shopper: Shopper) -> list[Record]:
        """Play a visit: reviews that are due, then a look round, then perhaps a purchase."""
        rng = self._rng
        self._sessions += 1
        drift(rng, shopper)
        acts = [self._review(shopper, product) for product in shopper.to_review]
        shopper.to_review = []
        need = decide(rng, shopper)
        seen = pick(
            rng, shopper, self._shelves[need.kind], use=need.use, count=rng.choice(LOOKED_AT)
        )
        for product in seen:
            acts.append(self._act("view" if rng.random() < 0.25 else "click", shopper, product))
            if rng.random() < STRAY:
                acts.append(self._act("click", shopper, self._passing(shopper, need)))
        if rng.random() < DECIDED:
            acts += self._purchase(shopper, seen[-1])
        return acts

    def _purchase(self, shopper: Shopper, product: Product) -> list[Record]:
        rng = self._rng
        acts = [self._act("cart", shopper, product)] if rng.random() < 0.6 else []
        if rng.random() < 0.85:
            acts.append(self._act("purchase", shopper, product) | {"value": product.price})
            buy(rng, shopper, product)
            if rng.random() < REVIEWED:
                shopper.to_review.append(product)
        return acts

    def _passing(self, shopper: Shopper, need: Need) -> Product:
        """Find something seen in passing: what goes with the need, or anything well known."""
        shelf = self._shelves[need.kind]
        kind = self._rng.choice([*shelf[0].kind.goes_with, *self._shelves])
        use = shopper.uses[kind]
        found = pick(self._rng, shopper, self._shelves[kind], use=use, count=1)
        return found[0]

    def _review(self, shopper: Shopper, product: Product) -> Record:
        review = write_review(self._rng, product, shopper.cares)
        words = {"title": review.title, "text": review.text} if review.text else {}
        return self._act("review", shopper, product) | {"rating": review.rating, **words}

    def _act(self, event_type: str, shopper: Shopper, product: Product) -> Record:
        return {
            "event_type": event_type,
            "user_id": shopper.user_id,
            "item_id": product.item_id,
            "scenario": "default",
            "session_id": f"{self._prefix}-v{self._sessions}",
        }


YEAR_MS = 365 * 24 * 3600 * 1000
AT_ONCE = 10
"""One shopper in ten is inside at any time."""
LEAST_GAP = 20
"""Events between two newcomers; a short stream sees only some of them."""
LOOKED_AT = (2, 3, 3, 4, 5, 6)
STRAY = 0.15
DECIDED = 0.6
REVIEWED = 0.7

_FIRST_NAMES = """
ada ben carla dev elif finn grace hugo ines jonas kaya leo mira nils olga pablo quinn rosa sami tess
umar vera wim xenia yara zoe
"""
_NAMES = tuple(_FIRST_NAMES.split())
