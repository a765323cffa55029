import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.errors import InvalidPolicy
from stream_rec.policy import (
    MAX_PATCH_BYTES,
    Block,
    Boost,
    Pin,
    Policies,
    Policy,
    Where,
    parse_policy,
    policy_of,
)
from tests.poison import poisoned

# The example of the public contract, word for word.
EXAMPLE = b"""
{"list": {"size": 10, "min_interval_ms": 0, "refresh_s": 900, "diversity": 0.0, "exploration": 0.0, "expires_s": 86400,
          "exclude": {"consumed": true, "disliked": true, "cooldown_days": null}},
 "signals": {"weights": {"impression": 0.0, "view": 0.3, "click": 1.0, "like": 2.0, "cart": 2.5, "purchase": 3.0, "bookmark": 1.5, "dislike": -2.0, "hide": -2.0, "skip": -0.2, "review": 1.0, "other": 1.0}, "late_days": null,
             "rating_neutral": 3.0, "review_text": true, "negative_review": "alternatives"},
 "profile": {"history": 50, "half_life_events": [5, 30], "half_life_days": 90},
 "rules": [{"do": "block", "where": {"category": "Adult"}}, {"do": "boost", "factor": 1.5, "where": {"tag": "new"}},
           {"do": "pin", "rank": 1, "item_id": "i1", "until": "2026-12-31T00:00:00Z"}],
 "adapter": {"method": "proximal", "every_events": 5000, "every_s": null, "on_drift": true, "max_s": 600, "rank": 16,
             "learning_rate": 0.001, "replay_ratio": 1.0, "proximal_weight": 1.0,
             "gate": {"min_gain": 0.0, "confidence": 0.95, "shadow_events": 2000, "auto_rollback": true}}}
"""  # noqa: E501
POISON = poisoned(msgspec.json.decode(EXAMPLE)) | {
    f"list {name}": body for name, body in poisoned(msgspec.json.decode(EXAMPLE)["list"]).items()
}


def outcome(body: bytes | None) -> Policy | InvalidPolicy:
    """What becomes of a body; any other exception fails the test."""
    try:
        return policy_of(parse_policy(body))  # type: ignore[arg-type]
    except InvalidPolicy as error:
        return error


def refused(**patch: object) -> str:
    with pytest.raises(InvalidPolicy) as error:
        parse_policy(msgspec.json.encode(patch))
    return error.value.reason


def test_the_contracts_policy_is_the_defaults_and_three_rules() -> None:
    policy = policy_of(parse_policy(EXAMPLE))
    assert msgspec.structs.replace(policy, rules=()) == Policy()
    assert policy.rules == (
        Block(where=Where(category="Adult")),
        Boost(where=Where(tag="new"), factor=1.5),
        Pin(item_id="i1", rank=1, until="2026-12-31T00:00:00Z"),
    )
    pin = policy.rules[2]
    assert isinstance(pin, Pin)
    assert pin.until_ms == 1798675200000


@pytest.mark.parametrize("name", POISON)
def test_poison_ends_in_a_reason_or_in_a_valid_policy(name: str) -> None:
    policy = outcome(POISON[name])
    if isinstance(policy, InvalidPolicy):
        assert policy.reason
        assert policy.stage == "policy"
    else:
        assert isinstance(policy, Policy)


@pytest.mark.parametrize(
    "patch",
    [
        {"lists": {}},
        {"toplist": {"size": 3}},  # its name inside of the program
        {"list": {"sizes": 3}},
        {"list": {"size": 0}},
        {"list": {"size": 201}},
        {"list": {"size": 2.5}},
        {"list": {"size": "10"}},
        {"list": {"size": True}},
        {"list": None},
        {"list": {"diversity": 1.1}},
        {"list": {"exploration": -0.1}},
        {"list": {"expires_s": 0}},
        {"list": {"exclude": {"cooldown_days": 0}}},
        {"signals": {"weights": {"click": 11}}},
        {"signals": {"weights": {"other": None}}},
        {"signals": {"weights": {"": 1}}},
        {"signals": {"late_days": -1}},
        {"signals": {"negative_review": "ignore"}},
        {"profile": {"history": 65}},
        {"profile": {"half_life_events": []}},
        {"profile": {"half_life_events": [5, 0]}},
        {"profile": {"half_life_days": 0}},
        {"rules": {}},
        {"rules": [{"where": {}}]},
        {"rules": [{"do": "hide", "where": {}}]},
        {"rules": [{"do": "block"}]},
        {"rules": [{"do": "block", "where": {"colour": "red"}}]},
        {"rules": [{"do": "boost", "factor": 0, "where": {}}]},
        {"rules": [{"do": "boost", "where": {}}]},
        {"rules": [{"do": "pin", "item_id": "i", "rank": 0}]},
        {"rules": [{"do": "pin", "item_id": "i", "rank": 1, "until": "soon"}]},
        {"rules": [{"do": "pin", "item_id": "i", "rank": 1, "until": 10**400}]},
        {"rules": [{"do": "block", "where": {}}] * 1001},
        {"adapter": {"method": "magic"}},
        {"adapter": {"gate": {"confidence": 1.0}}},
    ],
)
def test_an_unknown_field_a_wrong_type_or_a_value_out_of_bounds_is_refused_whole(
    patch: dict[str, object],
) -> None:
    assert refused(**patch)


