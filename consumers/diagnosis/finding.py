"""What a check of `stream-rec doctor` found: what is so, what it is about, and how to mend it."""

from typing import Literal

import msgspec

Weight = Literal["wrong", "note"]
"""`wrong` costs events, lists or freshness, or will; a `note` is only worth knowing."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found; `kind` is a fixed word for programs, `text` and `mend` are for people."""

    kind: str
    weight: Weight
    about: str
    text: str
    mend: str


def wrong(kind: str, about: str, text: str, mend: str) -> Finding:
    """Return a finding of something that must be mended."""
    return Finding(kind=kind, weight="wrong", about=about, text=text, mend=mend)


def note(kind: str, about: str, text: str, mend: str) -> Finding:
    """Return a finding that is only worth knowing."""
    return Finding(kind=kind, weight="note", about=about, text=text, mend=mend)


def few(names: list[str], most: int = 5) -> str:
    """Name some of many.

    >>> few(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
