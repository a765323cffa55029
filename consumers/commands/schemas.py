"""JSON Schemas of the contract's records, generated from the product's own types.

What producers send is described by what the field readers take (`stream_rec/record_fields.py`), so
a schema never refuses what the contract promises to read; what the product writes is described by
the structs it is written from. Knows no topics: those are in `asyncapi.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import UNSET

from consumers.recommending.verdicts import Audit
from stream_rec import record_fields as fields
from stream_rec.adapters.life import AdapterVersion, LivePointer
from stream_rec.events import Event
from stream_rec.items import MAX_DIMENSION, Item
from stream_rec.policy import Policy
from stream_rec.toplist import TopList

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One schema: what it describes, in a line, and how it is made."""

    title: str
    make: Callable[[], Schema]


def names() -> tuple[str, ...]:
    """Return the names of all schemas, in the order of the contract."""
    return tuple(DOCUMENTS)


def schema(name: str) -> Schema:
    """Return one schema as JSON Schema, draft 2020-12.

    >>> schema("erasure")["required"]
    ['user_id', 'timestamp']
    """
    document = DOCUMENTS[name]
    head = {"$schema": DRAFT, "$id": f"urn:stream-rec:{name}", "title": document.title}
    made = document.make()
    made.pop("title", None)
    return head | made


def _event() -> Schema:
    own = _read(
        Event,
        required=("user_id", "item_id", "timestamp"),
        words=EVENT_WORDS,
        special={
            "user_id": _identifier(not_any=[{"const": "*"}]),
            "scenario": _optional(_identifier(not_any=[{"const": "*"}, {"pattern": "/"}])),
            "timestamp": _time(),
            "rating": _optional(_number(digits=6)),
            "position": _optional(_number(digits=9)),
        },
    )
    own["properties"]["event_type"]["examples"] = EVENT_TYPES
    return own


def _item() -> Schema:
    return _read(
        Item, required=("item_id",), words=ITEM_WORDS, special={"price": _optional(_finite())}
    )


def _erasure() -> Schema:
    words = {
        "user_id": "Who is to be forgotten; also the record's key.",
        "timestamp": "Events of theirs up to this time have no effect from now on.",
    }
    named = {"user_id": _identifier(not_any=[{"const": "*"}]), "timestamp": _time()}
    return {
        "type": "object",
        "properties": {name: {"description": words[name]} | made for name, made in named.items()},
        "required": list(named),
    }


def _policy() -> Schema:
    """A layer of policy: every field may be left out, none may be unknown."""
    made = _flat(msgspec.json.schema(Policy))
    until = made["$defs"]["Pin"]["properties"]["until"]
    until["anyOf"] = [*_time()["anyOf"], {"type": "null"}]
    for part in made["$defs"].values():
        part.get("properties", {}).pop("discriminator", None)
    return made


def _written(kind: Any) -> Schema:
    """What the product writes: every field is there, and readers must bear new ones.

    What older versions did not write may be missing from the lists that they left.
    """
    made = _flat(msgspec.json.schema(kind))
    made["description"] = cleandoc(made["description"])
    later = {field.encode_name for field in msgspec.structs.fields(kind) if field.default is UNSET}
    for part in (made, *made.get("$defs", {}).values()):
        if "properties" in part:
            part["required"] = [name for name in part["properties"] if name not in later]
    return made


def _read(
    kind: type[msgspec.Struct],
    *,
    required: tuple[str, ...],
    words: Mapping[str, str],
    special: Mapping[str, Schema],
) -> Schema:
    """What producers send: the fields of a struct, each as its reader takes it."""
    properties = {}
    for field in msgspec.structs.fields(kind):
        fragment = special.get(field.name)
        if fragment is None:
            fragment = _by_type(field.type)
            fragment = fragment if field.name in required else _optional(fragment)
        properties[field.name] = {"description": words[field.name]} | fragment
    description = "Unknown fields are kept in `properties`, never refused."
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": list(required),
    }


def _by_type(annotation: Any) -> Schema:
    """How a field of this type is read, wherever nothing special is said of it."""
    if annotation is str:
        return _identifier()
    if annotation == str | None:
        return {"type": "string"}
    if annotation == float | None:
        return _number(digits=9)
    if annotation == int | None:
        return _time()
    if annotation is bool:
        return {"type": "boolean"}
    if annotation == tuple[str, ...]:
        return _labels()
    if annotation == dict[str, list[float]]:
        return _vectors()
    return {"type": "object"}


def _identifier(not_any: list[Schema] | None = None) -> Schema:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": fields.MAX_ID_CHARACTERS,
        "not": {"anyOf": [{"pattern": INVISIBLE}, *(not_any or [])]},
    }


def _number(*, digits: int) -> Schema:
    """A number of up to so many digits before its point, or the same as text."""
    bound = 10**digits
    text = {"type": "string", "pattern": rf"^[+-]?[0-9]{{1,{digits}}}(\.[0-9]+)?$"}
    return {"anyOf": [{"type": "number", "minimum": -bound, "maximum": bound}, text]}


