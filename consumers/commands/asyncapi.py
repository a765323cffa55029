"""The AsyncAPI document: which topics there are, who writes them, by which key, in which schema.

Made from the topics' own names and plans (`topics.py`) and the schemas beside it, to which it
refers by file. Knows no broker.
"""

from dataclasses import dataclass
from typing import Any

from consumers.commands import schemas
from consumers.kafka_io.dead_letters import DeadLetter, dead_letter_record
from consumers.kafka_io.topics import Topics, plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A topic of the contract: its messages by schema, its key in words, and what it is for."""

    messages: tuple[str, ...]
    key: str
    action: str
    summary: str


def document() -> dict[str, Any]:
    """Return the whole document, AsyncAPI 3.0."""
    channels, operations = {}, {}
    for name, channel in CHANNELS.items():
        channels[name] = _channel(name, channel)
        operations[f"{_VERBS[channel.action]}_{name}"] = {
            "action": channel.action,
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": channel.summary,
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stream-rec",
            "version": CONTRACT_VERSION,
            "description": INFO,
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": {name: _message(name) for name in schemas.names()}},
    }


def _channel(name: str, channel: Channel) -> dict[str, Any]:
    messages: dict[str, Any] = {
        message: {"$ref": f"#/components/messages/{message}"} for message in channel.messages
    }
    return {
        "address": _address(name),
        "description": f"{channel.summary} Key: {channel.key}.",
        "parameters": {
            "prefix": {"description": "First part of all topic names.", "default": DEFAULT_PREFIX}
        },
        "messages": messages or {"dead_letter": _dead_letter()},
        "bindings": {"kafka": _binding(name)},
    }


def _message(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": schemas.DOCUMENTS[name].title,
        "contentType": "application/json",
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"{name}.json"}},
    }


def _dead_letter() -> dict[str, Any]:
    whole = {"topic": "", "partition": 0, "offset": 0, "stage": "", "error": "", "reason": ""}
    headers: dict[str, bytes | None] = {}
    for body in (b"x" * CUT_BYTES, None):  # one that is cut, and one that is empty
        letter = DeadLetter(key=body, value=body, **whole)  # type: ignore[arg-type]
        headers |= dict(dead_letter_record(letter, limit=CUT_BYTES).headers)
    return {
        "name": "dead_letter",
        "title": "A record that could not be used, untouched, with the reason in its headers",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in headers},
        },
    }


def _address(name: str) -> str:
    topics = Topics("{prefix}")
    source = name.removesuffix("_dlq")
    address: str = getattr(topics, source)
    return topics.dead_letters(address) if name.endswith("_dlq") else address


def _binding(name: str) -> dict[str, Any]:
    """How the product makes the topic when it is missing; `partitions` is a setting."""
    plan = plans(Topics("{prefix}"), DEFAULT_PARTITIONS)[_address(name)]
    configuration: dict[str, Any] = {}
    if "cleanup.policy" in plan.configs:
        configuration["cleanup.policy"] = plan.configs["cleanup.policy"].split(",")
    for key in ("retention.ms", "delete.retention.ms", "max.message.bytes"):
        if key in plan.configs:
            configuration[key] = int(plan.configs[key])
    binding: dict[str, Any] = {"partitions": plan.partitions, "bindingVersion": "0.5.0"}
    return binding | ({"topicConfiguration": configuration} if configuration else {})


CONTRACT_VERSION = "1"
CUT_BYTES = 20_000
DEFAULT_PREFIX = "stream-rec"
DEFAULT_PARTITIONS = 4
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
INFO = (
    "Events, items and policies in; lists, verdicts and dead letters out. Topics under "
    "{prefix}.internal are not part of the contract. Readers should use isolation.level="
    "read_committed; producers must partition as Kafka's default does (murmur2 of the key)."
)
_VERBS = {"receive": "read", "send": "write"}
_DEAD = "Records of {} that could not be used."
CHANNELS = {
    "clicks": Channel(
        messages=("event",),
        key="user_id",
        action="receive",
        summary="Behaviour events.",
    ),
    "reviews": Channel(
        messages=("event",),
        key="user_id",
        action="receive",
        summary="Ratings and review texts.",
    ),
    "items": Channel(
        messages=("item",),
        key="item_id",
        action="receive",
        summary="The catalogue; a tombstone withdraws an item.",
    ),
    "policies": Channel(
        messages=("policy",),
        key="scenario, or * for all",
        action="receive",
        summary="What operators ask for; a tombstone gives way to the layer below.",
    ),
    "erasures": Channel(
        messages=("erasure",),
        key="user_id",
        action="receive",
        summary="Users to be forgotten.",
    ),
    "recommendations": Channel(
        messages=("recommendation",),
        key="<scenario>/<user_id>",
        action="send",
        summary="The newest list of each user and scenario, in the partition of the user's events.",
    ),
    "adapters": Channel(
        messages=("adapter", "adapter_live"),
        key="<scenario>/<version>, and <scenario>/live for the pointer",
        action="send",
        summary="The life of each adapter, with its measurements.",
    ),
    "audit": Channel(
        messages=("audit",),
        key="scenario",
        action="send",
        summary="Who changed what, accepted or refused, and why.",
    ),
    **{
        f"{source}_dlq": Channel(
            messages=(), key="as in the source", action="send", summary=_DEAD.format(source)
        )
        for source in ("clicks", "reviews", "items", "policies", "erasures")
    },
}
