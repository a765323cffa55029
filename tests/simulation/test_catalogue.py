"""The simulated catalogue: readable products whose texts tell part of what they are like."""

from random import Random
from statistics import correlation

import msgspec

from stream_rec.items import item_text, parse_item
from stream_rec.simulation.aspects import ASPECTS
from stream_rec.simulation.catalogue import BRANDS, make_products
from stream_rec.simulation.departments import KINDS
from stream_rec.simulation.shop import Shop

START_MS = 1_763_790_285_123


def test_catalogue_has_at_least_500_items_that_the_contract_accepts() -> None:
    records = Shop().catalogue(START_MS)
    assert len(records) >= 500
    for record in records:
        item = parse_item(msgspec.json.encode(record), key=record["item_id"].encode())
        assert item.properties == {}
        assert len(item.categories) == 2
        assert len(item_text(item)) > 60
        assert item.price is not None
        assert item.price > 5
        assert item.published_at is not None
        assert item.published_at <= START_MS
    assert len({record["item_id"] for record in records}) == len(records)
    assert len({record["title"] for record in records}) == len(records)
    assert len({category[0] for r in records for category in r["categories"]}) >= 6


def test_every_need_has_products_to_choose_from() -> None:
    needs = {(kind.name, use): 0 for kind in KINDS for use in kind.uses}
    for product in make_products(Random(1), count=600, newcomers=0):
        needs[product.kind.name, product.use] += 1
    assert min(needs.values()) >= 8


def test_kinds_name_only_aspects_and_kinds_that_exist() -> None:
    names = {kind.name for kind in KINDS}
    for kind in KINDS:
        assert set(kind.aspects) <= set(ASPECTS)
        assert set(kind.goes_with) <= names - {kind.name}
        assert kind.department in BRANDS


def test_makers_boast_only_of_what_is_good() -> None:
    for product in make_products(Random(2), count=400, newcomers=0):
        for aspect, value in product.quality.items():
            assert -1 <= value <= 1
            if ASPECTS[aspect].strength in product.title.split():
                assert value > 0.3


def test_price_tells_something_of_quality_but_not_all() -> None:
    products = make_products(Random(3), count=600, newcomers=0)
    means = [sum(p.quality.values()) / len(p.quality) for p in products]
    assert 0.1 < correlation(means, [p.price_level for p in products]) < 0.7


def test_same_seed_gives_the_same_products() -> None:
    assert Shop(3).catalogue(START_MS) == Shop(3).catalogue(START_MS)
    assert Shop(3).catalogue(START_MS) != Shop(4).catalogue(START_MS)
