"""Is an encoder at work: do item texts get their vectors?"""

from collections.abc import Iterator

from consumers.diagnosis.finding import Finding, note, wrong
from consumers.diagnosis.look import Look
from consumers.kafka_io.topic_reading import Read, newest
from consumers.kafka_io.wire import decode_vector, vector_key
from stream_rec.errors import InvalidRecord, StateRejected
from stream_rec.items import item_text, parse_item, text_hash


def texts_get_vectors(look: Look) -> Iterator[Finding]:
    """Compare the catalogue with the vectors of its texts, by the frozen model."""
    topics = look.topics
    if topics.items not in look.counts or topics.vectors not in look.counts:
        return
    items = look.catalogue
    if not items:
        return
    vectors = newest(look.consumer, topics.vectors, range(look.counts[topics.vectors]))
    before_ms = look.now_ms() - int(1000 * look.bounds.unread_vector_s)
    unread = [key for key, record in items.items() if _lacks(record, vectors)]
    late = [key for key in unread if items[key].timestamp < before_ms]
    if not late:
        return
    first, last = look.watched
    place = next(iter(look.places([topics.vectors])))
    share = f"{len(late)} of {len(items)} items have no vector of their text"
    if last.ends.get(place, 0) > first.ends.get(place, 0):
        text = f"{share}; the encoder is at work"
        yield note("encoding", topics.vectors, text, "wait; a GPU reads texts far faster")
        return
    text = f"{share} since over {look.bounds.unread_vector_s:.0f} s, and none is being made"
    mend = "start one encoder: `stream-rec up` or `stream-rec encoder`; if one runs, read its log"
    yield wrong("no_encoder", topics.vectors, text, mend)


def _lacks(item: Read, vectors: dict[bytes, Read]) -> bool:
    """Say whether an item's present text has not been encoded; unreadable items need nothing."""
    try:
        parsed = parse_item(item.value or b"", key=item.key)
        text = item_text(parsed)
        if not text:
            return False
        found = vectors.get(vector_key(0, parsed.item_id))
        return found is None or decode_vector(found.value or b"").text_hash != text_hash(text)
    except (InvalidRecord, StateRejected):
        return False
