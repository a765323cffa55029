"""What a partition of the input has been through, committed with every batch.

Knows nothing of what was read: offsets, counts and times alone.
"""

import msgspec


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition has been through: next offsets, outcome counts, newest event time.

    `erased_at` is when a user of it was last forgotten, on the clock of the worker; 0 for never.
    """

    next_offsets: dict[str, int] = {}
    outcomes: dict[str, dict[str, int]] = {}
    newest_ms: int = 0
    erased_at: int = 0
