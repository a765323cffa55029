"""Every format that the product writes for itself, in one place: what it is, and what it can read.

A value of a newer format stops the program that meets it: it cannot know what it would lose. One of
an older format is read by the decoder of that format and written anew in the current one. What is
torn or bit-flipped is another matter: that is rebuilt from the log. `docs/formats.md` is made from
this table. Knows no decoder; the constants it names are compared with it by a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from stream_rec.errors import NewerFormat, StateRejected

MOST = 31  # a first byte above it is text or noise, no format
VERSION = "0.1.0"
"""Of the package; written beside the formats that decide whether a program may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of value; `changes` has a line for each format from 1 on, `oldest` is still read.

    `constant` is where the code keeps the number. `newer` says what a program does that meets a
    newer one: `stop` (exit status 1), or `skip`, where losing it costs a little quality only.
    """

    title: str
    place: str
    encoding: Literal["json", "msgpack", "bytes"]
    changes: tuple[str, ...]
    constant: str
    oldest: int = 1
    newer: Literal["stop", "skip"] = "stop"
    remedy: str = "start that version or a newer one again"

    @property
    def number(self) -> int:
        """The format that is written now."""
        return len(self.changes)


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    writer: str = ""


def check(name: str, found: int, writer: str = "") -> int:
    """Return a format's number if this program reads it.

    Raises:
        NewerFormat: a newer program wrote it; the message says which, and what to do.
        StateRejected: there never was such a format, or it is too old.
    """
    known = FORMATS[name]
    if found > MOST:
        msg = f"torn {name}: no format is {found}"
        raise StateRejected(msg)
    if found > known.number:
        by = f"stream-rec {writer}" if writer else "a newer stream-rec"
        msg = (
            f"{known.title} has format {found}, written by {by}; this is {VERSION}, which reads "
            f"formats up to {known.number}: {known.remedy}"
        )
        raise NewerFormat(msg)
    if found < known.oldest:
        msg = f"{known.title} has format {found}; the oldest that is read is {known.oldest}"
        raise StateRejected(msg)
    return found


def check_value(name: str, value: bytes) -> int:
    """Return the format that an encoded object names, if this program reads it.

    Raises:
        NewerFormat: a newer program wrote it.
        StateRejected: it is torn, or too old.

    >>> check_value("ledger", b'{"format": 1}')
    1
    """
    decode = msgspec.json.decode if FORMATS[name].encoding == "json" else msgspec.msgpack.decode
    try:
        head = decode(value, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"torn {name}: {error}"
        raise StateRejected(msg) from error
    return check(name, head.format, head.writer)


def stop_if_newer(name: str, value: bytes) -> None:
    """Look at a value that could not be read: one that a newer program wrote stops this one.

    Raises:
        NewerFormat: a newer program wrote it.
    """
    try:
        check_value(name, value)
    except StateRejected:
        return


FORMATS: Mapping[str, Format] = {
    "ledger": Format(
        title="the ledger of a partition",
        place="internal.profiles, key 00 ledger",
        encoding="json",
        changes=("ledger and judged offsets", "and the version of stream-rec that wrote it"),
        constant="consumers.kafka_io.wire:Standing.format",
    ),
    "profile": Format(
        title="a profile",
        place="internal.profiles, and the local store",
        encoding="bytes",
        changes=(
            "one byte of format, then msgpack; fields are only ever added at the end",
            "the id is sealed: written where there is a pseudonym key, and 1 where there is none",
        ),
        constant="consumers.kafka_io.wire:SEALED_PROFILE_FORMAT",
    ),
    "marker": Format(
        title="the mark of a forgotten user",
        place="internal.profiles, and the local store",
        encoding="bytes",
        changes=("one byte of format, then msgpack",),
        constant="consumers.kafka_io.wire:PROFILE_FORMAT",
    ),
    "keys": Format(
        title="the note of a partition's pseudonym keys",
        place="internal.profiles, and the local store, key 00 keys",
        encoding="json",
        changes=("ids of the keys that users may be stored under; empty: none",),
        constant="consumers.recommending.key_notes:KeyNote.format",
    ),
    "store": Format(
        title="the local store of profiles",
        place="DIR/recommender-N/profiles-P, key 00 place",
        encoding="msgpack",
        changes=(
            "changelog, position in it, last ledger, time",
            "and the version of stream-rec that wrote it",
        ),
        constant="consumers.recommending.profile_store:Place.format",
        remedy="start that version or a newer one again, or remove the folder: it is made anew "
        "from the changelog",
    ),
    "snapshot": Format(
        title="the snapshot of the statistics",
        place="DIR/recommender-N/statistics.snapshot",
        encoding="msgpack",
        changes=(
            "log, next offset of it, statistics",
            "and the version of stream-rec that wrote it",
        ),
        constant="consumers.recommending.snapshots:Snapshot.format",
        remedy="start that version or a newer one again, or remove the file: it is made anew "
        "from the log",
    ),
    "facts": Format(
        title="a record of facts",
        place="internal.statistics",
        encoding="msgpack",
        changes=(
            "columns of events and link rows",
            "and how long the user of each event had been known",
            "and which links newcomers made",
        ),
        constant="stream_rec.statistics.facts:_FORMAT",
    ),
    "policy": Format(
        title="an accepted policy",
        place="internal.policies",
        encoding="json",
        changes=("the layer as it was written, its offset, when it was accepted",),
        constant="consumers.kafka_io.wire:AcceptedPolicy.format",
    ),
    "vector": Format(
        title="a text vector",
        place="internal.vectors",
        encoding="msgpack",
        changes=("model, hash of the text, float16 values",),
        constant="consumers.kafka_io.wire:StoredVector.format",
    ),
    "refinement": Format(
        title="what the encoder read in a review",
        place="internal.refinements",
        encoding="msgpack",
        changes=("user, item and offset of the review, sentiment, and what was understood",),
        constant="stream_rec.profiles.refinement:Refinement.format",
        newer="skip",
    ),
    "reader": Format(
        title="what the encoder has learned of reviews",
        place="DIR/encoder-N/reviews.state",
        encoding="msgpack",
        changes=("positions, the word model, and the heads by text version",),
        constant="consumers.encoding.reader_state:ReaderState.format",
        remedy="start that version or a newer one again, or remove the file: it is learned anew",
    ),
    "memory": Format(
        title="what the trainer remembers",
        place="DIR/trainer-N/memory",
        encoding="msgpack",
        changes=(
            "feedback, clocks, erasures and pupils, with the offsets read up to",
            "ratings are shares of the shop's scale, no stars",
        ),
        constant="consumers.training.memory:FORMAT",
        remedy="start that version or a newer one again, or remove the file: the log is read anew",
    ),
    "audit": Format(
        title="a line of the audit",
        place="audit",
        encoding="json",
        changes=("what was asked, by whom, and what became of it",),
        constant="consumers.recommending.verdicts:Audit.format",
        newer="skip",
    ),
    "adapter": Format(
        title="a version of an adapter",
        place="adapters, key <scenario>/<version>",
        encoding="json",
        changes=("state and measurements",),
        constant="stream_rec.adapters.life:AdapterVersion.format",
        newer="skip",
    ),
    "live": Format(
        title="the pointer to the adapter that serves",
        place="adapters, key <scenario>/live",
        encoding="json",
        changes=("version, the one before it, reason",),
        constant="stream_rec.adapters.life:LivePointer.format",
        newer="skip",
    ),
    "bundle": Format(
        title="the bundle of an adapter",
        place="checkpoints/<version>/manifest.json",
        encoding="json",
        changes=("adapter, tower, vectors, checksums", "and the texts and their hashes"),
        constant="stream_rec.adapters.checkpoint:FORMAT",
        oldest=2,
        newer="skip",
    ),
}
