"""`stream-rec explain`: why each item stands in a user's list, or why one item does not.

Reads what was published and what the engine itself keeps: the newest list, the user's profile in
the changelog, the catalogue and the policy in force. Nothing is ranked again; a reason that stood
in the list is the reason that is shown. `explained.py` prints it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from consumers import terminal
from consumers.commands.explained import print_absence, print_list
from consumers.commands.known_profile import known_profile
from consumers.commands.likings import Liking, likings
from consumers.commands.policy_commands import accepted
from consumers.commands.worded import in_other_words, worded_reasons
from consumers.kafka_io.topic_reading import Read, Seen, newest, partitions_of, reader
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import Partitions
from consumers.settings import Settings
from stream_rec.catalogue.catalogue import Catalogue
from stream_rec.errors import ConfigurationError, InvalidRecord
from stream_rec.events import DAY_MS
from stream_rec.item_hash import item_hash
from stream_rec.items import Item, parse_item
from stream_rec.policy import Block, EffectivePolicy
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile
from stream_rec.profiles.signals import is_negative
from stream_rec.ranking.rules import compile_rules, rules_time
from stream_rec.ranking.wording import Worder
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.toplist import TopList


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whose list, and which item of it; None asks for all of it."""

    user_id: str
    item_id: str | None = None
    scenario: str = "default"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record about a question.

    `items` are those of the list, of its evidence and of the user's past, and the one asked about.
    `toplist_key` names whose list it is: the scenario's default list for a user without one.
    `named_ms` is when the item asked about was named or changed last.
    """

    toplist: TopList
    toplist_key: str
    profile: Profile | None
    items: dict[str, Item]
    policy: EffectivePolicy
    named_ms: int = 0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why an item is not listed: its kind, and the words for it."""

    kind: str
    text: str


def answer(
    settings: Settings, question: Question, *, as_json: bool = False, say: Worder | None = None
) -> None:
    """Print the answer, its reasons worded by `say` where its words hold.

    Raises:
        ConfigurationError: there is no list in this scenario, or no such installation.
        BrokerUnavailable: nobody answers.
    """
    with terminal.progress_bar("reading the list, the profile and the catalogue") as advance:
        known = look_up(settings, question, seen=advance)
    findings = _why_not(known, question)
    words = worded_reasons(known.toplist, known.profile, known.items, say) if say else {}
    if as_json:
        found = _as_record(known, findings) | ({"worded": words} if say else {})
        terminal.results.print_json(msgspec.json.encode(found).decode())
    elif _listed(known, question):
        shown = in_other_words(known.toplist, words)
        print_list(shown, known.profile, known.items, _likings(known), only=question.item_id)
    else:
        print_absence(question.item_id or "", [finding.text for finding in findings], known.items)


def answered(settings: Settings, question: Question) -> dict[str, object]:
    """Return the answer as `explain --json` prints it.

    Raises:
        ConfigurationError: there is no list in this scenario, or no such installation.
        BrokerUnavailable: nobody answers.
    """
    known = look_up(settings, question)
    return _as_record(known, _why_not(known, question))


def list_of(settings: Settings, scenario: str, user_id: str) -> bytes:
    """Return the newest list of a user as it was published, or the one for users never seen.

    Reads a whole partition: for an operator's question, not for serving.

    Raises:
        ConfigurationError: there is neither.
    """
    topic = Topics(settings.prefix).recommendations
    own, everyones = f"{scenario}/{user_id}".encode(), f"{scenario}/*".encode()
    with reader(settings) as consumer:
        place = Partitions(len(partitions_of(consumer, topic))).of_user(user_id)
        lists = newest(consumer, topic, {place, 0}, keys={own, everyones})
    found = lists.get(own) or lists.get(everyones)
    if found is None or found.value is None:
        msg = f"neither user {user_id!r} nor anybody has a list in {scenario!r}"
        raise ConfigurationError(msg)
    return found.value


def look_up(settings: Settings, question: Question, *, seen: Seen | None = None) -> Known:
    """Read what is on record.

    Raises:
        ConfigurationError: nobody has a list in this scenario, or there is no such installation.
    """
    topics = Topics(settings.prefix)
    policy = accepted(settings).effective(question.scenario)
    own, everyones = f"{question.scenario}/{question.user_id}", f"{question.scenario}/*"
    with reader(settings) as consumer:
        everywhere = partitions_of(consumer, topics.profiles)
        place = Partitions(len(everywhere)).of_user(question.user_id)
        keys = {own.encode(), everyones.encode()}
        lists = newest(consumer, topics.recommendations, {place, 0}, keys=keys, seen=seen)
        found = lists.get(own.encode()) or lists.get(everyones.encode())
        if found is None:
            msg = (
                f"neither user {question.user_id!r} nor anybody has a list in {question.scenario!r}"
            )
            raise ConfigurationError(msg)
        toplist = msgspec.json.decode(found.value or b"", type=TopList)
        profile = known_profile(
            consumer, topics.profiles, place, question.user_id, settings.names()
        )
        wanted = {entry.item_id for entry in toplist.items}
        wanted |= {item for entry in toplist.items for item in entry.reason.evidence}
        wanted |= {past.item_id for past in (profile.history if profile else ())}
        wanted |= {question.item_id} if question.item_id else set()
        keys = {item_id.encode() for item_id in wanted}
        places = partitions_of(consumer, topics.items)
        records = newest(consumer, topics.items, places, keys=keys, seen=seen)
    asked = records.get((question.item_id or "").encode())
    return Known(
        toplist=toplist,
        toplist_key=own if own.encode() in lists else everyones,
        profile=profile,
        items=_items(records),
        policy=policy,
        named_ms=asked.timestamp if asked else 0,
    )


