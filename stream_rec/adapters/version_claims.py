"""Claim the number of a version before work on it begins, so that no two programs make the same.

    <root>/.claims/<version>/<token>   an empty file: somebody makes, or made, this version

Whoever finds another token beside their own has lost the number, as has the other if both came at
once, and goes on to a higher one. So nothing is asked of a store but that it lists what was
written: no lock, and no exclusive create. It does not know what is made.
"""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

import fsspec

from stream_rec.record_fields import whole_number


def claim_version(root: str, *, above: int) -> int:
    """Return a number, over all scenarios, that nobody else has claimed or will.

    It is above every bundle and claim under ``root``, and above what the caller knows of.
    """
    store, base = fsspec.core.url_to_fs(root)
    base = base.rstrip("/")
    while True:
        store.invalidate_cache()
        numbers = (whole_number(path.rsplit("/", 1)[-1]) for path in store.glob(f"{base}/*/*"))
        number = max((above, *(n for n in numbers if n is not None))) + 1
        folder = f"{base}/{_CLAIMS}/{number}"
        store.makedirs(folder, exist_ok=True)
        store.touch(f"{folder}/{uuid4().hex}")
        store.invalidate_cache()
        if len(store.ls(folder, detail=False)) == 1:
            break
    with suppress(FileNotFoundError):  # the newest say what was claimed; others may remove it, too
        store.rm(f"{base}/{_CLAIMS}/{number - _KEPT}", recursive=True)
    return number


# A scenario's folder never begins with a dot.
_CLAIMS = ".claims"
# More than anybody can claim while another is between looking and claiming.
_KEPT = 100
