"""Do the topics exist, with partitions that fit together?"""

from collections.abc import Iterator

from consumers.diagnosis.finding import Finding, few, wrong
from consumers.diagnosis.look import Look, is_denied


def topics_exist(look: Look) -> Iterator[Finding]:
    """Name the topics that are not there."""
    missing = [
        name
        for name, topic in look.described.items()
        if name not in look.counts and not is_denied(topic)
    ]
    if not missing:
        return
    if look.counts:
        text = f"{len(missing)} of {len(look.described)} topics are missing: {few(missing)}"
        mend = "start a recommender or the encoder with the right to create topics: each makes them"
    else:
        text = "there is no topic of this prefix"
        mend = "is the prefix right? A first `stream-rec up` or `recommender` makes the topics"
    yield wrong("missing_topics", look.settings.prefix, text, mend)


def partitions_agree(look: Look) -> Iterator[Finding]:
    """Compare the numbers of partitions of the topics by user, and of those read whole."""
    counts = {name: look.counts[name] for name in look.topics.by_user if name in look.counts}
    if len(set(counts.values())) > 1:
        most = max(counts.values())
        fewer = [name for name, count in counts.items() if count < most]
        text = "unequal numbers of partitions: " + ", ".join(f"{n} {c}" for n, c in counts.items())
        mend = (
            f"stop the recommenders; while there is no event yet, add partitions to {few(fewer)} "
            f"up to {most} (kafka-topics --alter --partitions {most}); once there are events, make "
            "topics under a new prefix and replay: users move when their number changes"
        )
        yield wrong("unequal_partitions", look.settings.prefix, text, mend)
    single = {name for name, plan in look.planned.items() if plan.partitions == 1}
    if look.planned[look.topics.clicks].partitions == 1:
        single -= {*look.topics.by_user, look.topics.items}
        single = {name for name in single if not name.endswith(".dlq")}
    for name in sorted(single & look.counts.keys()):
        if look.counts[name] != 1:
            text = f"it has {look.counts[name]} partitions, and is read in one order: it needs 1"
            mend = "delete it while the engine is stopped, if nothing in it is needed, and start"
            yield wrong("too_many_partitions", name, text, mend)
    for source in (look.topics.clicks, look.topics.reviews, look.topics.erasures):
        letters = look.topics.dead_letters(source)
        if 0 < look.counts.get(letters, 0) < look.counts.get(source, 0):
            text = f"fewer partitions than {source}: a dead letter keeps its source's partition"
            mend = f"kafka-topics --alter --topic {letters} --partitions {look.counts[source]}"
            yield wrong("dead_letter_partitions", letters, text, mend)
