"""The schemas hold what the engine reads and writes, and the contract's own examples, both ways."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from consumers.commands import schemas
from consumers.commands.asyncapi import document
from consumers.commands.schema_command import documents
from consumers.kafka_io.topics import Topics, plans
from stream_rec.adapters.life import AdapterVersion, LivePointer, decode_adapter, encode_adapter
from stream_rec.errors import InvalidPolicy, InvalidRecord
from stream_rec.events import Event, event_of, parse_event
from stream_rec.items import item_of, parse_item
from stream_rec.policy import parse_policy, policy_of
from stream_rec.toplist import TopList, encode

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
COMMITTED = REPOSITORY / "docs" / "schema"
CONTRACT = REPOSITORY.parent / "shared" / "design" / "CONTRACT.md"
EXAMPLES = {
    name: json.loads((HERE / "contract" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("events", "items", "recommendations", "policies", "erasures")
}
ANYTHING = [
    None, True, 0, 3, -2.5, 1763790285, 1763790285123, 1763790285123456, 1e15, 2e15, 1e19, 1e7,
    "", "x", "*", "a/b", "x" * 256, "x" * 257, "line\n", "tab\tbed", "\ufeffx", "4.5", "-3", "NaN",
    "2025-11-22T05:44:45.5Z", "2025-11-22", "yesterday", [], ["a"], [["a", "b"], "c"], [[["a"]]],
    [1], {}, {"a": 1}, {"image": [0.1, 2]}, {"image": []}, {"image": ["x"]},
]  # fmt: skip


def valid(name: str, value: Any) -> bool:
    return bool(Draft202012Validator(schemas.schema(name)).is_valid(value))


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


class Watched(dict[str, Any]):
    """A record that notes which of its fields were asked for."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.asked: set[str] = set()

    def get(self, field: str, default: Any = None) -> Any:
        self.asked.add(field)
        return super().get(field, default)

    def __getitem__(self, field: str) -> Any:
        self.asked.add(field)
        return super().__getitem__(field)


def test_the_committed_documents_are_those_of_the_types() -> None:
    there = {file.stem: file.read_text(encoding="utf-8") for file in COMMITTED.glob("*.json")}
    assert there == documents(), "stream-rec schema --write docs/schema writes them anew"


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(schemas.schema(name))


@pytest.mark.parametrize(
    ("name", "examples"),
    [("event", "events"), ("item", "items"), ("policy", "policies"), ("erasure", "erasures")],
)
def test_the_contract_s_examples_are_valid(name: str, examples: str) -> None:
    for example in EXAMPLES[examples]:
        assert valid(name, example)


def test_the_contract_s_examples_are_read_with_nothing_left_over() -> None:
    for example in EXAMPLES["events"]:
        event = parse_event(as_json(example), key=b"u1", kind="click", source="s")
        assert {name for name in example if getattr(event, name) != example[name]} == set()
    [item] = EXAMPLES["items"]
    read = json.loads(msgspec.json.encode(parse_item(as_json(item), key=b"i9")))
    assert {name for name in item if read[name] != item[name]} == set()
    [policy] = EXAMPLES["policies"]
    assert policy_of(parse_policy(as_json(policy))).toplist.size == 10


def test_the_contract_s_policy_is_the_default_but_for_its_rules() -> None:
    [policy] = EXAMPLES["policies"]
    default = json.loads(msgspec.json.encode(policy_of()))
    told = {name: part for name, part in policy.items() if name != "rules"}
    assert _where_named(default, told) == told


def _where_named(whole: Any, named: Any) -> Any:
    """Keep of a value what another one names too; later fields of a policy are not in it."""
    if not isinstance(named, dict):
        return whole
    return {name: _where_named(whole[name], inner) for name, inner in named.items()}


def test_the_contract_s_list_is_one_that_the_engine_could_have_written() -> None:
    [example] = EXAMPLES["recommendations"]
    assert valid("recommendation", example)
    read = msgspec.convert(example, TopList)
    assert json.loads(encode(read)) == example


def test_the_examples_are_those_of_the_contract() -> None:
    if not CONTRACT.is_file():
        pytest.skip("the contract lies outside of the repository")
    blocks = re.findall(r"```json\n(.*?)```", CONTRACT.read_text(encoding="utf-8"), re.DOTALL)
    written = [value for block in blocks for value in _values(block)]
    names = ("events", "items", "recommendations", "policies")
    assert written == [value for name in names for value in EXAMPLES[name]]


def _values(block: str) -> Iterator[Any]:
    """Several JSON values stand in one block, with commas between them or not."""
    decoder, rest = json.JSONDecoder(), block.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].lstrip(", \n")


