"""Which pseudonym keys the users of a partition may be stored under, and moving them to the newest.

The keys in use are noted in each partition's changelog. Without the note a key that was taken away
too early would show only as users who seem never to have been seen, whose lists start over. An
empty id stands for users stored under no key at all.

Users move when they are touched, and the others in idle rounds, a few at a time; when nobody is
left under an older key the note says so, and the key may be taken away.
"""

from collections.abc import Iterator

import msgspec

from consumers.recommending.profile_store import ProfileStore
from stream_rec import formats
from stream_rec.errors import ConfigurationError, StateRejected
from stream_rec.profiles.profile import Profile
from stream_rec.pseudonyms import missing_keys


class KeyNote(msgspec.Struct, frozen=True, kw_only=True):
    """The keys in use of one partition, oldest first."""

    format: int = 1
    keys: tuple[str, ...]


def check_keys(store: ProfileStore, partition: int) -> None:
    """Return when every key that users of the partition may be stored under is at hand.

    Raises:
        ConfigurationError: naming the keys that are not.
    """
    given = store.names.key_ids
    if missing := [key_id for key_id in _noted(store, partition) if key_id and key_id not in given]:
        raise ConfigurationError(missing_keys(missing))


def new_note(store: ProfileStore, partition: int, *, moved: bool = False) -> bytes | None:
    """Return the note that must go with users stored from now on; None when it stands there.

    `moved` says that nobody of the partition is stored under an older key any more.
    """
    names = store.names
    if not names.keyed:  # as most are: every transaction asks, and the answer is on disk
        return None
    noted = _noted(store, partition)
    after: tuple[str, ...] = (names.key_ids[0],)
    if not moved:
        after = (*noted, *(key_id for key_id in after if key_id not in noted))
    return None if after == noted else msgspec.json.encode(KeyNote(keys=after))


class Moving:
    """Moves the users of older keys, a few in each idle round."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store
        self._looking: dict[int, Iterator[Profile]] = {}
        self._found: dict[int, int] = {}

    def some(self, most: int) -> tuple[dict[tuple[int, str], Profile], dict[int, bytes]]:
        """Return up to `most` profiles to be stored again, and notes of partitions that are done.

        A partition is done when a look through all of it finds nobody to move.
        """
        store = self._store
        profiles: dict[tuple[int, str], Profile] = {}
        notes: dict[int, bytes] = {}
        for number in sorted(store.owned) if store.names.keyed else ():
            note = new_note(store, number, moved=True)
            if note is None:
                continue
            looking = self._looking.setdefault(number, store.outdated(number))
            for profile in looking:
                profiles[number, profile.user_id] = profile
                self._found[number] = self._found.get(number, 0) + 1
                if len(profiles) >= most:
                    return profiles, notes
            del self._looking[number]
            if not self._found.pop(number, 0):
                notes[number] = note
        return profiles, notes


def _noted(store: ProfileStore, partition: int) -> tuple[str, ...]:
    note = store.note(partition)
    if note is None:
        return () if store.empty(partition) else ("",)
    formats.check_value("keys", note)
    try:
        return msgspec.json.decode(note, type=KeyNote).keys
    except msgspec.DecodeError as error:
        msg = f"torn note of pseudonym keys: {error}"
        raise StateRejected(msg) from error
