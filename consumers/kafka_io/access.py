"""What the brokers do not let this user do: asked before the work starts, and told in one line.

Brokers say which operations a user has on each topic and group, so nothing is tried. A program
that lacks a right must not start: a refused write hangs in its transaction, and starting again
helps nobody. `rights.py` says what each program needs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.errors import (
    AuthorizationError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)

from consumers.kafka_io.first_contact import user_of
from consumers.kafka_io.rights import PROGRAMS, Right, least_rights, merged
from consumers.kafka_io.topics import Topics, plans
from consumers.settings import Settings
from stream_rec.errors import AccessDenied, BrokerUnavailable


def check_rights(client: KafkaAdminClient, program: str, settings: Settings) -> None:
    """Return when this user may do all that a program does.

    Raises:
        AccessDenied: naming everything that is missing.
    """
    if lacking := missing_rights(client, least_rights(program, settings), settings):
        raise AccessDenied(_worded(lacking, program, settings))


def missing_rights(
    client: KafkaAdminClient, rights: Iterable[Right], settings: Settings
) -> tuple[Right, ...]:
    """Return those of `rights` that this user lacks, each with the operations that are missing."""
    wanted = merged(rights)
    allowed = _allowed_on_topics(client, wanted, settings)
    missing = []
    for right in wanted:
        match right.kind:
            case "topic":
                may = _least(allowed, right)
            case "group":
                may = _allowed_on_group(client, right)
            case "transactional-id":
                may = _allowed_on_transactional_id(client, right)
            case _:
                may = None
        lacking = tuple(name for name in right.operations if may is not None and name not in may)
        if lacking:
            kind, prefixed = right.kind, right.prefixed
            missing.append(Right(kind=kind, name=right.name, prefixed=prefixed, operations=lacking))
    return tuple(missing)


def denied(error: BaseException, settings: Settings, program: str) -> AccessDenied | None:
    """Return the one line about a refusal by the brokers; None when `error` is none.

    The client wraps some refusals in errors without a type, so names in the text count too.
    """
    refused = next((part for part in _chain(error) if is_refusal(part)), None)
    if refused is None:
        return None
    if isinstance(refused, AccessDenied):
        return refused
    if isinstance(refused, TopicAuthorizationFailedError):
        rights = [
            right
            for right in merged(least_rights(program, settings))
            if right.kind == "topic" and f"{right.name}'" in f"{refused}'".replace("}", "'")
        ]
        if rights:
            return AccessDenied(_worded(rights, program, settings))
    what = str(refused).partition("] ")[2] or str(refused)
    if "InitProducerId" in str(refused):
        what = "it may not write to any topic"
    msg = f"the brokers refuse {user_of(settings.security)}: {what[:200]}; {_advice(program)}"
    return AccessDenied(msg)


@contextmanager
def refusals_told(settings: Settings, program: str) -> Iterator[None]:
    """Turn the brokers' refusals of what is done inside into one line.

    Raises:
        AccessDenied: naming what to grant.
    """
    try:
        yield
    except (KafkaError, BrokerUnavailable) as error:
        if (told := denied(error, settings, program)) is None:
            raise
        raise told from error


def is_refusal(error: BaseException) -> bool:
    """Say whether the brokers do not let this user do something; waiting does not mend that.

    >>> is_refusal(TopicAuthorizationFailedError({"shop.items"}))
    True
    """
    return isinstance(error, AuthorizationError | AccessDenied) or (
        isinstance(error, KafkaError) and "AuthorizationFailed" in str(error)
    )


def _worded(rights: Sequence[Right], program: str, settings: Settings) -> str:
    by_operation: dict[str, list[str]] = {}
    for right in rights:
        star = "*" if right.prefixed else ""
        for operation in right.operations:
            by_operation.setdefault(operation, []).append(f"{right.kind} {right.name}{star}")
    parts = []
    for operation, names in by_operation.items():
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        parts.append(f"{operation} on {', '.join(names[:MOST_NAMED])}{more}")
    user = user_of(settings.security)
    return f"the brokers do not let {user} {'; '.join(parts)}: {_advice(program)}"


def _advice(program: str) -> str:
    return f"`stream-rec rights {program}` prints what to grant" if program in PROGRAMS else ""


def _allowed_on_topics(
    client: KafkaAdminClient, rights: Iterable[Right], settings: Settings
) -> Mapping[str, frozenset[str] | None]:
    """Return the operations allowed on every topic of ours; None: the brokers do not say."""
    names = set(plans(Topics(settings.prefix), settings.partitions))
    names |= {right.name for right in rights if right.kind == "topic" and not right.prefixed}
    found: dict[str, frozenset[str] | None] = {}
    for topic in client.describe_topics(sorted(names)):
        if topic["error_code"] == TopicAuthorizationFailedError.errno:
            found[topic["name"]] = frozenset()
        else:
            found[topic["name"]] = _operations(topic["authorized_operations"])
    return found


def _least(allowed: Mapping[str, frozenset[str] | None], right: Right) -> frozenset[str] | None:
    if not right.prefixed:
        return allowed.get(right.name)
    sets = [may for name, may in allowed.items() if name.startswith(right.name) and may is not None]
    return frozenset.intersection(*sets) if sets else None


def _allowed_on_group(client: KafkaAdminClient, right: Right) -> frozenset[str] | None:
    try:
        group = client.describe_groups([right.name], include_authorized_operations=True)
    except GroupAuthorizationFailedError:
        return frozenset()
    except KafkaError:  # nobody coordinates groups yet; joining will tell
        return None
    told = group[right.name]
    if GroupAuthorizationFailedError.__name__ in str(told.get("error")):
        return frozenset()
    return _operations(told.get("authorized_operations"))


def _allowed_on_transactional_id(client: KafkaAdminClient, right: Right) -> frozenset[str] | None:
    """Say that nothing is allowed where even looking is not; a Write brings the looking along."""
    try:
        client.describe_transactions([f"{right.name}0" if right.prefixed else right.name])
    except TransactionalIdAuthorizationFailedError:
        return frozenset()
    except KafkaError:
        return None
    return None


def _operations(names: Iterable[str] | None) -> frozenset[str] | None:
    """Turn `DESCRIBE_CONFIGS` into `DescribeConfigs`; nothing at all means that it is not told."""
    found = frozenset(name.title().replace("_", "") for name in names or ())
    return found or None


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


MOST_NAMED = 4