def test_every_field_that_the_engine_reads_is_in_the_schema_and_the_other_way_round() -> None:
    event = Watched(EXAMPLES["events"][0] | EXAMPLES["events"][1])
    event_of(event, kind="click", source="s")
    assert set(schemas.schema("event")["properties"]) == event.asked
    assert set(schemas.schema("event")["properties"]) == set(Event.__struct_fields__)
    item = item_of({name: None for name in schemas.schema("item")["properties"]} | {"item_id": "i"})
    assert item.properties == {}  # what it did not know would be kept here


@pytest.mark.parametrize("field", sorted(schemas.schema("event")["properties"]))
def test_event_fields_are_valid_exactly_when_the_engine_takes_them(field: str) -> None:
    for value in ANYTHING:
        record = {"user_id": "u", "item_id": "i", "timestamp": 1763790285, field: value}
        try:
            event = event_of(record, kind="click", source="s")
        except InvalidRecord:
            taken = False
        else:
            taken = field != "properties" or value is None or isinstance(value, dict)
            assert event.user_id == record["user_id"]
        assert valid("event", record) == taken, f"{field}: {value!r}"


@pytest.mark.parametrize("field", sorted(schemas.schema("item")["properties"]))
def test_item_fields_are_valid_exactly_when_the_engine_understands_them(field: str) -> None:
    for value in ANYTHING:
        record = {"item_id": "i", field: value}
        try:
            item = item_of(record)
        except InvalidRecord:
            taken = False
        else:
            left_over = field in item.properties and field != "properties"
            odd = field == "properties" and not (value is None or isinstance(value, dict))
            taken = not left_over and not odd
        assert valid("item", record) == taken, f"{field}: {value!r}"


NUMBERS = st.one_of(
    st.integers(-10, 10**9), st.floats(-20, 40_000, allow_nan=False), st.none(), st.booleans()
)
SCALARS = st.one_of(NUMBERS, st.sampled_from(["alternatives", "proximal", "x", "2026-12-31"]))
PATHS = [
    (part, field)
    for part, known in policy_of().__class__.__annotations__.items()
    for field in getattr(known, "__annotations__", {})
]


@given(
    part=st.sampled_from(["list", "signals", "profile", "adapter", "unknown"]),
    field=st.sampled_from(sorted({field for _, field in PATHS} | {"size", "nonsense"})),
    value=SCALARS,
)
def test_policies_are_valid_exactly_when_the_engine_accepts_them(
    part: str, field: str, value: object
) -> None:
    patch = {part: {field: value}}
    try:
        parse_policy(as_json(patch))
    except InvalidPolicy:
        accepted = False
    else:
        accepted = True
    # To JSON Schema 10.0 is an integer; to the engine it is not.
    whole = isinstance(value, float) and value == math.floor(value)
    assert valid("policy", patch) == accepted or (whole and not accepted)


@pytest.mark.parametrize(
    "rule",
    [
        {"do": "block", "where": {"category": "Adult"}},
        {"do": "block", "where": {"colour": "red"}},
        {"do": "boost", "factor": 0, "where": {"tag": "new"}},
        {"do": "boost", "factor": 1.5, "where": {"tag": "new"}},
        {"do": "pin", "rank": 1, "item_id": "i1", "until": "2026-12-31T00:00:00Z"},
        {"do": "pin", "rank": 1, "item_id": "i1", "until": "soon"},
        {"do": "pin", "rank": 0, "item_id": "i1"},
        {"do": "hide", "item_id": "i1"},
    ],
)
def test_rules_are_valid_exactly_when_the_engine_accepts_them(rule: dict[str, object]) -> None:
    try:
        parse_policy(as_json({"rules": [rule]}))
    except InvalidPolicy:
        assert not valid("policy", {"rules": [rule]})
    else:
        assert valid("policy", {"rules": [rule]})


def test_records_of_adapters_fit_their_schemas() -> None:
    version = AdapterVersion(
        scenario="default", version=3, text_version=3, state="shadow", base_model_hash="0" * 64,
        method="proximal", created_at=1, changed_at=2,
    )  # fmt: skip
    pointer = LivePointer(scenario="default", version=3, previous=2, changed_at=3, reason="better")
    for name, key, record in (
        ("adapter", b"default/3", version),
        ("adapter_live", b"default/live", pointer),
    ):
        value = encode_adapter(record)
        assert decode_adapter(key, value) == record
        assert valid(name, json.loads(value))


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    made = document()
    for reference in references(made):
        if reference.startswith("#/"):
            place: Any = made
            for step in reference[2:].split("/"):
                place = place[step]
        else:
            assert (COMMITTED / reference).is_file()
    assert {operation["action"] for operation in made["operations"].values()} == {"send", "receive"}


def test_the_asyncapi_document_names_every_public_topic() -> None:
    made = plans(Topics("{prefix}"), 4)
    public = {name for name in made if ".internal." not in name}
    assert {channel["address"] for channel in document()["channels"].values()} == public
