"""The least rights of each program, by topic, group and transactional id, as brokers grant them.

What is written here is granted in a test, and nothing else, and the programs work; each right is
then taken away, and they say what is missing. Knows names, not how a broker is asked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What may be done to one resource, or to all whose names start with `name`.

    `kind` and `operations` are those of Kafka's own `kafka-acls` tool.
    """

    kind: str
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


def least_rights(program: str, settings: Settings) -> tuple[Right, ...]:
    """Return what a program needs, once the topics exist.

    Raises:
        ConfigurationError: there is no such program.

    >>> [right.name for right in least_rights("reader", Settings(prefix="shop"))]
    ['shop.recommendations']
    """
    if program not in PROGRAMS:
        msg = f"{program!r} is none of {', '.join(PROGRAMS)}"
        raise ConfigurationError(msg)
    return PROGRAMS[program](settings, Topics(settings.prefix))


def merged(rights: Iterable[Right]) -> tuple[Right, ...]:
    """Return the same rights with one entry for each resource, by kind and name.

    >>> [right.operations for right in merged(least_rights("encoder", Settings())) if
    ...  right.name.endswith("vectors")]
    [('Read', 'Write')]
    """
    found: dict[tuple[str, str, bool], list[str]] = {}
    for right in rights:
        operations = found.setdefault((right.kind, right.name, right.prefixed), [])
        operations += [name for name in right.operations if name not in operations]
    return tuple(
        Right(kind=kind, name=name, prefixed=prefixed, operations=tuple(operations))
        for (kind, name, prefixed), operations in sorted(found.items())
    )


def _topics(settings: Settings, _: Topics) -> tuple[Right, ...]:
    return (_all_of(settings, "Create", "Describe"),)


def _recommender(settings: Settings, topics: Topics) -> tuple[Right, ...]:
    sources, letters = _sources(topics), _letters(topics)
    replicated = (topics.accepted_policies, topics.statistics, topics.rerankers)
    return (
        _all_of(settings, "Describe"),
        *_on(("Read",), (*sources, topics.vectors, topics.refinements)),
        *_on(("Read", "Write"), (*replicated, topics.profiles, topics.adapters)),
        *_on(("Write",), (topics.recommendations, topics.audit, *letters)),
        *_on(("DescribeConfigs",), (*sources, *letters, topics.recommendations)),
        *_on(("DescribeConfigs",), (topics.profiles, topics.refinements)),
        Right(kind="group", name=settings.group_id, operations=("Read",)),
        _writing_as(f"{settings.prefix}-"),
    )


def _encoder(settings: Settings, topics: Topics) -> tuple[Right, ...]:
    return (
        _all_of(settings, "Describe"),
        *_on(("Read",), (topics.items, topics.reviews, topics.adapters)),
        *_on(("Read",), (topics.accepted_policies,)),
        *_on(("Read", "Write"), (topics.vectors,)),
        *_on(("Write",), (topics.refinements,)),
    )


def _trainer(settings: Settings, topics: Topics) -> tuple[Right, ...]:
    return (
        _all_of(settings, "Describe"),
        *_on(("Read",), (topics.clicks, topics.reviews, topics.erasures, topics.items)),
        *_on(("Read",), (topics.vectors, topics.accepted_policies, topics.recommendations)),
        *_on(("Read", "Write"), (topics.adapters,)),
        *_on(("Write",), (topics.audit,)),
        _writing_as(f"{settings.prefix}-trainer-"),
    )


def _operator(_: Settings, topics: Topics) -> tuple[Right, ...]:
    kept = (topics.profiles, topics.accepted_policies, *_letters(topics))
    return (
        *_on(("Read",), (topics.recommendations, topics.items, topics.audit, topics.adapters)),
        *_on(("Read",), kept),
        *_on(("Write",), (topics.policies, topics.erasures, topics.adapters, topics.audit)),
        *_on(("DescribeConfigs",), (topics.recommendations, topics.profiles)),
        *_on(("Describe", "DescribeConfigs"), (topics.refinements,)),
    )


def _analyst(_: Settings, topics: Topics) -> tuple[Right, ...]:
    events = (topics.clicks, topics.reviews, topics.erasures)
    return _on(("Read",), (*events, topics.items, topics.vectors, topics.accepted_policies))


def _doctor(settings: Settings, _: Topics) -> tuple[Right, ...]:
    """Whose transaction holds up a topic is told only to who may read it: so all are read."""
    return (
        _all_of(settings, "Describe", "DescribeConfigs", "Read"),
        Right(kind="group", name=settings.group_id, operations=("Describe",)),
        Right(
            kind="transactional-id",
            name=f"{settings.prefix}-",
            operations=("Describe",),
            prefixed=True,
        ),
    )


def _dlq(settings: Settings, topics: Topics) -> tuple[Right, ...]:
    return (
        *_on(("Read", "Write", "Delete"), _letters(topics)),
        *_on(("Read", "Write"), _sources(topics)),
        *_on(("Read",), (topics.profiles,)),
        _writing_as(f"{settings.prefix}-dlq-"),
    )


def _producer(_: Settings, topics: Topics) -> tuple[Right, ...]:
    return _on(("Write",), (topics.clicks, topics.reviews, topics.erasures, topics.items))


def _reader(_: Settings, topics: Topics) -> tuple[Right, ...]:
    return _on(("Read",), (topics.recommendations,))


def _sources(topics: Topics) -> tuple[str, ...]:
    return (topics.clicks, topics.reviews, topics.erasures, topics.items, topics.policies)


def _letters(topics: Topics) -> tuple[str, ...]:
    return tuple(topics.dead_letters(source) for source in _sources(topics))


def _on(operations: tuple[str, ...], names: Iterable[str]) -> tuple[Right, ...]:
    return tuple(Right(kind="topic", name=name, operations=operations) for name in names)


def _all_of(settings: Settings, *operations: str) -> Right:
    """Return a right to every topic of the prefix, also one that does not exist yet."""
    return Right(kind="topic", name=f"{settings.prefix}.", operations=operations, prefixed=True)


def _writing_as(start: str) -> Right:
    """Return the right to write in transactions under every id that starts so."""
    return Right(kind="transactional-id", name=start, operations=("Write",), prefixed=True)


PROGRAMS: Mapping[str, Callable[[Settings, Topics], tuple[Right, ...]]] = {
    "topics": _topics,
    "recommender": _recommender,
    "encoder": _encoder,
    "trainer": _trainer,
    "operator": _operator,
    "analyst": _analyst,
    "doctor": _doctor,
    "dlq": _dlq,
    "producer": _producer,
    "reader": _reader,
}
