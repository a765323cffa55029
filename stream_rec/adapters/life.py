"""The life of an adapter as the `adapters` topic tells it: records, states and the live pointer.

    <scenario>/<version>   one record a version, rewritten at every step of its life
    <scenario>/live        the pointer: which version serves; version 0 is the frozen model

    trained --offline gate--> refused | shadow --live events--> rejected | promoted --> retired
    promoted --watch or operator--> rolled_back

The trainer writes a version until it is in shadow or refused; from there the owner of clicks
partition 0 writes it, and operators may. Knows no topics and no vectors.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from stream_rec.errors import StateRejected
from stream_rec.record_fields import whole_number

State = Literal["refused", "shadow", "rejected", "promoted", "retired", "rolled_back"]


class AdapterVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version and how far it has come.

    `text_version` is the version whose adapter reads texts: a round that only trained the tower
    keeps that of the round before, and its texts need no encoding. `gate` and `shadow` hold the
    figures that decided.
    """

    format: int = 1
    scenario: str
    version: int
    text_version: int
    state: State
    kind: Literal["adapter", "tower"] = "adapter"
    champion: int = 0  # the version it is measured against
    base_model_hash: str
    method: str
    created_at: int  # ms
    changed_at: int  # ms
    reason: str = ""
    by: str | None = None
    metrics: dict[str, Any] = {}
    gate: dict[str, Any] = {}
    shadow: dict[str, Any] = {}


class LivePointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which version serves a scenario, and which served before it."""

    format: int = 1
    scenario: str
    version: int
    previous: int
    changed_at: int  # ms
    reason: str
    by: str | None = None


def version_key(scenario: str, version: int) -> bytes:
    """Return the key of a version's record.

    >>> version_key("default", 5)
    b'default/5'
    """
    return f"{scenario}/{version}".encode()


def live_key(scenario: str) -> bytes:
    """Return the key of a scenario's pointer."""
    return f"{scenario}/{LIVE}".encode()


def record_key(record: AdapterVersion | LivePointer) -> bytes:
    """Return the key under which a record stands."""
    if isinstance(record, LivePointer):
        return live_key(record.scenario)
    return version_key(record.scenario, record.version)


def encode_adapter(record: AdapterVersion | LivePointer) -> bytes:
    """Return the value of a record of the `adapters` topic."""
    return msgspec.json.encode(record)


def decode_adapter(key: bytes, value: bytes) -> AdapterVersion | LivePointer:
    """Read a record of the `adapters` topic; its key says which kind it is.

    Raises:
        StateRejected: it is torn, does not fit its key, or was written by a newer version.
    """
    name = key.decode("utf-8", "replace")
    kind: Any = LivePointer if name.endswith(f"/{LIVE}") else AdapterVersion
    try:
        record: AdapterVersion | LivePointer = msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"adapter record {name[:80]!r} is torn: {error}"
        raise StateRejected(msg) from error
    own = LIVE if isinstance(record, LivePointer) else record.version
    if record.format != 1 or name != f"{record.scenario}/{own}":
        msg = f"adapter record {name[:80]!r} is of format {record.format}, or of another version"
        raise StateRejected(msg)
    return record


def pointed(pointers: Mapping[str, LivePointer], scenario: str) -> int:
    """Return the version that is to serve a scenario, loaded or not; 0 is the frozen model.

    >>> pointed({}, "tv")
    0
    """
    pointer = pointers.get(scenario) or pointers.get(DEFAULT_SCENARIO)
    return pointer.version if pointer is not None else 0


def apply_tombstone(
    key: bytes, versions: dict[int, AdapterVersion], pointers: dict[str, LivePointer]
) -> None:
    """Drop what stood under a key of the topic; a key that is none of its own drops nothing.

    >>> held = {"default": None, "tv": None}
    >>> apply_tombstone(b"tv/live", {}, held)
    >>> list(held)
    ['default']
    """
    scenario, _, name = key.decode("utf-8", "replace").rpartition("/")
    if name == LIVE:
        pointers.pop(scenario, None)
    elif (version := whole_number(name)) is not None:
        versions.pop(version, None)


LIVE = "live"
# Its adapter serves every scenario that has none of its own.
DEFAULT_SCENARIO = "default"
# The method of an adapter that learned from texts and a larger model, and from no user.
DISTILLED = "distil"
