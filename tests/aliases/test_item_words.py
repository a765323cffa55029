from pathlib import Path

import pytest

from stream_rec.errors import InvalidRecord
from stream_rec.items import parse_item

GORSE, METARANK = (Path(__file__).parent / "items.jsonl").read_bytes().splitlines()


def test_an_item_of_gorse_is_read() -> None:
    item = parse_item(GORSE, key=b"i9")
    assert (item.item_id, item.title, item.available) == ("i9", 'Silent 27" monitor', True)
    assert item.categories == ("Monitors",)
    assert item.tags == ("office", "quiet", "warm")
    assert item.published_at == 1_795_326_295_000
    assert item.properties == {}


def test_an_item_of_metarank_is_read() -> None:
    item = parse_item(METARANK, key=b"i9")
    assert (item.title, item.price, item.available) == ('Silent 27" monitor', 199.0, False)
    assert item.categories == ("Monitors",)


@pytest.mark.parametrize(
    "value",
    [b'{"ItemId": 7}', b'{"event": "item", "item": null}', b'{"event": "item"}', b'{"item": "i9"}',
     b'{"ItemId": "i9", "ItemId": "i8"}'],
)  # fmt: skip
def test_an_item_without_a_usable_id_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRecord):
        parse_item(value, key=b"i9")


def test_our_own_words_come_first_and_the_key_must_be_the_item() -> None:
    item = parse_item(b'{"item_id": "i1", "ItemId": "i9", "IsHidden": true}', key=b"i1")
    assert (item.item_id, item.available) == ("i1", True)
    assert item.properties == {"ItemId": "i9", "IsHidden": True}
    with pytest.raises(InvalidRecord, match="key"):
        parse_item(GORSE, key=b"i8")
