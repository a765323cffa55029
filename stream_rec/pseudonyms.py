"""How users are named in what the product keeps: by their id, or by a pseudonym under a key.

A key named `k1` gives each user a pseudonym (HMAC-SHA256, cut to 128 bits) to be found under, and a
sealed id (AES-SIV, RFC 5297) from which whoever has the key reads the id back: a list must go out
under the producer's own id, also when no event brings it along. Without a key both are the id.
Knows neither topics nor disks.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from stream_rec.errors import ConfigurationError, StateRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A secret and the id that everything made with it carries."""

    key_id: str
    secret: str = field(repr=False)


def read_keys(text: str | None) -> tuple[Key, ...]:
    """Read `id:secret[,oldid:oldsecret…]`, the key in use first; no text, no keys.

    Raises:
        ConfigurationError: an id is no short word or stands twice, or a secret is too short to be
            one. The message never holds a secret.

    >>> [key.key_id for key in read_keys("k2:0123456789abcdef, k1:fedcba9876543210")]
    ['k2', 'k1']
    """
    keys = []
    for number, part in enumerate((text or "").split(",") if text else (), 1):
        key_id, colon, secret = part.strip().partition(":")
        if not colon or not _ID.fullmatch(key_id):
            msg = f"pseudonym key {number} is not ID:SECRET, the id of 1 to 16 letters and digits"
            raise ConfigurationError(msg)
        if len(secret) < LEAST_SECRET:
            msg = f"the secret of pseudonym key {key_id} has fewer than {LEAST_SECRET} characters"
            raise ConfigurationError(msg)
        keys.append(Key(key_id=key_id, secret=secret))
    ids = [key.key_id for key in keys]
    if len(set(ids)) < len(ids):
        msg = f"a pseudonym key id stands twice among {', '.join(ids)}"
        raise ConfigurationError(msg)
    return tuple(keys)


class Pseudonyms:
    """The names of users under the keys of this installation; the first key makes new ones.

    Pseudonyms and sealed ids begin with a character that no user id has, so nothing is taken for
    the other, and state from before there was a key goes on being found.

    Raises:
        ConfigurationError: there are keys, and the package `cryptography` is not installed.

    >>> Pseudonyms().of("ann"), Pseudonyms().seal("ann")
    ('ann', 'ann')
    """

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self.key_ids = tuple(key.key_id for key in keys)
        self._finders = [(key.key_id, _derived(key, b"find", 32)) for key in keys]
        self._sealers = {key.key_id: _sealer(key) for key in keys}
        self.of = lru_cache(KNOWN)(self._of)
        self.seal = lru_cache(KNOWN)(self._seal)

    @property
    def keyed(self) -> bool:
        """Whether ids are kept under a key at all."""
        return bool(self._finders)

    def older(self, user_id: str) -> tuple[str, ...]:
        """Return the names that a user may still have from before: older keys', then the id."""
        if not self._finders or user_id == NOBODY:
            return ()
        return (*(_found_under(key, user_id) for key in self._finders[1:]), user_id)

    def open(self, sealed: str) -> str:
        """Return the id that `seal` hid; a plain one is returned as it is.

        Raises:
            ConfigurationError: it is under a key that this program was not given.
            StateRejected: it is torn, or the key of this id is another one.
        """
        if not sealed.startswith(SEALED):
            return sealed
        key_id, _, body = sealed[len(SEALED) :].partition(".")
        sealer = self._sealers.get(key_id)
        if sealer is None:
            raise ConfigurationError(missing_keys([key_id]))
        try:
            raw: bytes = sealer.decrypt(base64.b85decode(body), [_PURPOSE])
            return raw.decode()
        except (ValueError, binascii.Error, _invalid_tag()) as error:
            msg = f"a sealed user id does not open under pseudonym key {key_id}"
            raise StateRejected(msg) from error

    def _of(self, user_id: str) -> str:
        if not self._finders or user_id == NOBODY:
            return user_id
        return _found_under(self._finders[0], user_id)

    def _seal(self, user_id: str) -> str:
        if not self._finders or user_id == NOBODY:
            return user_id
        key_id = self.key_ids[0]
        body = self._sealers[key_id].encrypt(user_id.encode(), [_PURPOSE])
        return f"{SEALED}{key_id}.{base64.b85encode(body).decode()}"


def missing_keys(key_ids: Sequence[str]) -> str:
    """Return what to tell an operator who took away keys that are still needed."""
    named = " and ".join(repr(key_id) for key_id in key_ids)
    return (
        f"users are stored under pseudonym key {named}, which STREAM_REC_PSEUDONYM_KEY does not "
        "name: put it back, after the new one"
    )


def _found_under(finder: tuple[str, bytes], user_id: str) -> str:
    key_id, key = finder
    digest = hmac.digest(key, user_id.encode(), "sha256")[:16]
    return f"{FOUND}{key_id}.{base64.b85encode(digest).decode()}"


def _derived(key: Key, purpose: bytes, length: int) -> bytes:
    """Derive one key for one purpose (HKDF, RFC 5869)."""
    try:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        msg = "STREAM_REC_PSEUDONYM_KEY needs the package cryptography: stream-rec[privacy] has it"
        raise ConfigurationError(msg) from error
    made = HKDF(algorithm=SHA256(), length=length, salt=None, info=b"stream-rec " + purpose)
    return made.derive(key.secret.encode())


def _sealer(key: Key) -> Any:
    key_of_64_bytes = _derived(key, b"seal", 64)
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    return AESSIV(key_of_64_bytes)


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag


# The pseudo-user of the default lists: no person, and known to everybody.
NOBODY = "*"
FOUND, SEALED = "\x01", "\x02"
LEAST_SECRET = 16
KNOWN = 100_000
_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_PURPOSE = b"stream-rec user"
PLAIN = Pseudonyms()
