"""Which pseudonym keys the users of a partition may be stored under, noted in its changelog.

Without the note a key that was taken away too early would show only as users who seem never to have
been seen, whose lists start over. An empty id stands for users stored under no key at all.
"""

import msgspec

from consumers.recommending.profile_store import ProfileStore
from stream_rec.errors import ConfigurationError
from stream_rec.pseudonyms import missing_keys


def check_keys(store: ProfileStore, partition: int) -> None:
    """Return when every key that users of the partition may be stored under is at hand.

    Raises:
        ConfigurationError: naming the keys that are not.
    """
    given = store.names.key_ids
    if missing := [key_id for key_id in _noted(store, partition) if key_id and key_id not in given]:
        raise ConfigurationError(missing_keys(missing))


def new_note(store: ProfileStore, partition: int) -> bytes | None:
    """Return the note that must go with users stored from now on; None when it stands there."""
    noted = _noted(store, partition)
    if not store.names.keyed or store.names.key_ids[0] in noted:
        return None
    return msgspec.json.encode([*noted, store.names.key_ids[0]])


def _noted(store: ProfileStore, partition: int) -> list[str]:
    note = store.note(partition)
    if note is None:
        return [] if store.empty(partition) else [""]
    return msgspec.json.decode(note, type=list[str])
