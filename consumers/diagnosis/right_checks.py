"""May the programs do what they must? Asked as the user whom the settings name.

Brokers say which operations a user has on each topic and group, so nothing is tried. What a
program needs is in `consumers/kafka_io/rights.py`.
"""

from collections.abc import Iterator, Mapping

from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TransactionalIdAuthorizationFailedError,
)

from consumers.diagnosis.finding import Finding, few, wrong
from consumers.diagnosis.look import Look, is_denied
from consumers.kafka_io.rights import Right, least_rights


def rights_suffice(look: Look) -> Iterator[Finding]:
    """Compare the rights of this user with what the programs asked about need."""
    user = look.settings.security.sasl_username or look.settings.security.security_protocol
    for program in look.programs:
        missing: dict[str, list[str]] = {}
        for right in least_rights(program, look.settings):
            for operation, names in _missing(look, right).items():
                missing.setdefault(operation, []).extend(names)
        for operation, names in missing.items():
            short = sorted(set(names))
            text = f"{user} has no right to {operation} on {few(short)}"
            mend = (
                f"give it with kafka-acls: `--allow-principal User:{user} --operation {operation}`"
            )
            finding = wrong("missing_right", program, text, mend)
            yield finding


def _missing(look: Look, right: Right) -> Mapping[str, list[str]]:
    """Return the resources of a right on which an operation is missing, by operation."""
    match right.kind:
        case "topic":
            return _of_topics(look, right)
        case "group":
            return _of_group(look, right)
        case "transactional-id":
            return _of_transactional_id(look, right)
        case _:
            return {}


def _of_topics(look: Look, right: Right) -> Mapping[str, list[str]]:
    missing: dict[str, list[str]] = {}
    for name, topic in look.described.items():
        meant = name.startswith(right.name) if right.prefixed else name == right.name
        if not meant or (name not in look.counts and not is_denied(topic)):
            continue
        may = set[str]() if is_denied(topic) else _plain(topic["authorized_operations"])
        for operation in right.operations:
            if operation.upper() not in may:
                missing.setdefault(operation, []).append(name)
    return missing


def _of_group(look: Look, right: Right) -> Mapping[str, list[str]]:
    try:
        group = look.client.describe_groups([right.name])[right.name]
    except GroupAuthorizationFailedError:
        return {name: [right.name] for name in right.operations}
    except KafkaError:
        return {}
    if group["error"] and "Authorization" in group["error"]:
        return {name: [right.name] for name in right.operations}
    may = _plain(group.get("authorized_operations"))
    return {name: [right.name] for name in right.operations if may and name.upper() not in may}


def _of_transactional_id(look: Look, right: Right) -> Mapping[str, list[str]]:
    """A user who may write with an id may see it; one who may not see it may not write."""
    asked = f"{right.name}0-doctor" if right.prefixed else right.name
    try:
        look.client.describe_transactions([asked])
    except (TransactionalIdAuthorizationFailedError, ClusterAuthorizationFailedError):
        return {name: [f"the transactional id {right.name}*"] for name in right.operations}
    except KafkaError:  # not known, as it should be: this user may see it
        return {}
    return {}


def _plain(names: list[str] | None) -> set[str]:
    """Return names of operations without underscores, to compare them with those of a right."""
    return {name.replace("_", "") for name in names or ()}
