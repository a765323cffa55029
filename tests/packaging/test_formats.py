"""One table of formats: what is newer stops with a clear line, what is older is read.

`python -m tests.packaging.test_formats` writes `docs/formats.md` anew.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers.kafka_io import wire
from consumers.kafka_io.topics import Topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.installation import make_topics, own_command
from consumers.recommending.control import Control
from consumers.recommending.profile_store import PLACE_KEY, Place, ProfileStore, StoredProfile
from consumers.recommending.snapshots import DIGEST_BYTES, MAGIC, Snapshot, read_snapshot
from consumers.settings import Settings
from stream_rec import formats
from stream_rec.errors import NewerFormat, StateRejected
from stream_rec.formats import FORMATS, VERSION
from stream_rec.profiles.profile import Profile
from tests.guarantees.topic_log import producer

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "docs" / "formats.md"
HEAD = """# Formats

What stream-rec writes for itself, and which formats of it this version ({version}) reads. Made from `stream_rec/formats.py` by `python -m tests.packaging.test_formats`; the formats of public records are in [schema/](schema/).

- **Newer**: a program that meets a format it does not know cannot know what it would lose. Where the table says *stop*, it ends with exit status 1 and one line that says which version wrote it and what to do; nothing is changed. Where it says *skip*, the value is passed over with a warning: it costs a little quality, never correctness.
- **Older**: is read by the decoder of that format, and written in the newest one with the next write. There is no migration step.
- **Torn or bit-flipped** is neither: local state is rebuilt from the log, with a warning.

Upgrading across a change of a format marked *stop*: stop the old programs first. An old one that meets what a new one wrote ends with 1, as it would after a downgrade. Going back to an older version: local folders can be removed, they are made anew from the log; the log itself needs the newer version.

