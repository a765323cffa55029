"""Simulated tastes: worth learning, not trivial, and drifting."""

import math
from collections import Counter, defaultdict
from random import Random

import pytest

from stream_rec.simulation.catalogue import Product
from stream_rec.simulation.shop import Shop, Traffic
from stream_rec.simulation.tastes import Shopper, drift, liking, make_shopper

EVENTS = 9000


def oracle(shopper: Shopper, shelves: dict[str, list[Product]], last: str) -> Counter[str]:
    """Score products by hidden tastes and the kind looked at last, but not by what is planned."""
    scores: Counter[str] = Counter()
    wanted = sum(shopper.favourites.values())
    for kind, shelf in shelves.items():
        chance = 0.4 * shopper.favourites[kind] / wanted + 0.6 * (kind == last)
        liked = {p.item_id: math.exp(liking(shopper, p, shopper.uses[kind])) for p in shelf}
        total = sum(liked.values())
        scores.update({item_id: chance * value / total for item_id, value in liked.items()})
    return scores


@pytest.fixture(scope="module")
def gains() -> dict[str, float]:
    """NDCG@10 of simple scores at predicting the next new item of a user, prequentially."""
    shop = Shop(11)
    traffic = Traffic(shop)
    shoppers = {shopper.user_id: shopper for shopper in traffic.shoppers}
    products = {p.item_id: p for p in shop.products if not p.newcomer}
    shelves: dict[str, list[Product]] = defaultdict(list)
    for product in products.values():
        shelves[product.kind.name].append(product)
    words = {i: frozenset(f"{p.title} {p.description}".split()) for i, p in products.items()}
    spread = Counter(word for told in words.values() for word in told)
    popular: Counter[str] = Counter()
    together: dict[str, Counter[str]] = defaultdict(Counter)
    history: dict[str, list[str]] = defaultdict(list)
    rng = Random(12)
    gains: Counter[str] = Counter()
    for number in range(EVENTS):
        event = traffic.next_event(number, number)
        user, item = event["user_id"], event["item_id"]
        seen = history[user]
        if event["event_type"] == "review":
            continue
        if seen and item not in seen:
            gains["steps"] += 1
            gains["same kind"] += products[seen[-1]].kind is products[item].kind
            if number > EVENTS // 2 and rng.random() < 0.15:
                told = words[seen[-1]]
                scorers = {
                    "popularity": popular,
                    "co-visitation": together[seen[-1]],
                    "text": {i: sum(1 / spread[w] for w in told & words[i]) for i in words},
                    "chance": {i: rng.random() for i in products},
                    "oracle": oracle(shoppers[user], shelves, products[seen[-1]].kind.name),
                }
                gains["scored"] += 1
                for name, scores in scorers.items():
                    new = [i for i in scores if i not in seen]
                    top = sorted(new, key=lambda i: -scores[i])[:10]
                    if item in top:
                        gains[name] += 1 / math.log2(top.index(item) + 2)
        for distance, other in enumerate(reversed(seen[-3:])):
            together[other][item] += 0.7**distance
            together[item][other] += 0.35**distance
        popular[item] += 1
        seen.append(item)
    scored = gains.pop("scored")
    share = gains.pop("same kind") / gains.pop("steps")
    return {"same kind": share, **{name: gain / scored for name, gain in gains.items()}}


def test_oracle_of_tastes_beats_popularity_by_far_and_is_not_perfect(
    gains: dict[str, float],
) -> None:
    assert gains["oracle"] > 4 * gains["popularity"]
    assert gains["oracle"] < 0.6


def test_popularity_text_and_co_visitation_each_carry_signal(gains: dict[str, float]) -> None:
    assert gains["popularity"] > 2 * gains["chance"]
    assert gains["text"] > 2 * gains["popularity"]
    assert gains["co-visitation"] > 2 * gains["popularity"]
    assert max(gains["text"], gains["co-visitation"]) < 0.8 * gains["oracle"]


def test_consecutive_items_share_their_kind_far_above_chance(gains: dict[str, float]) -> None:
    assert 0.4 < gains["same kind"] < 0.9  # of twenty kinds


def test_tastes_drift() -> None:
    rng = Random(13)
    shopper = make_shopper(rng, "ada")
    before, looks = dict(shopper.favourites), list(shopper.looks)
    for _ in range(60):
        drift(rng, shopper)
    assert max(before, key=before.__getitem__) != max(
        shopper.favourites, key=shopper.favourites.__getitem__
    )
    assert shopper.looks != looks
    assert all(math.isfinite(weight) for weight in shopper.favourites.values())


def test_shoppers_look_at_what_their_tastes_rank_high() -> None:
    shop = Shop(14)
    traffic = Traffic(shop)
    shoppers = {shopper.user_id: shopper for shopper in traffic.shoppers}
    products = {product.item_id: product for product in shop.products}
    above = total = 0
    for number in range(1500):
        event = traffic.next_event(number, number)
        shopper, product = shoppers[event["user_id"]], products[event["item_id"]]
        use = shopper.uses[product.kind.name]
        rivals = [p for p in shop.products if p.kind is product.kind]
        middle = sorted(liking(shopper, p, use) for p in rivals)[len(rivals) // 2]
        above += liking(shopper, product, use) > middle
        total += 1
    assert above / total > 0.75
