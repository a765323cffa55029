"""The bytes of the product's own topics: keys, values and formats, written and read in one place.

Every value that a later version must recognise starts with a format. What producers send is read
by `stream_rec`, not here; which topic a record belongs to is known to the callers.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from kafka.partitioner.default import murmur2
from numpy.typing import NDArray

from stream_rec import formats
from stream_rec.erasure import Marker
from stream_rec.errors import StateRejected
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.profiles.refinement import Refinement
from stream_rec.pseudonyms import PLAIN, Pseudonyms
from stream_rec.record_fields import whole_number

# Keys of the changelog that are no user's begin with a zero byte, which no user id has.
NO_USER = b"\x00"
LEDGER_KEY = NO_USER + b"ledger"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where one partition stands; the last record that each transaction writes to its changelog.

    `judged` is the next offset of each `topic-partition` whose records the owner of partition 0
    gives a verdict on; empty elsewhere. `writer` is the version of stream-rec, empty in format 1.
    """

    format: int = 2
    writer: str = formats.VERSION
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    judged: dict[str, int] = {}


class AcceptedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy in force: the patch as it was written (None: withdrawn), and the offset it had."""

    format: int = 1
    offset: int
    patch: dict[str, Any] | None
    accepted_at: int


class StoredVector(msgspec.Struct, frozen=True, kw_only=True):
    """An item's text vector in float16; `vector` is empty for an item without text.

    `model` names the base model's files: vectors of two models never share a table.
    """

    format: int = 1
    model: str
    text_hash: int
    vector: bytes

    @property
    def values(self) -> NDArray[np.float32] | None:
        """The vector, (dimension,), or None when the item has no text."""
        return np.frombuffer(self.vector, "<f2").astype(np.float32) if self.vector else None


def encode_standing(standing: Standing) -> bytes:
    """Return the record value of where a partition stands."""
    return _json.encode(standing)


def decode_standing(value: bytes) -> Standing:
    """Read where a partition stands.

    Raises:
        StateRejected: it is torn.
        NewerFormat: a newer version wrote it.
    """
    return _STANDINGS[formats.check_value("ledger", value)](value)


def encode_profile(profile: Profile, names: Pseudonyms = PLAIN) -> bytes:
    """Return a profile's record value: one byte of format, then msgpack.

    Under a key the id in it is sealed, which is a format of its own: a program that knew no seals
    would take one for an id.
    """
    if not names.keyed:
        return PROFILE_FORMAT + _msgpack.encode(profile)
    sealed = msgspec.structs.replace(profile, user_id=names.seal(profile.user_id))
    return SEALED_PROFILE_FORMAT + _msgpack.encode(sealed)


def decode_profile(value: bytes, names: Pseudonyms = PLAIN) -> Profile:
    """Read a profile.

    Raises:
        StateRejected: it is torn.
        NewerFormat: a newer version wrote it.
        ConfigurationError: its id is under a key that this program was not given.
    """
    if value[:1] not in (PROFILE_FORMAT, SEALED_PROFILE_FORMAT):
        formats.check("profile", value[0] if value else 0)
        msg = f"profile of format {value[:1]!r}"
        raise StateRejected(msg)
    try:
        profile: Profile = _profiles.decode(memoryview(value)[1:])
    except TORN as error:
        msg = f"torn profile: {error}"
        raise StateRejected(msg) from error
    if not (profile.consumed.sound and profile.disliked.sound):
        msg = "torn profile: a set of items of no size"
        raise StateRejected(msg)
    user_id = names.open(profile.user_id)
    if user_id is profile.user_id:
        return profile
    return msgspec.structs.replace(profile, user_id=user_id)


def marker_key(name: str) -> bytes:
    """Return the key of the mark that a forgotten user leaves: 128 bits of a hash, never the id.

    `name` is the user's pseudonym where there is a key, so that nobody without it can try ids.
    Between two users the same hash would silently lose one's events: at 64 bits that is likely
    enough to matter (1 in 2,000 for ten million forgotten of a billion), at 128 it is not.
    """
    return _MARKER + blake2b(name.encode(), digest_size=16).digest()


def is_marker(key: bytes) -> bool:
    """Say whether a key of the changelog is that of a forgotten user's mark."""
    return key.startswith(_MARKER)


def encode_marker(marker: Marker) -> bytes:
    """Return the record value of a forgotten user's mark: one byte of format, then msgpack."""
    return PROFILE_FORMAT + _msgpack.encode(marker)


def decode_marker(value: bytes) -> Marker:
    """Read a forgotten user's mark.

    Raises:
        StateRejected: it is torn.
        NewerFormat: a newer version wrote it.
    """
    try:
        if value[:1] == PROFILE_FORMAT:
            return _markers.decode(memoryview(value)[1:])
    except TORN as error:
        msg = f"torn mark of a forgotten user: {error}"
        raise StateRejected(msg) from error
    formats.check("marker", value[0] if value else 0)
    msg = f"mark of a forgotten user of format {value[:1]!r}"
    raise StateRejected(msg)


