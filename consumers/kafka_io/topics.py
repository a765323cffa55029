"""The topics: their names under one prefix, how missing ones are made, what must agree among them.

Topics that exist are used as they are; only their partition counts are checked, because a user's
clicks, reviews, erasures, refinements, lists and profile must share one partition number. Nothing
here reads or writes records.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from consumers.kafka_io.clients import MAX_REQUEST_BYTES
from stream_rec.errors import AccessDenied, ConfigurationError


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of one tenant's topics.

    >>> Topics("shop").clicks
    'shop.events.clicks'
    """

    prefix: str

    @property
    def clicks(self) -> str:
        """Behaviour events, by user."""
        return f"{self.prefix}.events.clicks"

    @property
    def reviews(self) -> str:
        """Ratings and review texts, by user."""
        return f"{self.prefix}.events.reviews"

    @property
    def erasures(self) -> str:
        """Requests to forget a user, by user."""
        return f"{self.prefix}.erasures"

    @property
    def items(self) -> str:
        """The catalogue, by item, compacted."""
        return f"{self.prefix}.items"

    @property
    def policies(self) -> str:
        """What operators ask for, by scenario; valid or not."""
        return f"{self.prefix}.policies"

    @property
    def recommendations(self) -> str:
        """The lists, by scenario and user, in the user's partition."""
        return f"{self.prefix}.recommendations"

    @property
    def adapters(self) -> str:
        """The life of each LoRA adapter."""
        return f"{self.prefix}.adapters"

    @property
    def audit(self) -> str:
        """Who changed what, accepted or refused."""
        return f"{self.prefix}.audit"

    @property
    def profiles(self) -> str:
        """Changelog of profiles and ledgers, by user, in the user's partition."""
        return f"{self.prefix}.internal.profiles"

    @property
    def statistics(self) -> str:
        """Facts of every committed batch; one partition, kept for ever."""
        return f"{self.prefix}.internal.statistics"

    @property
    def accepted_policies(self) -> str:
        """The policies in force; one partition, compacted."""
        return f"{self.prefix}.internal.policies"

    @property
    def vectors(self) -> str:
        """Text vectors, by adapter version and item; one partition, compacted."""
        return f"{self.prefix}.internal.vectors"

    @property
    def rerankers(self) -> str:
        """What each worker learned online; one partition, compacted."""
        return f"{self.prefix}.internal.rerankers"

    @property
    def refinements(self) -> str:
        """What the encoder read in reviews, by user, in the user's partition; kept for a day."""
        return f"{self.prefix}.internal.refinements"

    @staticmethod
    def dead_letters(source: str) -> str:
        """Return the dead letter topic of a source topic."""
        return f"{source}.dlq"

    @property
    def by_user(self) -> tuple[str, ...]:
        """The topics that must have the same number of partitions."""
        inputs = (self.clicks, self.reviews, self.erasures, self.refinements)
        return (*inputs, self.recommendations, self.profiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a missing topic is made."""

    partitions: int
    configs: Mapping[str, str]


def plans(topics: Topics, partitions: int) -> dict[str, Plan]:
    """Return, for every topic of the product, how it is made when it is missing."""
    sources = (topics.clicks, topics.reviews, topics.erasures, topics.items, topics.policies)
    made = {
        topics.clicks: Plan(partitions=partitions, configs=APPEND_TIME),
        topics.reviews: Plan(partitions=partitions, configs=APPEND_TIME),
        topics.erasures: Plan(partitions=partitions, configs=APPEND_TIME),
        topics.items: Plan(partitions=partitions, configs=COMPACTED),
        topics.policies: Plan(partitions=1, configs=COMPACTED),
        topics.recommendations: Plan(partitions=partitions, configs=COMPACTED),
        topics.adapters: Plan(partitions=1, configs=COMPACTED),
        topics.audit: Plan(partitions=1, configs={}),
        topics.profiles: Plan(partitions=partitions, configs=CHANGELOG),
        topics.statistics: Plan(partitions=1, configs=KEPT_FOR_EVER),
        topics.accepted_policies: Plan(partitions=1, configs=COMPACTED),
        topics.vectors: Plan(partitions=1, configs=COMPACTED),
        topics.rerankers: Plan(partitions=1, configs=COMPACTED),
        topics.refinements: Plan(partitions=partitions, configs=SOON_GONE),
    }
    for source in sources:
        made[topics.dead_letters(source)] = Plan(
            partitions=made[source].partitions, configs=DEAD_LETTERS
        )
    return made


def ensure_topics(
    client: KafkaAdminClient, topics: Topics, *, partitions: int, replication_factor: int | None
) -> int:
    """Make what is missing, wait until it has leaders, and check what must agree.

    Returns:
        the number of partitions by user, which is that of the existing topics if there are any.

    Raises:
        ConfigurationError: the topics by user have different numbers of partitions.
        AccessDenied: a topic is missing, and this user may not make it.
    """
    wanted = plans(topics, _existing_partitions(client, topics) or partitions)
    present = partition_counts(client, tuple(wanted))
    missing = {name: plan for name, plan in wanted.items() if name not in present}
    if missing:
        brokers = len(client.describe_cluster()["brokers"])
        replicas = min(replication_factor or DEFAULT_REPLICATION, brokers)
        LOG.info("creating %d topics with %d replica(s)", len(missing), replicas)
        for name, plan in missing.items():
            _create(client, name, plan, replicas)
        client.wait_for_topics(list(missing), timeout_ms=30_000)
    counts = partition_counts(client, topics.by_user)
    if len(set(counts.values())) != 1:
        msg = f"these topics must have equal numbers of partitions, and have {counts}"
        raise ConfigurationError(msg)
    return counts[topics.clicks]


def partition_counts(client: KafkaAdminClient, names: tuple[str, ...]) -> dict[str, int]:
    """Return the number of partitions of those of `names` that exist."""
    return dict(_counts(client, names))


def topic_ids(client: KafkaAdminClient, names: tuple[str, ...]) -> dict[str, str]:
    """Return the broker's own id of each topic: local state of a topic made anew is not its own."""
    return {topic["name"]: str(topic["topic_id"]) for topic in client.describe_topics(list(names))}


def dead_letter_limits(client: KafkaAdminClient, topics: Topics) -> dict[str, int]:
    """Return the largest dead letter in bytes by source topic.

    Dead letters carry headers, so their topic should take larger records than its source: otherwise
    they are cut, and a warning says so.
    """
    sources = (topics.clicks, topics.reviews, topics.erasures, topics.items, topics.policies)
    names = [name for source in sources for name in (source, topics.dead_letters(source))]
    found = client.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name, {SIZE: ""}) for name in names],
        config_filter="all",
    )["topic"]
    limits = {}
    for source in sources:
        largest = int(found[source][SIZE]["value"])
        limit = min(int(found[topics.dead_letters(source)][SIZE]["value"]), MAX_REQUEST_BYTES)
        limits[source] = limit - BATCH_OVERHEAD_BYTES
        if limit < largest + HEADROOM_BYTES:
            LOG.warning(
                "%s takes %d bytes: long records are cut", topics.dead_letters(source), limit
            )
    return limits


