"""What the changelog holds of one user, looked up as commands do: outside the group, read only."""

from kafka import KafkaConsumer

from consumers.kafka_io.topic_reading import newest
from consumers.kafka_io.wire import decode_profile
from stream_rec.profiles.profile import Profile
from stream_rec.pseudonyms import Pseudonyms


def known_profile(
    consumer: KafkaConsumer, changelog: str, partition: int, user_id: str, names: Pseudonyms
) -> Profile | None:
    """Return the newest profile under any name the user may be stored by; None for a stranger."""
    keys = [name.encode() for name in (names.of(user_id), *names.older(user_id))]
    found = newest(consumer, changelog, [partition], keys=set(keys))
    record = next((found[key] for key in keys if key in found), None)
    return None if record is None else decode_profile(record.value or b"", names)
