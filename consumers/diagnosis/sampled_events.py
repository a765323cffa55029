"""The newest records of the event topics, read as the engine reads them, in whatever dialect."""

from consumers.diagnosis.look import Look, Sampled
from stream_rec.events import Event, Kind, parse_events


def events_in(look: Look, topic: str, record: Sampled) -> tuple[Event, ...]:
    """Return the events of one record.

    Raises:
        InvalidRecord: the engine cannot use it either.
    """
    kind: Kind = "review" if topic == look.topics.reviews else "click"
    return parse_events(
        record.value,
        key=record.key,
        kind=kind,
        source="doctor",
        headers=record.headers,
        form=look.settings.format,
    )