def _counts(client: KafkaAdminClient, names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for topic in client.describe_topics(list(names)):
        if topic["error_code"] == 0 and topic["partitions"]:
            yield topic["name"], len(topic["partitions"])


def _existing_partitions(client: KafkaAdminClient, topics: Topics) -> int | None:
    """A shop that made only its event topics decides the number for the rest."""
    return max(partition_counts(client, topics.by_user).values(), default=None)


def _create(client: KafkaAdminClient, name: str, plan: Plan, replicas: int) -> None:
    configs = dict(plan.configs)
    if replicas >= DEFAULT_REPLICATION:
        configs["min.insync.replicas"] = str(DEFAULT_REPLICATION - 1)
    spec = {
        "num_partitions": plan.partitions,
        "replication_factor": replicas,
        "configs": configs,
    }
    try:
        client.create_topics({name: spec})
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError) as error:
        msg = (
            f"there is no topic {name} that this user may see, nor may it create it: let one who "
            "may run `stream-rec topics`; `stream-rec rights topics` prints what that needs"
        )
        raise AccessDenied(msg) from error
    except TopicAlreadyExistsError:  # another worker of the group was faster
        LOG.debug("topic %s exists already", name)


LOG = logging.getLogger(__name__)
SIZE = "max.message.bytes"
BATCH_OVERHEAD_BYTES = 512
HEADROOM_BYTES = 8_192
DEFAULT_REPLICATION = 3
# The broker stamps the events, so that freshness and "a day ahead" rest on one clock.
APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
# The active segment is never compacted, so for erasure to end it must be rolled by time.
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "3600000",
    "max.compaction.lag.ms": "86400000",
    "delete.retention.ms": "86400000",
}
# Rewritten at every event: small segments and eager cleaning keep the restore short.
CHANGELOG = {
    **COMPACTED,
    "segment.bytes": "67108864",
    "min.cleanable.dirty.ratio": "0.2",
}
KEPT_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
# Read at once by workers that run; one that is away for longer misses refinements, not events.
# A review that has waited longer for its refinement gets none: so what is deleted by time is over.
REFINED_WITHIN_MS = 900_000
SOON_GONE = {"cleanup.policy": "delete", "retention.ms": "86400000", "segment.ms": "3600000"}
# Whatever the broker's own default is, a refused record of a forgotten user ends: within 8 days.
DEAD_LETTERS = {
    "max.message.bytes": str(MAX_REQUEST_BYTES),
    "retention.ms": "604800000",
    "segment.ms": "86400000",
}
