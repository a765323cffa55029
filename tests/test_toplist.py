import msgspec

from stream_rec.toplist import Lineage, ListedItem, Reason, TopList, encode

# The example of the public contract, word for word.
EXAMPLE = """
{"recommendation_id": "r8", "user_id": "u1", "scenario": "default", "version": 42, "generated_at": 1763790299030, "tier": "adapted",
 "items": [{"item_id": "i4", "rank": 1, "score": 0.031, "sources": {"co_visitation": 0.6, "text": 0.3, "popularity": 0.1},
            "explored": false, "propensity": 1.0,
            "reason": {"kind": "because_you_reviewed", "text": "…", "evidence": ["i9"]}}],
 "lineage": {"last_event_id": "e2", "events_applied": 17, "offsets": {"stream-rec.events.reviews": [3, 1021]},
             "adapter_version": 5, "policy_version": 12, "catalogue_items": 16859, "encoded_items": 16859}}
""".encode()  # noqa: E501

LIST = TopList(
    recommendation_id="r8",
    user_id="u1",
    scenario="default",
    version=42,
    generated_at=1763790299030,
    tier="adapted",
    items=(
        ListedItem(
            item_id="i4",
            rank=1,
            score=0.031,
            sources={"co_visitation": 0.6, "text": 0.3, "popularity": 0.1},
            reason=Reason(kind="because_you_reviewed", text="…", evidence=("i9",)),
        ),
    ),
    lineage=Lineage(
        last_event_id="e2",
        events_applied=17,
        offsets={"stream-rec.events.reviews": (3, 1021)},
        adapter_version=5,
        policy_version=12,
        catalogue_items=16859,
        encoded_items=16859,
    ),
)


def test_a_list_is_written_with_exactly_the_contracts_fields() -> None:
    assert msgspec.json.decode(encode(LIST)) == msgspec.json.decode(EXAMPLE)


def test_the_contracts_list_is_read_as_it_was_written() -> None:
    assert msgspec.json.decode(EXAMPLE, type=TopList) == LIST


def test_the_key_names_scenario_and_user() -> None:
    assert LIST.key == b"default/u1"
    assert msgspec.structs.replace(LIST, user_id="a/b").key == b"default/a/b"


def test_a_list_of_a_user_with_a_name_in_any_script_can_be_written() -> None:
    named = msgspec.structs.replace(LIST, user_id="ユーザー", scenario="дом")
    assert msgspec.json.decode(encode(named))["user_id"] == "ユーザー"
    assert named.key.decode() == "дом/ユーザー"