def _listed(known: Known, question: Question) -> bool:
    return question.item_id is None or any(
        entry.item_id == question.item_id for entry in known.toplist.items
    )


def _why_not(known: Known, question: Question) -> list[Finding]:
    if question.item_id is None or _listed(known, question):
        return []
    return absences(known, question.item_id)


def _as_record(known: Known, findings: list[Finding]) -> dict[str, object]:
    return {
        "list": known.toplist,
        "whose": known.toplist_key,
        "likes": _likings(known),
        "why_not": findings,
    }


def absences(known: Known, item_id: str) -> list[Finding]:
    """Return every reason why an item is not in the list, the decisive ones first."""
    item = known.items.get(item_id)
    if item is None:
        return [
            Finding(kind="unknown", text="it is not in the catalogue: never named, or withdrawn")
        ]
    findings = []
    if not item.available:
        findings.append(Finding(kind="unavailable", text="the catalogue says it is not available"))
    findings += _excluded(known, item_id) + _blocked(known, item)
    last = known.toplist.items[-1] if known.toplist.items else None
    if not findings and known.named_ms > known.toplist.generated_at:
        worded = "it was named or changed after the list was made: the next list may show it"
        findings.append(Finding(kind="newer", text=worded))
    elif not findings and last is not None:
        worded = f"others scored higher: rank {last.rank} has {last.score:.4g}"
        findings.append(Finding(kind="scored_lower", text=worded))
    waiting = known.toplist.lineage.catalogue_items - known.toplist.lineage.encoded_items
    if waiting > 0:
        worded = f"the encoder still had {waiting} items to read when the list was made"
        findings.append(Finding(kind="encoding", text=worded))
    return findings


def _likings(known: Known) -> list[Liking]:
    return likings(known.profile, known.items, known.policy.policy)


def _excluded(known: Known, item_id: str) -> list[Finding]:
    profile, exclude = known.profile, known.policy.policy.toplist.exclude
    if profile is None:
        return []
    hashed = np.array([item_hash(item_id)], np.uint64)
    past = [entry for entry in profile.history if entry.item_id == item_id]
    findings = []
    if exclude.disliked and profile.disliked.holds(hashed)[0]:
        findings.append(Finding(kind="disliked", text=f"the user refused it{_when(past)}"))
    if exclude.consumed and exclude.cooldown_days is None and profile.consumed.holds(hashed)[0]:
        sure = "" if not profile.consumed.bloom or past else " (by a filter, which may err)"
        findings.append(Finding(kind="consumed", text=f"the user has taken it{_when(past)}{sure}"))
    if exclude.consumed and exclude.cooldown_days is not None:
        since_ms = profile.newest_ms - exclude.cooldown_days * DAY_MS
        recent = [entry for entry in past if entry.consuming and entry.timestamp > since_ms]
        if recent:
            worded = f"the user has taken it{_when(recent)}, within {exclude.cooldown_days:g} days"
            findings.append(Finding(kind="cooldown", text=worded))
    signals = known.policy.policy.signals
    if any(is_negative(entry, signals) for entry in past):
        findings.append(
            Finding(kind="negative", text=f"the user was not happy with it{_when(past)}")
        )
    return findings


def _blocked(known: Known, item: Item) -> list[Finding]:
    """Try each blocking rule alone on a catalogue of this one item."""
    catalogue = Catalogue(ItemIndex())
    rows = np.array([catalogue.put(item)], np.int32)
    wall_ms = time.time_ns() // 1_000_000
    now_ms = rules_time(known.profile.newest_ms if known.profile else wall_ms, wall_ms)
    return [
        Finding(kind="blocked", text=f"rule {number} blocks it: {_worded(rule)}")
        for number, rule in enumerate(known.policy.policy.rules)
        if isinstance(rule, Block)
        and compile_rules((rule,), catalogue).blocks(rows, now_ms=now_ms)[0]
    ]


def _worded(rule: Block) -> str:
    conditions = msgspec.to_builtins(rule.where)
    return ", ".join(f"{name} {value}" for name, value in conditions.items() if value is not None)


def _when(past: list[Interaction]) -> str:
    if not past:
        return ""
    newest_one = past[-1]
    day = time.strftime("%Y-%m-%d", time.gmtime(newest_one.timestamp / 1000))
    return f" ({newest_one.event_type}, {day})"


def _items(records: Mapping[bytes, Read]) -> dict[str, Item]:
    items = {}
    for key, record in records.items():
        try:
            items[key.decode()] = parse_item(record.value or b"", key=key)
        except InvalidRecord:  # a dead letter; the engine knows the version before, if any
            continue
    return items
