import json

import msgspec
import numpy as np

from stream_rec.events import Event
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Listing, Profile, fold
from stream_rec.publish import Due, Published, publish
from stream_rec.replica import Replica
from stream_rec.step import Context, step
from stream_rec.toplist import DEFAULT_USER, TopList, encode
from tests.shop_log import FIRST_MS, Shape, random_log, tiny_replica

NOBODY = Profile(DEFAULT_USER)


def used_replica() -> tuple[Replica, dict[str, Profile], dict[int, Ledger]]:
    """A replica, profiles and ledgers after a short log."""
    replica, rng = tiny_replica(encoded=True), np.random.default_rng(1)
    log = random_log(rng, Shape(events=80, users=4, partitions=1))
    context = Context(worker="w", now_ms=FIRST_MS, rng=rng)

    class Nothing:
        def get(self, partition: int, user_id: str) -> Profile | None:
            return None

    result = step(replica, Nothing(), {}, log, context)
    profiles = {user: profile for (_, user), profile in result.profiles.items()}
    return replica, profiles, dict(result.ledgers)


def due(profile: Profile, scenario: str = "default") -> Due:
    return Due(partition=0, profile=profile, scenario=scenario)


def published(replica: Replica, *entries: Due, now_ms: int = FIRST_MS) -> Published:
    return publish(replica, entries, {}, now_ms=now_ms, rng=np.random.default_rng(0))


def test_nothing_due_is_nothing_published() -> None:
    made = published(tiny_replica())
    assert (made.lists, made.profiles) == ([], {})


def test_a_list_is_numbered_dated_and_remembered_in_its_profile() -> None:
    replica, profiles, _ = used_replica()
    before = profiles["u1"]
    version = before.lists["default"].version
    made = published(replica, due(before), now_ms=FIRST_MS + 5)
    ((_, toplist),) = made.lists
    assert (toplist.version, toplist.generated_at) == (version + 1, FIRST_MS + 5)
    after = made.profiles[0, "u1"]
    assert after.lists["default"] == Listing(version + 1, FIRST_MS + 5)
    assert msgspec.structs.replace(after, lists=before.lists) == before
    assert before.lists["default"].version == version


def test_a_list_says_until_when_it_is_good_by_the_policy_of_its_scenario() -> None:
    replica = tiny_replica()
    replica.put_policy("elsewhere", 7, {"list": {"expires_s": 60}})
    made = published(replica, due(Profile("u")), due(Profile("u"), "elsewhere"))
    lives = {
        x.scenario: json.loads(encode(x))["expires_at"] - x.generated_at for _, x in made.lists
    }
    assert lives == {"default": 86_400_000, "elsewhere": 60_000}


def test_a_pinned_item_that_was_scored_too_is_written_like_any_other() -> None:
    replica, _, _ = used_replica()
    click = Event(event_id="e", event_type="click", user_id="u9", item_id="i0", timestamp=FIRST_MS)
    user = fold(Profile("u9"), click, topic=0, offset=0).profile
    ((_, before),) = published(replica, due(user)).lists
    pinned = before.items[1]
    rule = {"do": "pin", "rank": 1, "item_id": pinned.item_id}
    replica.put_policy("default", 0, {"rules": [rule]})
    ((_, after),) = published(replica, due(user)).lists
    [first, *_] = json.loads(encode(after))["items"]
    assert (first["item_id"], first["reason"]["kind"]) == (pinned.item_id, "pinned")
    assert first["score"] > 0, "it was scored: that is what this test is about"


def test_a_user_due_in_two_scenarios_keeps_both_new_versions() -> None:
    replica, profiles, _ = used_replica()
    made = published(replica, due(profiles["u1"]), due(profiles["u1"], "elsewhere"))
    lists = made.profiles[0, "u1"].lists
    assert lists["elsewhere"].version == 1
    assert lists["default"].version == profiles["u1"].lists["default"].version + 1


def test_making_lists_changes_nothing_that_the_next_one_reads() -> None:
    replica, profiles, _ = used_replica()
    statistics = replica.statistics.to_bytes()
    entries = [due(profile) for profile in profiles.values()] + [due(NOBODY)]
    first, second = published(replica, *entries), published(replica, *entries)
    assert first == second
    assert replica.statistics.to_bytes() == statistics


def test_the_default_list_is_that_of_nobody() -> None:
    replica, _, _ = used_replica()
    ((_, made),) = published(replica, due(NOBODY)).lists
    assert (made.user_id, made.lineage.events_applied) == ("*", 0)
    assert made.lineage.last_event_id is None
    assert len(made.items) == 10


def test_everyone_gets_a_list_from_a_catalogue_without_any_event() -> None:
    made = published(tiny_replica(), due(NOBODY), due(Profile("ann")))
    assert [len(toplist.items) for _, toplist in made.lists] == [10, 10]


def test_an_empty_catalogue_gives_empty_lists() -> None:
    made = published(Replica(), due(NOBODY), due(Profile("ann")))
    assert [toplist.items for _, toplist in made.lists] == [(), ()]


def test_a_list_reads_back_as_it_was_written() -> None:
    replica, profiles, ledgers = used_replica()
    made = publish(
        replica,
        [due(profiles["u0"])],
        ledgers,
        now_ms=FIRST_MS,
        rng=np.random.default_rng(0),
    )
    ((_, toplist),) = made.lists
    assert msgspec.json.decode(encode(toplist), type=TopList) == toplist
    last = {topic: (0, after - 1) for topic, after in ledgers[0].next_offsets.items()}
    assert toplist.lineage.offsets == last
    for item in toplist.items:
        assert abs(sum(item.sources.values()) - 1.0) < 1e-3
