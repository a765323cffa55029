"""The checks of `stream-rec doctor`, in their order, each run on its own.

A check that cannot be made is itself a finding: what could not be looked at is not known to be
sound. Add a check here; it takes a look and yields findings.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from kafka.errors import KafkaError

from consumers.diagnosis import (
    catalogue_checks,
    clock_checks,
    encoding_checks,
    group_checks,
    key_checks,
    model_checks,
    partition_checks,
    right_checks,
    topic_settings,
    transaction_checks,
)
from consumers.diagnosis.finding import Finding, wrong
from consumers.diagnosis.look import Look
from stream_rec.errors import StreamRecError

Check = Callable[[Look], Iterable[Finding]]

CHECKS: Mapping[str, Check] = {
    "rights": right_checks.rights_suffice,
    "topics": partition_checks.topics_exist,
    "partitions": partition_checks.partitions_agree,
    "settings": topic_settings.settings_are_seen,
    "cleanup": topic_settings.cleanup_fits,
    "retention": topic_settings.retention_suffices,
    "record sizes": topic_settings.records_fit,
    "timestamps": topic_settings.events_are_stamped,
    "keys": key_checks.keys_are_in_their_partitions,
    "events": key_checks.keys_are_users,
    "catalogue": catalogue_checks.events_name_known_items,
    "clocks": clock_checks.clocks_agree,
    "producers' clocks": clock_checks.producers_clocks_agree,
    "producers' stamps": clock_checks.producers_stamps_are_past,
    "transactions": transaction_checks.transactions_end,
    "recommenders": group_checks.group_gets_on,
    "encoder": encoding_checks.texts_get_vectors,
    "model": model_checks.model_can_be_read,
    "adapters": model_checks.adapters_can_be_read,
}
"""Every check by its name; `model_checks.model_loads` comes last when it is asked for."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One check and what it found."""

    check: str
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.weight != "wrong" for finding in self.findings)


def examine(look: Look, checks: Mapping[str, Check] = CHECKS) -> list[Checked]:
    """Run the checks one after the other."""
    return [Checked(check=name, findings=_found(check, look)) for name, check in checks.items()]


def _found(check: Check, look: Look) -> list[Finding]:
    try:
        return list(check(look))
    except (KafkaError, StreamRecError) as error:
        text = f"this could not be checked: {type(error).__name__}: {error}"
        mend = "see the other findings first, above all missing rights; then look again"
        return [wrong("not_checked", look.settings.prefix, text, mend)]