| what | where | now | read | newer | changes |
|---|---|---|---|---|---|
"""  # noqa: E501


def written() -> str:
    """Return the text that `docs/formats.md` should have."""
    rows = []
    for known in FORMATS.values():
        reads = f"{known.oldest} to {known.number}" if known.number > known.oldest else "it"
        changes = "; ".join(f"{n}: {line}" for n, line in enumerate(known.changes, 1))
        cells = (known.title, f"`{known.place}`", str(known.number), reads, known.newer, changes)
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD.format(version=VERSION) + "".join(rows)


def test_the_document_is_made_from_the_table() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == written(), "see the head of this file"


def test_the_version_beside_the_formats_is_that_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == VERSION


@pytest.mark.parametrize("name", FORMATS)
def test_the_table_knows_the_numbers_that_the_code_writes(name: str) -> None:
    module, _, path = FORMATS[name].constant.partition(":")
    owner, _, attribute = path.partition(".")
    found: Any = getattr(import_module(module), owner)
    if attribute:
        [found] = [f.default for f in msgspec.structs.fields(found) if f.name == attribute]
    number = found[0] if isinstance(found, bytes) else found
    assert number == FORMATS[name].number


# As they were written before the second formats; the store's ledger is the value of the first.
LEDGER_1 = (
    b'{"format":1,"ledger":{"next_offsets":{"s.events.clicks":17},"outcomes":{"s.events.clicks":'
    b'{"applied":16,"duplicate":1}},"newest_ms":1763790285123},"judged":{"s.items-0":4}}'
)
PLACE_1 = {"format": 1, "topic_id": "t", "position": 40, "ledger": LEDGER_1}
SNAPSHOT_1 = {"format": 1, "topic_id": "t", "offset": 12, "statistics": b"counts"}


def test_ledger_of_the_first_format_is_read_and_written_in_the_newest() -> None:
    standing = wire.decode_standing(LEDGER_1)
    assert standing.ledger.next_offsets == {"s.events.clicks": 17}
    assert standing.ledger.outcomes == {"s.events.clicks": {"applied": 16, "duplicate": 1}}
    assert standing.judged == {"s.items-0": 4}
    assert standing.writer == ""
    anew = json.loads(wire.encode_standing(wire.Standing(ledger=standing.ledger)))
    assert (anew["format"], anew["writer"]) == (2, VERSION)


def store_with(folder: Path, place: dict[str, Any]) -> ProfileStore:
    """A store on disk, closed, whose place was written by another version."""
    store = ProfileStore(folder, topic_id="t")
    assert store.open(0) is None
    profile = Profile("ann", events_applied=3)
    kept = StoredProfile(profile=profile, value=wire.encode_profile(profile))
    store.apply(0, [kept], position=40, ledger=LEDGER_1)
    fresh = msgspec.msgpack.decode(store._open[0].get(PLACE_KEY), type=Place)
    value = msgspec.msgpack.encode({"written_ms": fresh.written_ms, **place})
    store._open[0].put(PLACE_KEY, value)
    store.close_all()
    return store


def test_store_of_the_first_format_goes_on_where_it_was(tmp_path: Path) -> None:
    store = store_with(tmp_path, PLACE_1)
    place = store.open(0)
    assert place is not None
    assert (place.position, place.format, place.writer) == (40, 2, "")
    ann = store.get(0, "ann")
    assert ann is not None
    assert ann.events_applied == 3


def snapshot_file(folder: Path, snapshot: dict[str, Any]) -> Path:
    import hashlib

    body = msgspec.msgpack.encode(snapshot)
    digest = hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()
    path = folder / "statistics.snapshot"
    path.write_bytes(MAGIC + digest + body)
    return path


def test_snapshot_of_the_first_format_is_used(tmp_path: Path) -> None:
    found = read_snapshot(snapshot_file(tmp_path, SNAPSHOT_1), "t")
    assert found == Snapshot(writer="", topic_id="t", offset=12, statistics=b"counts")


def test_store_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    newer = {**PLACE_1, "format": 9, "writer": "7.1.0", "more": 1}
    store = store_with(tmp_path, newer)
    for _ in range(2):  # it is still there, not wiped by the first refusal
        with pytest.raises(NewerFormat, match=r"written by stream-rec 7\.1\.0.*remove the folder"):
            store.open(0)


def test_snapshot_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    newer = {**SNAPSHOT_1, "format": 3, "writer": "7.1.0"}
    with pytest.raises(NewerFormat, match=r"format 3, written by stream-rec 7\.1\.0"):
        read_snapshot(snapshot_file(tmp_path, newer), "t")


def encoded(name: str, number: int) -> bytes:
    head = {"format": number, "writer": "7.1.0", "unknown": [1]}
    if FORMATS[name].encoding == "bytes":
        return bytes([number]) + msgspec.msgpack.encode(["u"])
    encode = msgspec.json.encode if FORMATS[name].encoding == "json" else msgspec.msgpack.encode
    return encode(head)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "ledger": wire.decode_standing,
    "profile": wire.decode_profile,
    "marker": wire.decode_marker,
    "policy": wire.decode_accepted_policy,
    "vector": wire.decode_vector,
}


@pytest.mark.parametrize("name", DECODERS)
def test_a_newer_record_stops_with_one_line_and_a_torn_one_does_not(name: str) -> None:
    with pytest.raises(NewerFormat) as refused:
        DECODERS[name](encoded(name, FORMATS[name].number + 1))
    line = str(refused.value)
    assert "\n" not in line
    assert f"this is {VERSION}" in line
    assert FORMATS[name].remedy in line
    for torn in (b"", b"\x01", b"{", b'{"format": "x"}', b"\xff\xfe"):
        with pytest.raises(StateRejected):
            DECODERS[name](torn)


def test_newer_facts_stop_and_torn_ones_are_skipped_by_every_worker_alike() -> None:
    class Record:
        offset = 3

        def __init__(self, value: bytes) -> None:
            self.value = value

    control = Control.__new__(Control)
    control._take_facts(Record(b"torn"))
    with pytest.raises(NewerFormat, match="a record of facts has format 4"):
        control._take_facts(Record(encoded("facts", 4)))


def test_a_format_that_never_was_is_torn_not_newer() -> None:
    with pytest.raises(StateRejected):
        formats.check("profile", 0)


def test_a_worker_that_meets_a_newer_changelog_ends_with_one_clear_line(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=tmp_path, partitions=1
    )
    make_topics(settings)
    client = producer(settings)
    topic = Topics(prefix).profiles
    client.send(topic, key=wire.LEDGER_KEY, value=encoded("ledger", 3), partition=0).get(timeout=30)
    client.close()
    environment = {
        **os.environ,
        "STREAM_REC_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "STREAM_REC_PREFIX": prefix,
        "STREAM_REC_DATA_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [*own_command(), "recommender"], env=environment, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "the ledger of a partition has format 3, written by stream-rec 7.1.0" in errors[0]
    assert "Traceback" not in done.stderr


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
    sys.exit(0)
