"""Writes the state of a shop with many users straight into the engine's own topics.

Quick stand-in for months of events: profiles in the changelog as the recommender writes them, a
ledger for each partition, and facts for the statistics.
"""

import msgspec
import numpy as np
from kafka import KafkaProducer

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import (
    LEDGER_KEY,
    Partitions,
    Standing,
    encode_profile,
    encode_standing,
)
from consumers.settings import Settings
from stream_rec.events import Event
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Listing, Profile, fold
from stream_rec.statistics.facts import FactsBuilder
from tests.guarantees.topic_log import producer

PATTERNS, PER_RECORD = 400, 500
START_MS = 1_763_000_000_000


def write_state(settings: Settings, *, users: int, events_each: int, items: int) -> int:
    """Write everything; return the bytes of the profiles. The topics must be there and empty.

    Users share a few hundred histories, which only their names tell apart.
    """
    topics, client = Topics(settings.prefix), producer(settings)
    rng = np.random.default_rng(0)
    facts = FactsBuilder()
    patterns = []
    for number in range(PATTERNS):
        patterns.append(_profile(rng, number, events_each, items, facts))
        if (number + 1) * events_each % PER_RECORD < events_each:
            client.send(topics.statistics, value=facts.build("seed").to_bytes(), partition=0)
            facts = FactsBuilder()
    written = _write_profiles(client, settings, patterns, users)
    ledger = Ledger(next_offsets={topics.clicks: 0, topics.reviews: 0}, newest_ms=START_MS)
    for number in range(settings.partitions):
        value = encode_standing(Standing(ledger=ledger))
        client.send(topics.profiles, key=LEDGER_KEY, value=value, partition=number)
    client.flush(timeout=120)
    client.close()
    return written


def write_links(settings: Settings, *, baskets: int, items: int) -> None:
    """Write links that newcomers made: baskets of 20 items near each other, as `traffic` has them.

    Who writes many enough fills the table of links, as it is in a shop that is no longer new.
    """
    topic, client = Topics(settings.prefix).statistics, producer(settings)
    rng, facts = np.random.default_rng(1), FactsBuilder()
    favourites, apart = rng.integers(0, items, baskets), rng.geometric(0.05, (baskets, 20))
    for number, basket in enumerate(((favourites[:, None] + apart) % items).tolist(), 1):
        taken = [f"i{item}" for item in basket]
        for place in range(1, len(taken)):
            sources = list(dict.fromkeys(reversed(taken[:place])))
            facts.link([(1, taken[place], sources, True)])
        if number % _BASKETS_A_RECORD == 0 or number == baskets:
            client.send(topic, value=facts.build("seed").to_bytes(), partition=0)
            facts = FactsBuilder()
    client.flush(timeout=120)
    client.close()


def _write_profiles(
    client: KafkaProducer, settings: Settings, patterns: list[Profile], users: int
) -> int:
    partitions, topic, written = (
        Partitions(settings.partitions),
        Topics(settings.prefix).profiles,
        0,
    )
    for number in range(users):
        user_id = f"u{number}"
        profile = msgspec.structs.replace(patterns[number % len(patterns)], user_id=user_id)
        value = encode_profile(profile)
        partition = partitions.of_user(user_id)
        client.send(topic, key=user_id.encode(), value=value, partition=partition)
        written += len(value)
    return written


def _profile(
    rng: np.random.Generator, number: int, events: int, items: int, facts: FactsBuilder
) -> Profile:
    profile = Profile(f"pattern-{number}")
    for place, item in enumerate(rng.zipf(1.3, events).tolist()):
        event = Event(
            event_id=f"{number}-{place}",
            event_type="click",
            user_id=profile.user_id,
            item_id=f"i{item % items}",
            timestamp=START_MS + 1000 * (number + 60 * place),
        )
        folded = fold(profile, event, topic=0, offset=place)
        facts.count(event.item_id, event.timestamp, None, place == 0)
        facts.link(folded.links)
        profile = folded.profile
    made = Listing(1, START_MS + 100_000_000)
    return msgspec.structs.replace(profile, lists={"default": made})


_BASKETS_A_RECORD = 25