def _time() -> Schema:
    """Epoch seconds, milliseconds or microseconds, told apart by size, or ISO 8601."""
    number = {"type": "number", "minimum": 0, "exclusiveMaximum": fields.MAX_TIME_MS * 1000}
    texts: list[Schema] = [{"type": "string", "pattern": form} for form in (ISO_8601, EPOCH)]
    return {"anyOf": [number, *texts]}


def _labels() -> Schema:
    text = {"type": "string"}
    nested = {"anyOf": [text, {"type": "array", "items": text}]}
    return {"anyOf": [text, {"type": "array", "items": nested}]}


def _finite() -> Schema:
    return {"type": "number", "minimum": -1e15, "maximum": 1e15}


def _vectors() -> Schema:
    vector = {"type": "array", "items": _finite(), "minItems": 1, "maxItems": MAX_DIMENSION}
    return {"type": "object", "additionalProperties": vector}


def _optional(fragment: Schema) -> Schema:
    """A field that may be null, which counts as absent."""
    if "anyOf" in fragment:
        return fragment | {"anyOf": [*fragment["anyOf"], {"type": "null"}]}
    if "not" in fragment:  # its words on what it is not are not about null
        return {"anyOf": [fragment, {"type": "null"}]}
    return fragment | {"type": [fragment["type"], "null"]}


def _flat(generated: Schema) -> Schema:
    """Lay the root of a generated schema open, its parts beside it."""
    parts = generated.get("$defs", {})
    reference = generated.get("$ref")
    if reference is None:
        return generated
    root = parts.pop(reference.rpartition("/")[2])
    return {**root, "$defs": parts} if parts else dict(root)


DRAFT = "https://json-schema.org/draft/2020-12/schema"
# Control and invisible characters, which no id may hold; the engine's list (Unicode's) is longer.
INVISIBLE = (
    r"[\u0000-\u001f\u007f-\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
ISO_8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$"
)
EPOCH = r"^[0-9]{1,17}(\.[0-9]+)?$"
EVENT_TYPES = [
    "impression", "view", "click", "like", "bookmark", "cart", "purchase", "dislike", "skip",
    "hide", "review",
]  # fmt: skip
EVENT_WORDS = {
    "event_id": "Counts once among the last 128 of its user; without one, "
    "`topic-partition-offset` stands for it.",
    "event_type": "`click` on the topic of clicks and `review` on that of reviews unless given; "
    "a name that the policy does not weigh counts as `other`.",
    "user_id": "Who did it; also the record's key.",
    "item_id": "What it was done with; an item that the catalogue does not know is a stranger.",
    "timestamp": "When: epoch seconds, milliseconds or microseconds, or ISO 8601 (no zone: UTC). "
    "At most a day ahead of the broker's clock.",
    "scenario": "The place in the shop that the event belongs to; `default` unless given.",
    "session_id": "Kept, not used.",
    "value": "Kept, not used: what it was worth to the shop.",
    "rating": "A number, or a number as text.",
    "title": "Headline of a review.",
    "text": "Words of a review.",
    "recommendation_id": "The list that led to it.",
    "position": "The rank it had in that list.",
    "properties": "Whatever else is worth keeping.",
}
ITEM_WORDS = {
    "item_id": "The item; also the record's key.",
    "title": "What a reader sees first; read by the language model.",
    "description": "Read by the language model, the first 300 characters.",
    "categories": "Strings, or nested lists of strings; the first 32.",
    "tags": "Likewise.",
    "brand": "Who makes it.",
    "price": "In the shop's own currency.",
    "available": "False takes the item out of all lists; true unless given.",
    "published_at": "When it came: a time as in events.",
    "vectors": "Embeddings of other modalities, made elsewhere; each name keeps one length.",
    "properties": "Whatever else is worth keeping; fields of a wrong type are kept here too.",
}
DOCUMENTS: Mapping[str, Document] = {
    "event": Document(
        title="A behaviour event or a review: events.clicks, events.reviews", make=_event
    ),
    "item": Document(title="An entry of the catalogue: items", make=_item),
    "policy": Document(title="A layer of policy: policies", make=_policy),
    "erasure": Document(title="A user to be forgotten: erasures", make=_erasure),
    "recommendation": Document(
        title="The newest list of a user: recommendations", make=lambda: _written(TopList)
    ),
    "adapter": Document(
        title="The life of an adapter: adapters, key <scenario>/<version>",
        make=lambda: _written(AdapterVersion),
    ),
    "adapter_live": Document(
        title="The adapter that serves: adapters, key <scenario>/live",
        make=lambda: _written(LivePointer),
    ),
    "audit": Document(title="Who changed what: audit", make=lambda: _written(Audit)),
}
