"""`stream-rec dlq …`: what could not be used, why, and what is to become of it.

Prints what the files beside it find and do: `dead_letters_found.py`, `dead_letter_retry.py`,
`dead_letter_drop.py`. Knows how dead letters are shown, not how they are read.
"""

import json
import sys
from collections import Counter, deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from consumers import terminal
from consumers.commands.dead_letter_drop import drop as drop_letters
from consumers.commands.dead_letter_retry import FAILED, WAITING, Retried
from consumers.commands.dead_letter_retry import retry as retry_letters
from consumers.commands.dead_letters_found import (
    Letter,
    Wanted,
    as_record,
    letters,
    sources,
    told,
)
from consumers.kafka_io.topic_reading import Read, reader
from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError, StreamRecError


class NotAllTaken(StreamRecError):
    """Some of the letters sent again failed again, or were not judged in time."""


def show_list(settings: Settings, wanted: Wanted, *, limit: int, as_json: bool = False) -> None:
    """Print the newest `limit` letters of each source topic that are meant, oldest first.

    Raises:
        ConfigurationError: there are no dead letter topics under the prefix.
    """
    found = newest_letters(settings, limit=limit, wanted=wanted)
    if as_json:
        _print_json([as_record(letter) for letter in found])
        return
    terminal.results.print(_table(found) if found else "no dead letters")


def newest_letters(settings: Settings, *, limit: int, wanted: Wanted | None = None) -> list[Letter]:
    """Return the newest letters of each source topic that are meant, oldest first."""
    topics, wanted = Topics(settings.prefix), wanted or Wanted()
    found: list[Letter] = []
    with reader(settings) as consumer:
        for source in sources(consumer, topics, wanted):
            newest: dict[str, deque[Letter]] = {}
            for letter, _ in letters(consumer, topics, source, wanted):
                newest.setdefault(letter.partition, deque(maxlen=limit)).append(letter)
            merged = [letter for some in newest.values() for letter in some]
            found += sorted(merged, key=lambda letter: letter.at)[-limit:]
    return found


def show(settings: Settings, name: str, *, as_json: bool = False, raw: bool = False) -> None:
    """Print one letter whole: what its headers say, its key and its body.

    Raises:
        ConfigurationError: there is no such letter.
    """
    topics = Topics(settings.prefix)
    wanted = Wanted(ids=(name,), settled=True)
    with reader(settings) as consumer:
        for source in sources(consumer, topics, wanted):
            for letter, record in letters(consumer, topics, source, wanted):
                if raw:
                    sys.stdout.buffer.write(record.value or b"")
                elif as_json:
                    _print_json(as_record(letter) | _body(record))
                else:
                    _print_whole(letter, record)
                return
    msg = f"there is no dead letter {name}; `stream-rec dlq list --all` names them"
    raise ConfigurationError(msg)


def retry(
    settings: Settings,
    wanted: Wanted,
    *,
    again: bool,
    limit: int,
    wait_s: float,
    as_json: bool = False,
) -> None:
    """Send letters again and print what became of each.

    Raises:
        NotAllTaken: some failed again, or were not judged in time.
        ConfigurationError: there are no dead letter topics under the prefix.
    """
    done: list[Retried] = []
    with terminal.busy("sending dead letters again"):
        for one in retry_letters(settings, wanted, again=again, limit=limit, wait_s=wait_s):
            done.append(one)
    if as_json:
        _print_json([{"id": x.letter.id, "outcome": x.outcome, "reason": x.reason} for x in done])
    elif done:
        table = Table("letter", "outcome", "retries", "why", box=None)
        for one in done:
            retries = one.letter.retries + (one.outcome != "skipped")
            table.add_row(one.letter.id, one.outcome, str(retries), _plain(one.reason))
        terminal.results.print(table)
    else:
        terminal.results.print("no open dead letters")
    counts = Counter(one.outcome for one in done)
    if counts[FAILED] or counts[WAITING]:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        msg = f"not all were taken: {told}"
        raise NotAllTaken(msg)


def drop(
    settings: Settings, wanted: Wanted, *, everything: bool, limit: int, as_json: bool = False
) -> None:
    """Drop letters and print how many.

    Raises:
        ConfigurationError: nothing says which letters are meant.
    """
    if wanted.all_letters and not everything:
        msg = "say which: ids, --topic, --stage, --reason, --key, --since, --until, or --all"
        raise ConfigurationError(msg)
    done = drop_letters(settings, replace(wanted, settled=False), limit=limit)
    if done.kept_back is not None:
        terminal.say(done.kept_back)
    if as_json:
        ids = [letter.id for letter in done.letters]
        _print_json({"dropped": ids, "deleted_records": done.deleted})
        return
    terminal.results.print(
        f"dropped {len(done.letters)}; {done.deleted} records are deleted from the log"
    )


def _table(found: list[Letter]) -> Table:
    names = ("letter", "when", "stage", "reason", "key", "bytes", "retries", "state")
    table = Table(*names, box=None)
    for letter in found:
        when = datetime.fromtimestamp(letter.at / 1000, UTC).strftime("%m-%d %H:%M:%S")
        reason = letter.reason if len(letter.reason) <= 100 else letter.reason[:99] + "…"
        size = str(letter.size) if letter.whole else f"{letter.size} (cut)"
        key = (letter.key or "")[:24]
        cells = (letter.id, when, letter.stage, reason, key, size, str(letter.retries))
        table.add_row(*map(_plain, (*cells, letter.state)))
    return table


def _plain(cell: str) -> Text:
    """A record may hold anything, also what would steer a terminal or mean markup."""
    return Text(cell if cell.isprintable() else ascii(cell)[1:-1])


def _body(record: Read) -> dict[str, Any]:
    value = record.value or b""
    return {
        "headers": told(record),
        "value": value.decode("utf-8", "backslashreplace"),
        "value_hex": None if _is_text(value) else value.hex(),
    }


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _print_whole(letter: Letter, record: Read) -> None:
    table = Table("what", "says", box=None)
    lines = {**as_record(letter), **told(record)}
    for name, said in lines.items():
        table.add_row(_plain(name), _plain(str(said)))
    terminal.results.print(table)
    value = record.value or b""
    text = value.decode("utf-8", "backslashreplace")
    safe = "".join(x if x.isprintable() or x in "\n\t" else ascii(x)[1:-1] for x in text)
    terminal.results.print(safe, markup=False, highlight=False)


def _print_json(value: object) -> None:
    terminal.results.print_json(json.dumps(value))
