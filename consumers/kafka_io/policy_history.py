"""Keys of the history of policies, which stands beside those in force and is never compacted.

    <scenario>                    the policy in force, replaced by the next
    history/<scenario>/<offset>   one accepted policy, with who and when; its key never comes again

No scenario holds a slash, so the two never meet. Knows keys, not what is in the records.
"""


def history_key(scenario: str, offset: int) -> bytes:
    """Return the key under which an accepted policy is kept for good.

    >>> history_key("default", 7)
    b'history/default/7'
    """
    return f"{PREFIX}{scenario}/{offset}".encode()


def is_history(key: bytes | None) -> bool:
    """Say whether a record of `internal.policies` is history, and no policy in force.

    >>> is_history(b"history/default/7"), is_history(b"default"), is_history(b"history")
    (True, False, False)
    """
    return key is not None and key.startswith(PREFIX.encode())


PREFIX = "history/"
