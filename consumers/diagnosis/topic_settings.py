"""Are the topics kept as the engine needs them: compacted, long enough, large enough, stamped?"""

from collections.abc import Iterator, Mapping

from consumers.diagnosis.finding import Finding, few, note, wrong
from consumers.diagnosis.look import Look

Configs = Mapping[str, str]


def cleanup_fits(look: Look) -> Iterator[Finding]:
    """Compare cleanup policies with what each topic is for."""
    for name, configs in look.configs.items():
        found = set(configs.get("cleanup.policy", "delete").split(","))
        wanted = look.planned[name].configs.get("cleanup.policy", "delete")
        if wanted == "compact" and found != {"compact"}:
            text = f"cleanup.policy is {_worded(found)}: {LOST['delete' in found]}"
            yield wrong("not_compacted", name, text, _alter(name, "cleanup.policy=compact"))
        elif wanted == "delete" and "compact" in found:
            text = f"cleanup.policy is {_worded(found)}: of each key only the newest record stays"
            yield wrong("compacted", name, text, _alter(name, "cleanup.policy=delete"))
        if wanted == "compact" and int(configs.get("max.compaction.lag.ms", LONGEST)) == LONGEST:
            text = "no max.compaction.lag.ms: what was erased may stay in old segments without end"
            setting = "max.compaction.lag.ms=86400000,segment.ms=3600000"
            yield note("no_compaction_deadline", name, text, _alter(name, setting))


def settings_are_seen(look: Look) -> Iterator[Finding]:
    """Name the topics whose settings this user may not see: nothing below was checked of them."""
    hidden = sorted(look.counts.keys() - look.configs.keys())
    if hidden:
        text = f"settings cannot be seen, so they were not checked: {few(hidden)}"
        mend = "give this user DescribeConfigs on them, or look with more rights"
        yield note("settings_hidden", look.settings.prefix, text, mend)


def retention_suffices(look: Look) -> Iterator[Finding]:
    """Look for topics that forget too soon."""
    topics, least_ms = look.topics, int(look.bounds.event_retention_s * 1000)
    for name, configs in look.configs.items():
        kept_ms, kept_bytes = int(configs["retention.ms"]), int(configs["retention.bytes"])
        if name == topics.statistics:
            if kept_ms >= 0 or kept_bytes >= 0:
                text = (
                    f"retention.ms is {kept_ms}, retention.bytes {kept_bytes}: a new worker would "
                    "miss what was deleted, and rank by other statistics than the rest"
                )
                mend = _alter(name, "retention.ms=-1,retention.bytes=-1")
                yield wrong("statistics_forgotten", name, text, mend)
        elif "compact" in configs.get("cleanup.policy", "") or name == topics.refinements:
            continue  # who is away for long misses refinements, not events
        elif 0 <= kept_ms < least_ms:
            text = f"records are deleted after {_span(kept_ms)}: a longer pause loses them"
            mend = _alter(name, f"retention.ms={max(WEEK_MS, least_ms)}")
            yield wrong("short_retention", name, text, mend)


def records_fit(look: Look) -> Iterator[Finding]:
    """Look for topics that refuse what the engine writes."""
    topics = look.topics
    ours = {topics.recommendations, topics.profiles, topics.statistics, topics.rerankers}
    ours |= {topics.vectors, topics.accepted_policies, topics.audit}
    for name in sorted(ours & look.configs.keys()):
        limit = int(look.configs[name][SIZE])
        if limit < LEAST_BYTES:
            text = f"{SIZE} is {limit}: a long list, profile or batch of facts would be refused"
            mend = _alter(name, f"{SIZE}={DEFAULT_BYTES}")
            yield wrong("small_records", name, text, mend)
    for source in (topics.clicks, topics.reviews, topics.erasures, topics.items, topics.policies):
        letters = topics.dead_letters(source)
        if source in look.configs and letters in look.configs:
            largest = int(look.configs[source][SIZE])
            if int(look.configs[letters][SIZE]) < largest + HEADROOM_BYTES:
                text = (
                    f"takes records of {look.configs[letters][SIZE]} bytes, {source} of {largest}"
                )
                mend = (
                    "longest dead letters are cut, a checksum kept; to keep them whole: "
                    + _alter(letters, f"{SIZE}={largest + HEADROOM_BYTES}")
                )
                yield note("cut_dead_letters", letters, text, mend)


def events_are_stamped(look: Look) -> Iterator[Finding]:
    """Say where freshness and "a day ahead" rest on the producers' clocks."""
    for name in look.sources:
        if look.configs.get(name, {}).get(STAMP) == "CreateTime":
            text = (
                f"{STAMP} is CreateTime: freshness, and the refusal of events a day ahead, rest on "
                "the producers' clocks"
            )
            yield note("producers_time", name, text, _alter(name, f"{STAMP}=LogAppendTime"))


def _alter(name: str, setting: str) -> str:
    return f"kafka-configs --alter --topic {name} --add-config '{setting}'"


def _worded(policies: set[str]) -> str:
    return ",".join(sorted(policies))


def _span(milliseconds: int) -> str:
    """Word a duration.

    >>> _span(60_000), _span(7_200_000)
    ('1.0 min', '2.0 h')
    """
    minutes = milliseconds / 60_000
    return f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"


LOST = ("nothing older goes, and it grows without end", "the newest record of a key is deleted too")
SIZE = "max.message.bytes"
STAMP = "message.timestamp.type"
LONGEST = 9_223_372_036_854_775_807
WEEK_MS = 604_800_000
LEAST_BYTES, DEFAULT_BYTES = 1_000_000, 1_048_588
HEADROOM_BYTES = 8_192
