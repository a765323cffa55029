"""Adapters beside the frozen model: what serves whom, and what a space is made of."""

import gc
import resource

import numpy as np
import pytest

from stream_rec.errors import CheckpointRejected
from stream_rec.events import Event
from stream_rec.experts.views import TEXT, TOWER
from stream_rec.items import Item, item_text, text_hash
from stream_rec.profiles.profile import Profile, Reading, fold
from stream_rec.publish import Due, publish
from stream_rec.replica import Replica
from tests.adapters.bundles import DIMENSION, KINDS, bundle, by_kind, item, load, noise, shop

NOW_MS = 1_800_000_000_000


def user_of(*numbers: int, scenarios: tuple[str, ...] = ("default",)) -> list[Due]:
    profile = Profile("u")
    for place, number in enumerate(numbers):
        event = Event(
            event_id=f"e{place}",
            event_type="click",
            user_id="u",
            timestamp=NOW_MS + place,
            item_id=f"i{number}",
        )
        profile = fold(profile, event, topic=0, offset=place, reading=Reading()).profile
    return [Due(partition=0, profile=profile, scenario=name) for name in scenarios]


def lists(replica: Replica, due: list[Due]) -> list[tuple[str, int, str, list[str]]]:
    made = publish(replica, due, {}, now_ms=NOW_MS + 99, rng=np.random.default_rng(0))
    return [
        (
            toplist.scenario,
            toplist.lineage.adapter_version,
            toplist.tier,
            [one.item_id for one in toplist.items],
        )
        for _, toplist in made.lists
    ]


def test_without_an_adapter_the_replica_itself_serves() -> None:
    replica = shop()
    assert replica.served("default") is replica
    ((_, version, tier, _),) = lists(replica, user_of(1, 2))
    assert (version, tier) == (0, "lm")


def test_every_list_names_the_one_version_that_made_it() -> None:
    replica = shop()
    load(replica, bundle(5, by_kind(64)))
    load(replica, bundle(6, noise(64, 7)))
    replica.spaces.serve({"default": 5, "sport": 6, "plain": 0})
    made = lists(replica, user_of(1, 9, scenarios=("sport", "default", "plain", "other")))
    assert [(name, version, tier) for name, version, tier, _ in made] == [
        ("sport", 6, "adapted"),
        ("default", 5, "adapted"),
        ("plain", 0, "lm"),
        ("other", 5, "adapted"),  # falls back to the default's
    ]
    alike = [int(listed[1:]) % KINDS == 1 for listed in made[1][3][:3]]
    assert all(alike), "an adapter that knows the kinds lists the kind that the user took"


def test_a_swap_changes_the_next_list_and_going_back_restores_the_old_one() -> None:
    replica, due = shop(), user_of(1, 9)
    frozen = lists(replica, due)
    load(replica, bundle(5, by_kind(64)))
    assert lists(replica, due) == frozen, "what is in memory does not serve yet"
    replica.spaces.serve({"default": 5})
    assert lists(replica, due) != frozen
    replica.spaces.serve({})
    assert lists(replica, due) == frozen


def test_a_tower_over_frozen_texts_shares_them() -> None:
    replica = shop()
    load(replica, bundle(3, noise(64), text_version=0))
    replica.spaces.serve({"default": 3})
    served = replica.served("default")
    assert served.vectors[TEXT] is replica.vectors[TEXT]
    assert served.views is replica.views
    assert served.vectors[TOWER].count == 64
    load(replica, bundle(4, by_kind(64)))
    load(replica, bundle(5, by_kind(64), text_version=4))
    made = replica.spaces.made
    assert made[4].texts is made[5].texts, "two versions of one text version hold its texts once"


def test_items_that_come_after_a_bundle_are_placed_by_its_tower() -> None:
    replica = shop(40)
    text = by_kind(48)
    load(replica, bundle(5, text[:40]))
    replica.spaces.serve({"default": 5})
    served = replica.served("default")
    before = served.encoded_items()
    for number in range(40, 48):
        replica.put_item(item(number))
    assert (before, replica.served("default").encoded_items()) == (40, 40)
    for number in range(40, 48):
        hashed = text_hash(item_text(item(number)))
        replica.put_text_vector(f"i{number}", hashed, text[number], 5)
    served = replica.served("default")
    assert served.encoded_items() == 48
    assert replica.encoded_items() == 40, "the frozen model has not read them yet"
    for name in (TEXT, TOWER):
        table = served.vectors[name]
        same_kind = float(table.matrix[47] @ table.matrix[47 - KINDS])
        assert table.count == 48
        assert same_kind > 0.5


