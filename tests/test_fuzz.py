"""A hundred thousand changed records: every decoder returns or gives a reason, every count adds up.

`make fuzz` runs the same for longer, and guided by coverage.
"""

import json
from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.step import Arrival, Context, step
from tests.fuzzing import DECODERS, WHOLE_BODIES, Decoder, judge, mutants
from tests.poison import poisoned
from tests.shop_log import tiny_replica

INPUTS = 100_000
EACH = 250
SHARES = sum(decoder.share for decoder in DECODERS)
THROUGH_STEP = 4_000


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_a_decoder_returns_or_gives_a_reason_whatever_it_is_given(decoder: Decoder) -> None:
    read: Counter[bool] = Counter()

    @settings(
        max_examples=round(INPUTS * decoder.share / SHARES / EACH) + 1,
        deadline=None,
        database=None,
        derandomize=True,
    )
    @given(st.integers(0, 2**63))
    def many(seed: int) -> None:
        for value in mutants(decoder, Random(seed), EACH):
            read[judge(decoder, value)] += 1

    many()
    for value in (*WHOLE_BODIES, *decoder.seeds()):
        read[judge(decoder, value)] += 1
    assert read[False] > EACH, "the changes break nothing"
    assert read[True] > 0, "the changes break everything"
    assert all(judge(decoder, value) for value in decoder.seeds())


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_the_whole_poison_corpus_goes_through_every_decoder(decoder: Decoder) -> None:
    refused = 0
    for seed in decoder.seeds():
        for value in poisoned(_record(seed)).values():
            refused += value is not None and not judge(decoder, value)
    assert refused > len(WHOLE_BODIES) / 2, "poison that everybody takes is none"


def _record(seed: bytes) -> dict[str, Any]:
    """Return a seed's fields; of what is no JSON the bodies alone are poison."""
    try:
        return dict(json.loads(seed))
    except ValueError:
        return {}


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None, database=None, derandomize=True)
def test_bytes_from_nowhere_are_judged_by_every_decoder(value: bytes) -> None:
    for decoder in DECODERS:
        judge(decoder, value)


class Held:
    """Profiles in memory."""

    def __init__(self) -> None:
        self.all: dict[tuple[int, str], Profile] = {}

    def get(self, partition: int, user_id: str) -> Profile | None:
        return self.all.get((partition, user_id))


def test_every_changed_record_has_one_outcome_in_the_ledger_and_bad_ones_a_dead_letter() -> None:
    rng, replica, held = Random(1), tiny_replica(), Held()
    ledgers: dict[int, Ledger] = {}
    replica.put_policy("*", 0, {"list": {"min_interval_ms": 86_400_000}})
    context = Context(worker="w", now_ms=1 << 41, rng=np.random.default_rng(0), examples=4)
    decoders = [one for one in DECODERS if one.name.startswith("events")]
    dead, sent = 0, 0
    while sent < THROUGH_STEP:
        batch = [
            Arrival(
                kind="review" if number % 2 else "click",
                topic="reviews" if number % 2 else "clicks",
                partition=0,
                offset=number,
                append_ms=1 << 42,
                key=b"u1" if rng.random() < 0.95 else rng.randbytes(3),
                value=value,
            )
            for number, value in enumerate(mutants(rng.choice(decoders), rng, 100), sent)
        ]
        sent += len(batch)
        result = step(replica, held, ledgers, batch, context)
        held.all |= result.profiles
        ledgers = result.ledgers
        dead += len(result.dead_letters)
        assert all(letter.error.reason for letter in result.dead_letters)
        assert sum(result.outcomes.values()) == len(batch)
    counts: Counter[str] = Counter()
    for outcomes in ledgers[0].outcomes.values():
        counts.update(outcomes)
    assert sum(counts.values()) == sent
    assert counts["dead_lettered"] == dead > sent / 10
    assert counts["applied"] > 20
    assert counts["applied"] + counts["duplicate"] > sent / 20