def encode_accepted_policy(accepted: AcceptedPolicy) -> bytes:
    """Return the record value of an accepted policy."""
    return _json.encode(accepted)


def decode_accepted_policy(value: bytes) -> AcceptedPolicy:
    """Read an accepted policy.

    Raises:
        StateRejected: it is torn.
        NewerFormat: a newer version wrote it.
    """
    formats.check_value("policy", value)
    accepted: AcceptedPolicy = _decoded("accepted policy", value, AcceptedPolicy)
    return accepted


def vector_key(adapter_version: int, item_id: str) -> bytes:
    """Return the key of an item's vector.

    >>> vector_key(0, "i/9")
    b'0/i/9'
    """
    return f"{adapter_version}/{item_id}".encode()


def split_vector_key(key: bytes) -> tuple[int, str]:
    """Return adapter version and item id of a vector's key.

    Raises:
        StateRejected: it is none.
    """
    digits, slash, item_id = key.decode("utf-8", "replace").partition("/")
    version = whole_number(digits)
    if not slash or version is None:
        msg = f"vector key {key[:40]!r}"
        raise StateRejected(msg)
    return version, item_id


def encode_vector(model: str, text_hash: int, vector: NDArray[np.float32] | None) -> bytes:
    """Return the record value of an item's vector; None for an item without text."""
    stored = b"" if vector is None else vector.astype("<f2").tobytes()
    return _msgpack.encode(StoredVector(model=model, text_hash=text_hash, vector=stored))


def decode_vector(value: bytes) -> StoredVector:
    """Read an item's vector.

    Raises:
        StateRejected: it is torn.
        NewerFormat: a newer version wrote it.
    """
    try:
        stored = _vectors.decode(value)
    except TORN as error:
        formats.stop_if_newer("vector", value)
        msg = f"torn vector: {error}"
        raise StateRejected(msg) from error
    formats.check("vector", stored.format)
    if len(stored.vector) % 2:
        msg = "torn vector: half a number at its end"
        raise StateRejected(msg)
    return stored


def encode_refinement(refinement: Refinement, names: Pseudonyms = PLAIN) -> bytes:
    """Return the record value of what was read in a review; the user's id is sealed."""
    sealed = names.seal(refinement.user_id)
    return _msgpack.encode(msgspec.structs.replace(refinement, user_id=sealed))


def decode_refinement(value: bytes | None, names: Pseudonyms = PLAIN) -> Refinement:
    """Read what was read in a review.

    Raises:
        StateRejected: it is torn.
        NewerFormat: a newer version wrote it.
        ConfigurationError: the user's id is under a key that this program was not given.
    """
    try:
        found: Refinement = _refinements.decode(value or b"")
    except TORN as error:
        formats.stop_if_newer("refinement", value or b"")
        msg = f"torn refinement: {error}"
        raise StateRejected(msg) from error
    formats.check("refinement", found.format)
    if not -1.0 <= found.sentiment <= 1.0:
        msg = "torn refinement: a sentiment beyond its bounds"
        raise StateRejected(msg)
    return msgspec.structs.replace(found, user_id=names.open(found.user_id))


class Partitions:
    """Kafka's default partition of a key, with a bounded memory of the answers.

    murmur2 in Python takes 10 µs; a lookup 0.1.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._known: dict[bytes, int] = {}

    def of(self, key: bytes) -> int:
        """Return the partition of `key`, as producers with the default partitioner choose it."""
        found = self._known.get(key)
        if found is None:
            found = (murmur2(key) & 0x7FFFFFFF) % self.count
            if len(self._known) >= _KNOWN_KEYS:
                self._known.clear()
            self._known[key] = found
        return found

    def of_user(self, user_id: str) -> int:
        """Return the partition of a user's events."""
        return self.of(user_id.encode())


def _decoded(name: str, value: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"torn {name}: {error}"
        raise StateRejected(msg) from error


def _standing_1(value: bytes) -> Standing:
    """Format 1 did not say who wrote it."""
    found = _decoded("ledger", value, _FirstStanding)
    return Standing(writer="", ledger=found.ledger, judged=found.judged)


def _standing_2(value: bytes) -> Standing:
    found: Standing = _decoded("ledger", value, Standing)
    return found


class _FirstStanding(msgspec.Struct, frozen=True, kw_only=True):
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    judged: dict[str, int] = {}


# What is read of an older format is written in the newest by the next transaction.
_STANDINGS: dict[int, Callable[[bytes], Standing]] = {1: _standing_1, 2: _standing_2}
PROFILE_FORMAT, SEALED_PROFILE_FORMAT = b"\x01", b"\x02"
_MARKER = NO_USER + b"erased" + NO_USER
# What reading raises beside its own error: texts are checked last, and depth has an end.
TORN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_KNOWN_KEYS = 50_000
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_profiles = msgspec.msgpack.Decoder(Profile)
_markers = msgspec.msgpack.Decoder(Marker)
_vectors = msgspec.msgpack.Decoder(StoredVector)
_refinements = msgspec.msgpack.Decoder(Refinement)
