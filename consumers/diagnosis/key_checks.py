"""Do events and erasures carry their user as the key, in the partition where that user's are?"""

from collections.abc import Iterator

from consumers.diagnosis.finding import Finding, note, wrong
from consumers.diagnosis.look import Look, Sampled
from consumers.diagnosis.partitioners import default_partition, is_scattered, suspect
from consumers.diagnosis.sampled_events import events_in
from stream_rec.erasure import parse_erasure
from stream_rec.errors import InvalidRecord


def keys_are_users(look: Look) -> Iterator[Finding]:
    """Read the newest records as the engine reads them, but for their partition."""
    for topic in look.keyed:
        records = look.newest(topic)
        reasons: dict[str, int] = {}
        for record in records:
            if (reason := _refusal(look, topic, record)) is not None:
                reasons[reason] = reasons.get(reason, 0) + 1
        bad = sum(reasons.values())
        if not bad:
            continue
        often = max(reasons, key=lambda reason: reasons[reason])
        text = (
            f"{bad} of the newest {len(records)} records cannot be used; most often: {often} "
            f"({reasons[often]})"
        )
        mend = "`stream-rec dlq list` shows them; mend the producer, then retry them"
        say = wrong if bad > FEW_BAD * len(records) else note
        yield say("unusable_events", topic, text, mend)


def keys_are_in_their_partitions(look: Look) -> Iterator[Finding]:
    """Compare where the newest records are with where Kafka's default partitioner puts them."""
    for topic in look.keyed:
        count = look.counts[topic]
        placed = [
            (record.key, record.partition)
            for record in look.newest(topic)
            if record.key is not None
        ]
        astray = [(key, found) for key, found in placed if default_partition(key, count) != found]
        if not astray:
            continue
        text = (
            f"{len(astray)} of the newest {len(placed)} records are not in the partition of their "
            "key: each is a dead letter"
        )
        other = suspect(astray, count)
        if other is not None:
            text += f"; they were placed by {other.name}: {other.whose}"
            mend = other.mend
        elif is_scattered(placed):
            text += "; one key stands in several partitions: spread without regard to the key"
            mend = "remove the producer's round-robin or random partitioner, or its own partition"
        else:
            text += "; no known partitioner explains them"
            mend = (
                "was the number of partitions changed? If not, a producer picks partitions itself"
            )
        yield wrong("wrong_partition", topic, text, mend)


def _refusal(look: Look, topic: str, record: Sampled) -> str | None:
    """Return why the engine would refuse a record."""
    try:
        if topic == look.topics.erasures:
            parse_erasure(record.value, key=record.key, append_ms=record.append_ms)
        else:
            events_in(look, topic, record)
    except InvalidRecord as error:
        return error.reason
    return None


# Single bad records are what dead letters are for; a share like this is a broken producer.
FEW_BAD = 0.01
