"""The least rights of each program, by topic, group and transactional id, as brokers grant them.

What is written here is granted in a test, and nothing else, and the programs work; each right is
then taken away, and they say what is missing. Knows names, not how a broker is asked.
"""

from collections.abc import Iterable
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
    topics = Topics(settings.prefix)
    if program not in PROGRAMS:
        msg = f"{program!r} is none of {', '.join(PROGRAMS)}"
        raise ConfigurationError(msg)
    seen = Right(kind="topic", name=f"{settings.prefix}.", operations=("Describe",), prefixed=True)
    sources = (topics.clicks, topics.reviews, topics.erasures, topics.items, topics.policies)
    letters = tuple(topics.dead_letters(source) for source in sources)
    internal = (topics.accepted_policies, topics.vectors, topics.statistics, topics.rerankers)
    match program:
        case "topics":
            return (_creating(settings),)
        case "recommender":
            return (
                seen,
                *_on(("Read",), (*sources, *internal, topics.profiles, topics.adapters)),
                *_on(("Write",), (topics.recommendations, topics.profiles, topics.audit)),
                *_on(("Write",), (topics.accepted_policies, topics.statistics, topics.rerankers)),
                *_on(("Write",), letters),
                *_on(("DescribeConfigs",), (*sources, *letters)),
                *_on(("DescribeConfigs",), (topics.recommendations, topics.profiles)),
                Right(kind="group", name=settings.group_id, operations=("Read",)),
                Right(
                    kind="transactional-id",
                    name=f"{settings.prefix}-",
                    operations=("Write",),
                    prefixed=True,
                ),
            )
        case "encoder":
            return (
                seen,
                *_on(("Read",), (topics.items, topics.reviews, topics.adapters)),
                *_on(("Read", "Write"), (topics.vectors,)),
            )
        case "operator":
            reads = (topics.recommendations, topics.items, topics.audit, topics.adapters)
            return (
                *_on(("Read",), (*reads, topics.profiles, topics.accepted_policies, *letters)),
                *_on(("Write",), (topics.policies, topics.erasures)),
                *_on(("DescribeConfigs",), (topics.recommendations, topics.profiles)),
            )
        case "producer":
            return _on(("Write",), (topics.clicks, topics.reviews, topics.erasures, topics.items))
        case _:
            return _on(("Read",), (topics.recommendations,))


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


def _on(operations: tuple[str, ...], names: Iterable[str]) -> tuple[Right, ...]:
    return tuple(Right(kind="topic", name=name, operations=operations) for name in names)


def _creating(settings: Settings) -> Right:
    operations = ("Create", "Describe")
    return Right(kind="topic", name=f"{settings.prefix}.", operations=operations, prefixed=True)


PROGRAMS = ("topics", "recommender", "encoder", "trainer", "operator", "producer", "reader")
