import numpy as np
import pytest

from stream_rec.errors import InvalidPolicy
from stream_rec.experts.views import TEXT
from stream_rec.items import Item, item_text, text_hash
from stream_rec.replica import MAX_TABLES, Replica

VECTOR = np.eye(4, dtype=np.float32)[0]


def item(item_id: str = "a", title: str | None = "A title", **more: object) -> Item:
    return Item(item_id=item_id, title=title, **more)  # type: ignore[arg-type]


def hashed(of: Item) -> int:
    return text_hash(item_text(of))


def test_an_item_counts_as_encoded_when_the_vector_of_its_present_text_is_there() -> None:
    replica = Replica()
    first, second = item(), item(title="Another title")
    replica.put_item(first)
    assert (replica.catalogue.count, replica.encoded_items()) == (1, 0)
    replica.put_text_vector("a", hashed(first), VECTOR)
    assert replica.encoded_items() == 1
    replica.put_item(second)
    assert replica.encoded_items() == 0
    replica.put_text_vector("a", hashed(first), VECTOR)
    assert replica.encoded_items() == 0
    replica.put_text_vector("a", hashed(second), VECTOR)
    assert replica.encoded_items() == 1


def test_a_vector_may_come_before_its_item() -> None:
    replica = Replica()
    replica.put_text_vector("a", hashed(item()), VECTOR)
    assert (replica.catalogue.count, replica.encoded_items()) == (0, 0)
    replica.put_item(item())
    assert replica.encoded_items() == 1


def test_an_item_without_text_needs_no_encoding() -> None:
    replica = Replica()
    replica.put_item(item(title=None))
    assert replica.encoded_items() == 1
    replica.put_text_vector("a", hashed(item(title=None)), None)
    assert TEXT not in replica.vectors


def test_a_vector_goes_when_its_text_does() -> None:
    replica = Replica()
    replica.put_item(item())
    replica.put_text_vector("a", hashed(item()), VECTOR)
    row = replica.items.row("a")
    assert replica.vectors[TEXT].present[row]
    replica.put_item(item(title=None))
    replica.put_text_vector("a", hashed(item(title=None)), None)
    assert not replica.vectors[TEXT].present[row]


def test_a_withdrawn_item_leaves_the_catalogue_and_keeps_its_past() -> None:
    replica = Replica()
    replica.put_item(item(vectors={"image": [1.0, 0.0]}))
    replica.put_text_vector("a", hashed(item()), VECTOR)
    row = replica.items.row("a")
    replica.withdraw_item("a")
    assert (replica.catalogue.count, replica.encoded_items()) == (0, 0)
    assert not replica.vectors[TEXT].present[row]
    assert not replica.vectors["modality:image"].present[row]
    replica.put_item(item())
    assert (replica.items.row("a"), replica.catalogue.count) == (row, 1)
    assert replica.encoded_items() == 0


def test_withdrawing_an_item_never_heard_of_changes_nothing() -> None:
    replica = Replica()
    replica.withdraw_item("nobody")
    assert (replica.catalogue.count, replica.encoded_items()) == (0, 0)


def test_each_modality_keeps_the_length_that_came_first() -> None:
    replica = Replica()
    replica.put_item(item("a", vectors={"image": [1.0, 0.0], "audio": [1.0, 2.0, 3.0]}))
    replica.put_item(item("b", vectors={"image": [1.0, 0.0, 0.0]}))
    assert replica.vectors["modality:image"].dimension == 2
    assert replica.vectors["modality:audio"].dimension == 3
    assert not replica.vectors["modality:image"].present[replica.items.row("b")]


def test_names_of_modalities_that_producers_invent_are_bounded() -> None:
    replica = Replica()
    for number in range(100):
        vectors = {f"name-{number}": [1.0, 0.0]}
        replica.put_item(Item(item_id=f"i{number}", vectors=vectors))
    assert len(replica.vectors) == MAX_TABLES
    replica.put_item(Item(item_id="late", vectors={"name-0": [0.0, 1.0]}))
    row = replica.items.row("late")
    assert replica.vectors["modality:name-0"].matrix[row].any()
    hashed = text_hash("A monitor")
    replica.put_item(Item(item_id="monitor", title="A monitor"))
    replica.put_text_vector("monitor", hashed, np.array([1.0, 0.0], np.float32))
    assert TEXT in replica.vectors, "texts always have their table"


def test_an_invalid_policy_changes_nothing_and_a_valid_one_names_its_scenario() -> None:
    replica = Replica()
    before = replica.policies.effective("home")
    with pytest.raises(InvalidPolicy):
        replica.put_policy("home", 3, {"list": {"size": -1}})
    assert replica.policies.effective("home") == before
    assert "home" not in replica.scenarios
    replica.put_policy("home", 4, {"list": {"size": 4}})
    effective = replica.policies.effective("home")
    assert (effective.policy.toplist.size, effective.version) == (4, 4)
    assert "home" in replica.scenarios
    replica.put_policy("*", 5, {"list": {"size": 5}})
    assert "*" not in replica.scenarios
