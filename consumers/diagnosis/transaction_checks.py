"""Does an open transaction hold readers back?

Readers of committed records stop at the first open transaction of a partition (its last stable
offset), however much was committed behind it.
"""

from collections.abc import Iterator
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from consumers.diagnosis.finding import Finding, few, note, wrong
from consumers.diagnosis.look import Look


def transactions_end(look: Look) -> Iterator[Finding]:
    """Name the producers whose transactions have been open for too long."""
    names = list(look.counts)
    whole, stable = look.ends(names, committed=False), look.ends(names)
    held = {place: whole[place] - stable[place] for place in whole if whole[place] > stable[place]}
    if not held:
        return
    try:
        producers = look.client.describe_producers(list(held))
    except KafkaError as error:
        records = sum(held.values())
        text = f"{records} records wait behind open transactions; by whom cannot be seen: {error}"
        yield note("open_transactions", look.settings.prefix, text, "ask with more rights")
        return
    open_by: dict[int, list[TopicPartition]] = {}
    since: dict[int, int] = {}
    for place, state in producers.items():
        for producer in state.active_producers:
            if producer.current_transaction_start_offset >= 0:
                open_by.setdefault(producer.producer_id, []).append(place)
                last = producer.last_timestamp
                since[producer.producer_id] = min(last, since.get(producer.producer_id, last))
    coordinated = _coordinated(look)
    for producer_id, places in open_by.items():
        known = coordinated.get(producer_id)
        started_ms = known["started_ms"] if known else since[producer_id]
        open_s = (look.now_ms() - started_ms) / 1000
        if open_s >= look.bounds.open_transaction_s:
            yield _hanging(producer_id, known, places, open_s, held)


def _hanging(
    producer_id: int,
    known: dict[str, Any] | None,
    places: list[TopicPartition],
    open_s: float,
    held: dict[TopicPartition, int],
) -> Finding:
    where = few([f"{place.topic}-{place.partition}" for place in places])
    waiting = sum(held[place] for place in places)
    who = f"producer {producer_id}" + (f", transactional id {known['id']}" if known else "")
    text = f"a transaction of {who} is open for {open_s:.0f} s: {waiting} records of {where} wait"
    if known:
        mend = (
            f"end or restart that producer; its coordinator aborts it {known['timeout_s']:.0f} s "
            "after it began"
        )
    else:
        place = places[0]
        mend = (
            "its coordinator knows it no more, so nobody will end it: kafka-transactions abort "
            f"--topic {place.topic} --partition {place.partition} --start-offset …"
        )
    return wrong("hanging_transaction", places[0].topic, text, mend)


def _coordinated(look: Look) -> dict[int, dict[str, Any]]:
    """Return what coordinators know of open transactions, by producer id."""
    try:
        listed = look.client.list_transactions(state_filters=["Ongoing"])
        ids = [entry.transactional_id for entries in listed.values() for entry in entries]
        described = look.client.describe_transactions(ids) if ids else {}
    except KafkaError:  # a right that operators may lack; the finding names the producer then
        return {}
    return {
        found.producer_id: {
            "id": transactional_id,
            "started_ms": found.transaction_start_time_ms,
            "timeout_s": found.transaction_timeout_ms / 1000,
        }
        for transactional_id, found in described.items()
    }
