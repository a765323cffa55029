import logging
import sys

import pytest
from kafka.errors import KafkaTimeoutError

from consumers.telemetry.discreet_log import DiscreetFormatter
from stream_rec.errors import ConfigurationError, InvalidRecord

SECRET = "user-4711-wrote-this"


def fail(how: str) -> None:
    try:
        if how == "key":
            {}[SECRET]
        elif how == "number":
            int(SECRET)
        elif how == "record":
            raise InvalidRecord(SECRET)
        else:
            SECRET.encode().decode("utf-16" if how == "text" else how, "strict")
            raise ValueError(SECRET)
    except Exception as error:
        msg = "topic p.items at offset 7"
        raise ConfigurationError(msg) from error


def formatted() -> str:
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "it failed", (), sys.exc_info())
    return DiscreetFormatter("%(message)s").format(record)


@pytest.mark.parametrize("how", ["key", "number", "record", "text"])
def test_a_traceback_says_where_and_what_kind_but_not_on_whose_record(how: str) -> None:
    try:
        fail(how)
    except ConfigurationError:
        text = formatted()
    assert SECRET not in text
    assert "in fail" in text
    assert text.startswith("it failed\n")
    assert text.endswith("ConfigurationError: topic p.items at offset 7")
    assert "its words are left out" in text


def test_the_words_of_the_client_and_of_the_system_are_kept() -> None:
    for error in (KafkaTimeoutError("no broker"), OSError(28, "No space left on device")):
        try:
            raise error
        except Exception:
            assert str(error) in formatted()
