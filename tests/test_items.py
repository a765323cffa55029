import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.errors import InvalidRecord
from stream_rec.items import (
    MAX_DIMENSION,
    MAX_LABELS,
    MAX_VECTORS,
    Item,
    item_text,
    parse_item,
    text_hash,
)
from tests.poison import poisoned

# The example of the public contract, word for word.
EXAMPLE = """
{"item_id": "i9", "title": "Silent 27\\" monitor", "description": "…", "categories": ["Monitors"], "tags": ["office"],
 "brand": "Acme", "price": 199.0, "available": true, "published_at": 1763000000000, "vectors": {"image": [0.1, 0.2]}, "properties": {}}
""".encode()  # noqa: E501
POISON = poisoned(msgspec.json.decode(EXAMPLE))


def parsed(**fields: object) -> Item:
    return parse_item(msgspec.json.encode({"item_id": "i9", **fields}), key=b"i9")


def outcome(body: bytes | None) -> Item | InvalidRecord:
    """What becomes of a body; any other exception fails the test."""
    try:
        return parse_item(body, key=b"i9")  # type: ignore[arg-type]
    except InvalidRecord as error:
        return error


def test_the_contracts_item_is_read_field_by_field() -> None:
    assert parse_item(EXAMPLE, key=b"i9") == Item(
        item_id="i9",
        title='Silent 27" monitor',
        description="…",
        categories=("Monitors",),
        tags=("office",),
        brand="Acme",
        price=199.0,
        available=True,
        published_at=1763000000000,
        vectors={"image": [0.1, 0.2]},
    )


@pytest.mark.parametrize("name", POISON)
def test_poison_ends_in_a_reason_or_in_a_valid_item(name: str) -> None:
    item = outcome(POISON[name])
    if isinstance(item, InvalidRecord):
        assert item.reason
    else:
        assert item.item_id == "i9"
        assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(item)), Item) == item
        assert item.price is None or np.isfinite(np.float32(item.price))
        for vector in item.vectors.values():
            assert np.isfinite(np.linalg.norm(np.array(vector, np.float32)))
        text_hash(item_text(item))


@pytest.mark.parametrize("name", ["no value", "empty", "100k brackets", "UTF-16", "list", "torn"])
def test_a_body_that_is_no_json_object_is_refused(name: str) -> None:
    with pytest.raises(InvalidRecord):
        parse_item(POISON[name], key=b"i9")  # type: ignore[arg-type]


@pytest.mark.parametrize("item_id", [None, "", 9, True, "a" * 257, "i\u202e9", "i\u200b9", "\x00"])
def test_an_item_needs_a_printable_id(item_id: object) -> None:
    with pytest.raises(InvalidRecord):
        parse_item(msgspec.json.encode({"item_id": item_id}), key=b"i9")


@pytest.mark.parametrize("key", [None, b"", b"i8"])
def test_the_key_must_be_the_item(key: bytes | None) -> None:
    with pytest.raises(InvalidRecord, match="key") as refused:
        parse_item(EXAMPLE, key=key)
    assert refused.value.stage == "key"


def test_only_the_id_is_required() -> None:
    assert parsed() == Item(item_id="i9")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", 7),
        ("categories", {"Home": 1}),
        ("categories", [["Home", ["Fans"]]]),
        ("categories", [1]),
        ("tags", True),
        ("brand", ["Acme"]),
        ("price", "free"),
        ("price", True),
        ("price", 10**400),
        ("price", 1e300),
        ("available", "yes"),
        ("published_at", "soon"),
        ("published_at", 10**400),
        ("vectors", [0.1]),
        ("vectors", {"image": []}),
        ("vectors", {"image": ["a"]}),
        ("vectors", {"image": [0.0] * (MAX_DIMENSION + 1)}),
        ("vectors", {"image": [1e30]}),
    ],
)
def test_a_wrong_type_in_an_optional_field_goes_to_the_properties(
    field: str, value: object
) -> None:
    item = parsed(**{field: value})
    assert getattr(item, field) == getattr(Item(item_id="i9"), field)
    assert item.properties == {field: value}


def test_unknown_fields_are_kept_beside_the_properties() -> None:
    assert parsed(colour="red", properties={"size": 3}).properties == {"size": 3, "colour": "red"}


def test_nested_categories_are_flattened_once_each_and_bounded() -> None:
    assert parsed(categories=[["Home", "Fans"], "Sale", ["Home"], ""]).categories == (
        "Home",
        "Fans",
        "Sale",
    )
    assert parsed(categories="Home").categories == ("Home",)
    assert len(parsed(tags=[str(number) for number in range(99)]).tags) == MAX_LABELS


def test_an_items_text_is_bounded_whatever_a_producer_writes() -> None:
    long = "x" * 200_000
    item = parsed(title=long, description=long, brand=long, categories=[long])
    assert len(item_text(item)) < 1_000


def test_an_item_without_words_has_no_text() -> None:
    assert item_text(parsed(price=3.0, available=False)) == ""


def test_categories_alone_say_nothing_to_a_language_model() -> None:
    assert item_text(parsed(categories=["Strings"])) == ""
    assert item_text(parsed(categories=["Strings"], tags=["steel"])) == "Strings, steel"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [name for name in Item.__struct_fields__ if name != "item_id"]


@given(record=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, values)))
def test_any_optional_fields_give_an_item(record: dict[str, object]) -> None:
    try:
        body = msgspec.json.encode({"item_id": "i9", **record})
    except UnicodeEncodeError:  # a text that no producer can write
        return
    item = outcome(body)
    if isinstance(item, InvalidRecord):  # numbers out of range are refused with the whole body
        assert "JSON" in item.reason
    else:
        assert item.item_id == "i9"


def test_more_vectors_than_an_item_may_have_are_kept_and_not_read() -> None:
    many = {f"name-{number}": [1.0] for number in range(MAX_VECTORS + 1)}
    value = msgspec.json.encode({"item_id": "i", "vectors": many})
    item = parse_item(value, key=b"i")
    assert item.vectors == {}
    assert item.properties == {"vectors": many}
