"""Do the clocks of the producers, the broker and this machine agree?

The broker's clock shows in the append times that it stamps. A record that came between the two
looks was appended between them, so it tells both that the broker is ahead and that it is behind.
Where producers stamp, their stamps and the times of their events are of one clock: it is compared
with this machine's, and only one that is ahead can be told.
"""

from collections.abc import Iterator

import numpy as np
from kafka import TopicPartition

from consumers.diagnosis.finding import Finding, note, wrong
from consumers.diagnosis.look import Look, Sampled
from consumers.diagnosis.sampled_events import events_in
from consumers.diagnosis.topic_settings import STAMP
from stream_rec.errors import InvalidRecord


def clocks_agree(look: Look) -> Iterator[Finding]:
    """Compare the broker's stamps with this machine's clock."""
    stamped = [
        name for name in look.sources if look.configs.get(name, {}).get(STAMP) == "LogAppendTime"
    ]
    if not stamped:
        return
    first, _ = look.watched
    bound = look.bounds.skew_s * 1000
    for topic in stamped:
        now_ms = look.now_ms()
        appended = [record.append_ms for record in look.newest(topic)]
        ahead = max(appended, default=now_ms) - now_ms
        between = [record.append_ms for record in _came_between(look, topic)]
        behind = first.at_ms - min(between, default=first.at_ms)
        if ahead <= bound and behind <= bound:
            continue
        skew, word = (ahead, "ahead of") if ahead > bound else (behind, "behind")
        text = (
            f"the broker's clock is {skew / 1000:.0f} s {word} this machine's: freshness figures "
            "and list ages are wrong by that"
        )
        yield wrong("clock_skew", topic, text, "let NTP or chrony set the clocks of all machines")
        return


def producers_clocks_agree(look: Look) -> Iterator[Finding]:
    """Compare the times that events say with the times at which they were appended."""
    for topic in look.sources:
        ages = np.array(
            [
                record.append_ms - said
                for record in look.newest(topic)
                if (said := _said_ms(look, topic, record)) is not None
            ]
        )
        if not len(ages):
            continue
        ahead = int((ages < -1000 * look.bounds.ahead_s).sum())
        if ahead:
            most = -float(ages.min()) / 60_000
            text = (
                f"{ahead} of the newest {len(ages)} events say a time up to {most:.0f} min after "
                "they were appended: half-lives read them as newer than now, and a day ahead is a "
                "dead letter"
            )
            mend = "set the producers' clocks, and check that their times are in UTC"
            yield wrong("events_from_the_future", topic, text, mend)
        elif (old := float(np.median(ages))) > OLD_MS:
            text = (
                f"half of the newest events were {old / 3_600_000:.1f} h old when they were "
                "appended: that is a replay, a slow producer, or a local time taken for UTC"
            )
            mend = "nothing, if an old log is being replayed; else send events as they happen"
            yield note("old_events", topic, text, mend)


def producers_stamps_are_past(look: Look) -> Iterator[Finding]:
    """Compare the stamps of producers, where these count, with this machine's clock."""
    for topic in look.sources:
        if look.configs.get(topic, {}).get(STAMP) != "CreateTime":
            continue
        records = look.newest(topic)
        now_ms = look.now_ms()
        ahead = [record.append_ms - now_ms for record in records]
        ahead = [skew for skew in ahead if skew > 1000 * look.bounds.ahead_s]
        if ahead:
            text = (
                f"{len(ahead)} of the newest {len(records)} records have a stamp up to "
                f"{max(ahead) / 60_000:.0f} min from now: a producer's clock is ahead, and its "
                "events count as newer than all others"
            )
            mend = (
                "set the producers' clocks; one that is behind looks like old events, which only "
                f"stamps of the broker tell apart ({STAMP}=LogAppendTime)"
            )
            yield wrong("producer_ahead", topic, text, mend)


def _came_between(look: Look, topic: str) -> list[Sampled]:
    """Return the records of a topic that were appended between the two looks."""
    first, last = look.watched
    look.consumer.assign(look.places([topic]))
    found: list[Sampled] = []
    for place in look.places([topic]):
        if last.ends.get(place, 0) > first.ends.get(place, 0):
            found += _read(look, place, first.ends[place])
    return found


def _read(look: Look, place: TopicPartition, start: int) -> list[Sampled]:
    look.consumer.assign([place])
    look.consumer.seek(place, start)
    polled = look.consumer.poll(timeout_ms=2_000, max_records=32)
    return [
        Sampled(
            partition=record.partition,
            offset=record.offset,
            append_ms=record.timestamp,
            key=record.key,
            value=record.value,
        )
        for records in polled.values()
        for record in records
    ]


def _said_ms(look: Look, topic: str, record: Sampled) -> int | None:
    try:
        return max(event.timestamp for event in events_in(look, topic, record))
    except InvalidRecord:
        return None


OLD_MS = 3_600_000
