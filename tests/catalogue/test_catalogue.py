"""Attributes of items."""

import sys

import numpy as np
import pytest

from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.items import Item
from stream_rec.statistics.item_index import ItemIndex


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(ItemIndex(["seen before it was named"]))


def test_a_named_item_is_recommendable_while_it_is_available(catalogue: Catalogue) -> None:
    row = catalogue.put(Item(item_id="a", title="Fan"))
    assert (catalogue.recommendable[row], catalogue.count) == (True, 1)
    assert catalogue.put(Item(item_id="a", title="Fan", available=False)) == row
    assert (catalogue.recommendable[row], catalogue.known[row], catalogue.count) == (False, True, 1)


def test_a_stranger_is_not_recommendable(catalogue: Catalogue) -> None:
    assert not catalogue.recommendable[0]


def test_a_withdrawn_item_keeps_its_title_for_reasons(catalogue: Catalogue) -> None:
    row = catalogue.put(Item(item_id="a", title="Fan"))
    assert catalogue.withdraw("a") == row
    assert (catalogue.recommendable[row], catalogue.count) == (False, 0)
    assert catalogue.title(row) == "Fan"
    assert catalogue.withdraw("never named") == -1
    assert catalogue.withdraw("a") == row
    assert catalogue.count == 0


def test_labels_follow_the_newest_word_on_an_item(catalogue: Catalogue) -> None:
    row = catalogue.put(Item(item_id="a", categories=("Home", "Fans"), brand="Acme"))
    other = catalogue.put(Item(item_id="b", categories=("Home",)))
    home = catalogue.categories.code("Home")
    assert catalogue.categories.items_with[home] == 2
    catalogue.put(Item(item_id="a", categories=("Garden",)))
    assert catalogue.categories.names_of(row) == ["Garden"]
    assert catalogue.categories.names_of(other) == ["Home"]
    assert catalogue.categories.items_with[home] == 1
    assert catalogue.brands.names_of(row) == []


def test_what_is_not_said_is_unknown(catalogue: Catalogue) -> None:
    row = catalogue.put(Item(item_id="a"))
    assert np.isnan(catalogue.price[row])
    assert catalogue.published_ms[row] == 0
    assert catalogue.title(row) is None


def test_an_item_costs_less_than_two_kilobytes() -> None:
    catalogue = Catalogue(ItemIndex())
    for number in range(20_000):
        catalogue.put(
            Item(
                item_id=f"item-{number}",
                title=f"Adjustable standing desk number {number} with a drawer " + "x" * 60,
                categories=("Office", f"Desks {number % 50}", "Furniture"),
                tags=("new", "wood"),
                brand=f"Brand {number % 300}",
            )
        )
    arrays = [catalogue.items.hashes, catalogue.items.slot_hash, catalogue.items.slot_row]
    arrays += [catalogue.known, catalogue.recommendable, catalogue.price, catalogue.published_ms]
    tables = (catalogue.categories, catalogue.tags, catalogue.brands, catalogue.tokens)
    arrays += [labels.codes for labels in tables]
    objects = [catalogue._titles, catalogue.items._rows, catalogue.items.ids]
    objects += [*catalogue._titles.values(), *catalogue.items.ids]
    size = sum(array.nbytes for array in arrays) + sum(sys.getsizeof(one) for one in objects)
    size += sum(sys.getsizeof(name) + 100 for labels in tables for name in labels.names)
    assert size / 20_000 < 2048