def test_a_refusal_names_the_place_and_the_bound() -> None:
    assert refused(list={"size": 0}) == "Expected `int` >= 1 - at `$.list.size`"
    assert "`$.rules[1].until`" in refused(
        rules=[
            {"do": "block", "where": {"tag": "a"}},
            {"do": "pin", "item_id": "i", "rank": 1, "until": "soon"},
        ]
    )


def test_a_refused_layer_changes_nothing() -> None:
    policies = Policies()
    policies.put("*", 3, {"list": {"size": 5}})
    with pytest.raises(InvalidPolicy):
        policies.put("*", 4, {"list": {"size": 0}})
    found = policies.effective("home")
    assert (found.policy.toplist.size, found.version) == (5, 3)


def test_objects_merge_by_key_and_arrays_replace() -> None:
    block, boost = (
        {"do": "block", "where": {"tag": "a"}},
        {"do": "boost", "factor": 2, "where": {"tag": "b"}},
    )
    policies = Policies()
    policies.put("*", 1, {"list": {"size": 5, "diversity": 0.5}, "rules": [block, boost]})
    policies.put("home", 7, {"list": {"size": 3}, "rules": [boost]})
    found = policies.effective("home").policy
    assert (found.toplist.size, found.toplist.diversity) == (3, 0.5)
    assert found.rules == (Boost(where=Where(tag="b"), factor=2.0),)


def test_a_weight_that_is_not_named_keeps_its_default_and_unknown_types_count_as_other() -> None:
    signals = policy_of({"signals": {"weights": {"click": 0.5, "play": 4}}}).signals
    assert signals.weight("click") == 0.5
    assert signals.weight("play") == 4.0
    assert signals.weight("purchase") == 3.0
    assert signals.weight("never heard of") == 1.0


def test_a_tombstone_gives_way_to_the_layer_below() -> None:
    policies = Policies()
    policies.put("*", 1, {"list": {"size": 5}})
    policies.put("home", 2, {"list": {"size": 3}})
    assert policies.effective("home").version == 2
    policies.put("home", 3, None)
    assert policies.effective("home").policy.toplist.size == 5
    assert policies.effective("home").version == 1
    policies.put("*", 4, None)
    assert policies.effective("home").policy == Policy()
    assert policies.effective("home").version == -1


def test_the_version_is_the_newest_offset_among_the_layers_used() -> None:
    policies = Policies()
    policies.put("home", 2, {})
    policies.put("*", 5, {})
    policies.put("other", 9, {})
    assert policies.effective("home").version == 5
    assert policies.effective("*").version == 5
    assert policies.effective("other").version == 9


@given(
    data=st.dictionaries(
        st.sampled_from(["list", "signals", "profile", "rules", "adapter", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_any_json_object_is_refused_with_a_reason_or_valid(data: dict[str, object]) -> None:
    try:
        body = msgspec.json.encode(data)
    except UnicodeEncodeError:  # a text that no producer can write
        return
    policy = outcome(body)
    assert policy.reason if isinstance(policy, InvalidPolicy) else isinstance(policy, Policy)


def test_no_two_policies_share_mutable_weights() -> None:
    first = policy_of()
    first.signals.weights["click"] = 9.0
    assert policy_of().signals.weights["click"] == 1.0


def test_a_policy_too_long_to_be_written_again_is_refused() -> None:
    rule = {"do": "block", "where": {"tag": "t" * 200}}
    value = msgspec.json.encode({"rules": [rule] * 1000})
    assert parse_policy(value)["rules"][0] == rule
    longer = value + b" " * (MAX_PATCH_BYTES + 1 - len(value))
    with pytest.raises(InvalidPolicy, match="exceed the bound"):
        parse_policy(longer)


def test_a_price_that_no_item_can_have_is_out_of_bounds() -> None:
    with pytest.raises(InvalidPolicy, match=r"<= 1000000000000000"):
        parse_policy(b'{"rules": [{"do": "block", "where": {"price_above": 1e300}}]}')
