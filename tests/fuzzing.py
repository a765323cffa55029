"""What every decoder of the product must do with any bytes: return, or raise what it declares.

    decoders   each with the errors it declares, valid records to start from, and what its callers
               do with what it returns
    mutants    a valid record changed at random: bits, cuts, pieces twice, numbers and texts that
               have broken parsers before; or bytes from nowhere

Used by the fast tests, by `make fuzz`, and by the coverage-guided fuzzer.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from consumers.commands.policy_commands import audit_line
from consumers.kafka_io import wire
from consumers.recommending.learners import UNUSABLE
from consumers.recommending.shadowing import Shadowing, Word
from consumers.recommending.trials import Trial
from consumers.recommending.verdicts import Audit
from consumers.training.shown import Shown
from stream_rec.adapters.life import AdapterVersion, LivePointer, decode_adapter, encode_adapter
from stream_rec.adapters.shadow import Evidence, gather
from stream_rec.aliases.families import FORMATS
from stream_rec.erasure import Marker, parse_erasure
from stream_rec.errors import (
    ConfigurationError,
    InvalidPolicy,
    InvalidRecord,
    NewerFormat,
    StateRejected,
)
from stream_rec.events import Event, parse_event, parse_events
from stream_rec.items import item_text, parse_item
from stream_rec.ledger import Ledger
from stream_rec.policy import Policies, parse_policy
from stream_rec.profiles.history import Understood
from stream_rec.profiles.profile import Listing, Profile, fold
from stream_rec.profiles.refinement import Refinement, refined
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.ranking.exploration import Exploration
from stream_rec.ranking.reranker import Reranker
from stream_rec.replica import Replica
from stream_rec.statistics.facts import Facts, FactsBuilder
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics
from tests.poison import BODIES, VALUES

EVENT = {
    "event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i9",
    "timestamp": 1763790285123, "scenario": "default", "session_id": "s1", "value": 1.0,
    "recommendation_id": "r7", "position": 3, "rating": 4, "title": "Loud",
    "text": "Great picture, but the fan is unbearable.", "properties": {"page": 2},
}  # fmt: skip
ITEM = {
    "item_id": "i9", "title": "Silent 27\" monitor", "description": "d", "brand": "Acme",
    "categories": [["Home", "Fans"], "Sale"], "tags": ["office"], "price": 199.0,
    "available": True, "published_at": 1763000000000, "vectors": {"image": [0.1, 0.2]},
    "properties": {},
}  # fmt: skip
POLICY = {
    "list": {"size": 7, "exclude": {"cooldown_days": 3}},
    "signals": {"weights": {"click": 1.0}, "rating_neutral": 3.0},
    "rules": [{"do": "block", "where": {"category": "Adult"}},
              {"do": "pin", "rank": 1, "item_id": "i1", "until": "2026-12-31T00:00:00Z"}],
    "adapter": {"gate": {"min_gain": 0.1}}, "intake": {"most_bad_share": 0.4},
}  # fmt: skip
CE = (("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"s"), ("ce_type", b"a.click"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """`decode` reads a value and uses it as its callers do; `share` of all inputs go to it."""

    name: str
    decode: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    errors: tuple[type[Exception], ...]
    guided: bool = True  # compiled code cannot be instrumented
    share: float = 1.0
    poison: tuple[bytes, ...] = field(default_factory=lambda: tuple(VALUES.values()))


def judge(decoder: Decoder, value: bytes) -> bool:
    """Say whether a value was read; anything but a declared error with a reason fails."""
    try:
        decoder.decode(value)
    except decoder.errors as refused:
        assert str(refused).strip(), f"{decoder.name} gives no reason"  # noqa: PT017
        return False
    except Exception as error:
        msg = f"{decoder.name}: {type(error).__name__}: {error} on {value[:400]!r}"
        raise AssertionError(msg) from error
    return True


def mutants(decoder: Decoder, rng: Random, count: int) -> Iterator[bytes]:
    """Yield changed valid records, now and then bytes from nowhere."""
    seeds = _seeds(decoder.name)
    for _ in range(count):
        if rng.random() < 0.05:
            yield rng.randbytes(rng.randrange(64))
            continue
        value = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            value = rng.choice(_CHANGES)(value, rng, decoder)
        yield value


@cache
def _seeds(name: str) -> tuple[bytes, ...]:
    return tuple(next(one for one in DECODERS if one.name == name).seeds())


def _flip(value: bytes, rng: Random, _: Decoder) -> bytes:
    if not value:
        return b"\x00"
    place = rng.randrange(len(value))
    return value[:place] + bytes([value[place] ^ (1 << rng.randrange(8))]) + value[place + 1 :]


def _overwrite(value: bytes, rng: Random, _: Decoder) -> bytes:
    place = rng.randrange(len(value) + 1)
    new = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xC1, 0xFF, rng.randrange(256)))])
    return value[:place] + new * rng.choice((1, 1, 4, 8)) + value[place + 1 :]


def _cut(value: bytes, rng: Random, _: Decoder) -> bytes:
    start, end = sorted((rng.randrange(len(value) + 1), rng.randrange(len(value) + 1)))
    return rng.choice((value[:start], value[start:], value[:start] + value[end:]))


def _twice(value: bytes, rng: Random, _: Decoder) -> bytes:
    start, end = sorted((rng.randrange(len(value) + 1), rng.randrange(len(value) + 1)))
    return value[:end] + value[start:end][:512] + value[end:]


def _poison(value: bytes, rng: Random, decoder: Decoder) -> bytes:
    """Put something in the place of a JSON value, or anywhere."""
    places = [place for place, byte in enumerate(value) if byte == 0x3A]
    bad = rng.choice(decoder.poison)
    if len(bad) > 10_000 and rng.random() < 0.98:
        bad = bad[:40]
    if not places:
        return _overwrite(value, rng, decoder)
    start = rng.choice(places) + 1
    end = min(
        (place for mark in b",}]" if (place := value.find(bytes([mark]), start)) > 0),
        default=len(value),
    )
    return value[:start] + bad + value[end:]


def _swap(value: bytes, rng: Random, decoder: Decoder) -> bytes:
    other = rng.choice(_seeds(decoder.name))
    return value[: rng.randrange(len(value) + 1)] + other[rng.randrange(len(other) + 1) :]


_CHANGES = (_flip, _flip, _overwrite, _cut, _twice, _poison, _poison, _swap)


def _event(value: bytes) -> object:
    return parse_event(value, key=b"u1", kind="click", source="s-0-1", append_ms=1 << 42)


def _words(value: bytes) -> object:
    """The first bytes choose what is set, so that a fuzzer finds the way into every dialect."""
    form = FORMATS[value[0]] if value and value[0] < len(FORMATS) else "auto"
    key = b"AGKHLEW2SOWHNMFQIJGBECAF7INQ" if b"AGKHLEW2SOWHNMFQIJGBECAF7INQ" in value else b"u1"
    headers = CE if len(value) % 4 == 1 else ()
    body = value[1:] if form != "auto" else value
    return parse_events(body, key=key, kind="review", source="s-0-1", headers=headers, form=form)


def _erasure(value: bytes) -> object:
    return parse_erasure(value, key=b"u1", append_ms=1 << 42)


def _item(value: bytes) -> object:
    return item_text(parse_item(value, key=b"i9"))


def _policy(value: bytes) -> object:
    policies = Policies()
    policies.put("default", 1, parse_policy(value))
    return policies.effective("default").policy.signals.weight("click")


def _profile(value: bytes) -> object:
    profile = wire.decode_profile(value)
    return (
        profile.knows("e1"),
        profile.consumed.holds(np.array([1], np.uint64)),
        profile.times("i"),
    )


def _vector(value: bytes) -> object:
    return wire.decode_vector(value).values


def _vector_key(value: bytes) -> object:
    return wire.split_vector_key(value)


def _adapter(value: bytes) -> object:
    return decode_adapter(b"default/live" if b"previous" in value else b"default/5", value)


def _refinement(value: bytes) -> object:
    return refined(Profile("u1"), wire.decode_refinement(value))


def _shown(value: bytes) -> object:
    """As the trainer reads published lists: what is torn stands for no list."""
    lists = Shown()
    lists.take_list(SimpleNamespace(key=b"default/u1", value=value))
    event = Event(event_id="e1", event_type="click", user_id="u1", item_id="i9", timestamp=7)
    return _or_passed_over(lists.take_event(event, 1 << 63)[0] != "no list")


def _evidence(value: bytes) -> object:
    """As a recommender reads what the others found out about an adapter."""
    adapters: Any = None  # asked for trials alone, of which one is named here
    words = Shadowing(Replica(), adapters, adapters, "rerankers", 0)
    record = SimpleNamespace(key=b"shadow/default/5/1", value=value)
    assert words.take(record)
    trial = Trial(
        kind="shadow", scenario="default", adapter=5, rival=0, since=7, version=5, against=0
    )
    return _or_passed_over(words.merged(trial).events)


def _audit(value: bytes) -> object:
    line = audit_line(value)
    return _or_passed_over(line is not None and msgspec.to_builtins(line))


def _or_passed_over(found: object) -> object:
    """Return what was made of a value; where nothing was, say so as other decoders do."""
    if not found:
        msg = "passed over"
        raise StateRejected(msg)
    return found


def _statistics(value: bytes) -> object:
    return Statistics.from_bytes(value, ItemIndex())


def _profile_seeds() -> list[bytes]:
    profile, seeds = Profile("u1"), []
    for number in range(140):
        event = Event(
            event_id=f"e{number}", event_type="click", user_id="u1", item_id=f"i{number % 139}",
            timestamp=1_763_790_285_000 + number, rating=3.0,
        )  # fmt: skip
        profile = fold(profile, event, topic=0, offset=number).profile
        if number in (0, 5, 139):
            seeds.append(wire.encode_profile(profile))
    lists = {"default": Listing(3, 1_763_790_285_000)}
    return [
        *seeds,
        wire.encode_profile(Profile("u1", lists=lists, erased_ms=7, version_floor=1024)),
    ]


def _facts_seeds() -> list[bytes]:
    builder = FactsBuilder()
    builder.count("i1", 1_763_790_285_000, 4.0, True)
    builder.count("i2", 1_763_790_285_001, None, False)
    builder.link([(1, "i1", ["i2", "i3"], True), (-1, "i2", [], False)])
    return [builder.build("worker").to_bytes(), FactsBuilder().build("w").to_bytes()]


def _standing_seeds() -> list[bytes]:
    ledger = Ledger(next_offsets={"a": 3}, outcomes={"a": {"applied": 3}}, newest_ms=7)
    return [wire.encode_standing(wire.Standing(ledger=ledger, judged={"items-0": 4}))]


def _sentiment_seeds() -> list[bytes]:
    reader = Sentiment()
    reader.learn("Great picture, works well.", 5.0, neutral=3.0, title="Fine")
    return [reader.to_bytes(), Sentiment().to_bytes()]


def _adapter_seeds() -> list[bytes]:
    version = AdapterVersion(
        scenario="default", version=5, text_version=5, state="promoted", base_model_hash="m",
        method="proximal", created_at=1, changed_at=2, metrics={"ndcg": 0.1},
    )  # fmt: skip
    pointer = LivePointer(
        scenario="default", version=5, previous=4, changed_at=2, reason="promoted"
    )
    return [encode_adapter(version), encode_adapter(pointer)]


def _refinement_seeds() -> list[bytes]:
    understood = Understood(rating=2.0, aspects=(("fan", -0.5),), tags=("monitor",))
    made = Refinement(
        user_id="u1", item_id="i9", offset=3, text_version=0, sentiment=-0.5, understood=understood
    )
    return [wire.encode_refinement(made)]


def _shown_seeds() -> list[bytes]:
    return [json.dumps({"generated_at": 1, "items": [{"item_id": "i9", "rank": 1}]}).encode()]


def _evidence_seeds() -> list[bytes]:
    gathered = gather(Evidence(), [0.5, -0.25])
    return [msgspec.json.encode(Word(against=0, since=7, evidence=gathered))]


def _audit_seeds() -> list[bytes]:
    line = Audit(
        at=7, kind="policy", scenario="default", verdict="accepted", offset=3, by="ann",
        patch=POLICY,
    )  # fmt: skip
    return [msgspec.json.encode(line)]


def _json(*records: dict[str, Any]) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(record).encode() for record in records]


def _item_seeds() -> list[bytes]:
    own = Path(__file__).parent / "aliases" / "items.jsonl"
    return [json.dumps(ITEM).encode(), *own.read_bytes().splitlines()]


def _spoken_seeds() -> list[bytes]:
    files = [
        file
        for file in sorted((Path(__file__).parent / "aliases").glob("*.jsonl"))
        if file.stem in FORMATS
    ]
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    forms = {file.stem: bytes([FORMATS.index(file.stem)]) for file in files}
    own = [forms[file.stem] + file.read_bytes().splitlines()[0] for file in files]
    return [*lines, *own]


RECORD, STATE = (InvalidRecord,), (StateRejected, NewerFormat)
DECODERS = (
    Decoder(name="events", decode=_event, seeds=_json(EVENT), errors=RECORD, share=4),
    Decoder(name="events in other words", decode=_words, seeds=_spoken_seeds, errors=RECORD,
            share=4),
    Decoder(name="erasures", decode=_erasure, errors=RECORD,
            seeds=_json({"user_id": "u1", "timestamp": 1763790285})),
    Decoder(name="items", decode=_item, seeds=_item_seeds, errors=RECORD, share=2),
    Decoder(name="policies", decode=_policy, seeds=_json(POLICY), errors=(InvalidPolicy,), share=2),
    Decoder(name="profiles", decode=_profile, seeds=_profile_seeds,
            errors=(*STATE, ConfigurationError)),
    Decoder(name="marks", decode=wire.decode_marker, errors=STATE,
            seeds=lambda: [wire.encode_marker(Marker(timestamp=7, version=1024))]),
    Decoder(name="standings", decode=wire.decode_standing, seeds=_standing_seeds, errors=STATE),
    Decoder(name="accepted policies", decode=wire.decode_accepted_policy, errors=STATE,
            seeds=lambda: [wire.encode_accepted_policy(
                wire.AcceptedPolicy(offset=3, patch=POLICY, accepted_at=7))]),
    Decoder(name="vectors", decode=_vector, errors=STATE,
            seeds=lambda: [wire.encode_vector("m", 7, np.ones(8, np.float32)),
                           wire.encode_vector("m", 7, None)]),
    Decoder(name="vector keys", decode=_vector_key, seeds=lambda: [b"0/i/9", b"12/x"], errors=STATE,
            share=0.5),
    Decoder(name="facts", decode=Facts.from_bytes, seeds=_facts_seeds, errors=STATE),
    Decoder(name="statistics", decode=_statistics, errors=STATE, share=0.5, guided=False,
            seeds=lambda: [Statistics(ItemIndex(["a"])).to_bytes()]),
    Decoder(name="rerankers", decode=Reranker.from_bytes, errors=UNUSABLE, share=0.5,
            seeds=lambda: [Reranker().to_bytes()]),
    Decoder(name="sentiment", decode=Sentiment.from_bytes, seeds=_sentiment_seeds, errors=STATE),
    Decoder(name="exploration", decode=Exploration.from_bytes, errors=STATE, share=0.5,
            seeds=lambda: [Exploration().to_bytes()]),
    Decoder(name="adapters", decode=_adapter, seeds=_adapter_seeds, errors=STATE),
    Decoder(name="refinements", decode=_refinement, seeds=_refinement_seeds,
            errors=(*STATE, ConfigurationError)),
    Decoder(name="lists that were shown", decode=_shown, seeds=_shown_seeds, errors=STATE),
    Decoder(name="evidence on adapters", decode=_evidence, seeds=_evidence_seeds, errors=STATE,
            share=0.5),
    Decoder(name="audit", decode=_audit, seeds=_audit_seeds, errors=STATE),
)  # fmt: skip
WHOLE_BODIES = tuple(body for body in BODIES.values() if body is not None)