def test_what_arrives_while_a_space_is_built_is_not_lost() -> None:
    replica, text = shop(40), by_kind(44)
    replica.put_text_vector("i40", 7, text[40], 5)  # before anybody asked for the version
    loading = replica.spaces.begin(5, 5, replica.items, replica.frozen_texts())
    space = loading.build(bundle(5, text[:40]))
    replica.put_text_vector("i41", 8, text[41], 5)
    replica.put_item(item(41))
    replica.put_text_vector("i3", 9, text[43], 5)  # another text than the bundle's
    replica.spaces.finish(space)
    rows = [replica.items.row(name) for name in ("i40", "i41", "i3")]
    assert space.texts is not None
    assert [space.texts.hashes.at(row) for row in rows] == [7, 8, 9]
    for table in (space.texts.table, space.placed):
        assert table.count == 42
    np.testing.assert_allclose(
        space.texts.table.came(np.array(rows[2:]))[0],
        text[43] / np.linalg.norm(text[43]),
        atol=1e-3,
    )


def test_an_item_of_the_bundle_that_is_still_unknown_gets_its_vectors_when_it_comes() -> None:
    replica = shop(40)
    load(replica, bundle(5, by_kind(44)))
    replica.spaces.serve({"default": 5})
    replica.put_item(item(43))
    served = replica.served("default")
    row = replica.items.row("i43")
    assert served.vectors[TEXT].has(row)
    assert served.vectors[TOWER].has(row)
    assert served.encoded_items() == replica.catalogue.count == 41


def test_an_item_with_a_new_text_keeps_the_residual_that_behaviour_gave_it() -> None:
    replica = shop(40)
    made = bundle(5, by_kind(40))
    made.tower["residual"][7] = 50.0  # type: ignore[index]
    load(replica, made)
    replica.put_text_vector("i7", 1, noise(1)[0], 5)
    (space,) = replica.spaces.made.values()
    expected = np.full(DIMENSION, DIMENSION**-0.5)
    assert float(space.placed.came(np.array([replica.items.row("i7")]))[0] @ expected) > 0.99


def test_a_bundle_that_does_not_fit_is_refused() -> None:
    replica = shop()
    narrow = noise(64)[:, :8]
    wrong_dimension = bundle(3, noise(64), text_version=0)
    loading = replica.spaces.begin(4, 4, replica.items, replica.frozen_texts())
    with pytest.raises(CheckpointRejected, match="does not fit its record"):
        loading.build(wrong_dimension)
    replica.spaces.abandon(4)
    assert narrow.shape == (64, 8)
    assert not replica.spaces.made


def test_texts_of_an_item_without_words_count_as_encoded() -> None:
    replica = shop(40)
    load(replica, bundle(5, by_kind(40)))
    replica.spaces.serve({"default": 5})
    replica.put_item(Item(item_id="silent"))
    assert replica.served("default").encoded_items() == 41


def test_a_hundred_swaps_leak_no_memory() -> None:
    replica, due = shop(512), user_of(1, 9)

    def swap(version: int) -> None:
        load(replica, bundle(version, by_kind(512, seed=version)))
        replica.spaces.serve({"default": version})
        replica.spaces.keep_only({version})
        ((_, served, _, _),) = lists(replica, due)
        assert served == version

    for version in range(1, 11):
        swap(version)
    gc.collect()
    before = resident()
    for version in range(11, 111):
        swap(version)
    gc.collect()
    assert len(replica.spaces.made) == 1
    # One space of this shop takes 1.2 MB, so a hundred that stayed would take 120.
    assert resident() - before < 12e6


def test_frozen_vectors_that_come_while_a_tower_is_built_over_them_are_placed() -> None:
    replica = Replica()
    for number in range(4):
        replica.put_item(item(number))
    loading = replica.spaces.begin(3, 0, replica.items, replica.frozen_texts())
    space = loading.build(bundle(3, noise(4), text_version=0, ids=["a", "b", "c", "d"]))
    text = noise(1, 6)[0]
    replica.put_text_vector("i2", text_hash(item_text(item(2))), text)
    replica.spaces.finish(space)
    placed = space.placed.came(np.array([replica.items.row("i2")]))[0]
    assert float(placed @ text) > 0.99 * float(np.linalg.norm(text))


def resident() -> float:
    """Return the memory of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
