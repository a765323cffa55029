import math
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.errors import InvalidRecord
from stream_rec.record_fields import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_TIME_MS,
    decode_object,
    identifier,
    milliseconds,
    number,
    text,
)

Value = TypeVar("Value")


def outcome(read: Callable[[], Value]) -> Value | InvalidRecord:
    """What becomes of a field; any other exception fails the test."""
    try:
        return read()
    except InvalidRecord as error:
        return error


def test_seconds_milliseconds_microseconds_and_iso_times_mean_the_same() -> None:
    moment = 1763790285123
    for written in (
        1763790285.123,
        moment,
        moment * 1000,
        "2025-11-22T05:44:45.123Z",
        "2025-11-22T05:44:45.123+00:00",
        "2025-11-22T07:44:45.123+02:00",
        "2025-11-22T05:44:45.123",
        "1763790285.123",
        "1763790285123",
    ):
        assert milliseconds(written) == moment


@given(st.integers(min_value=100_000_000, max_value=99_999_999_999))
def test_every_time_from_1973_to_5138_is_read_in_each_unit(seconds: int) -> None:
    assert milliseconds(seconds) == seconds * 1000
    assert milliseconds(seconds * 1000) == seconds * 1000
    assert milliseconds(seconds * 1_000_000) == seconds * 1000


@pytest.mark.parametrize(
    "value",
    [
        -1, -(10**400), 10**400, 1e308, math.inf, -math.inf, math.nan, True, None, [], {}, "", "x",
        "nan", "1e999", "-5", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00",
    ],
)  # fmt: skip
def test_a_time_out_of_bounds_is_refused(value: object) -> None:
    with pytest.raises(InvalidRecord, match="when"):
        milliseconds(value, "when")


@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates()
)
def test_whatever_stands_for_a_time_gives_milliseconds_or_a_reason(value: object) -> None:
    found = outcome(lambda: milliseconds(value))
    if isinstance(found, InvalidRecord):
        assert "timestamp" in found.reason
    else:
        assert 0 <= found <= MAX_TIME_MS


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_whatever_stands_for_a_number_gives_a_bounded_one_or_a_reason(value: object) -> None:
    found = outcome(lambda: number({"n": value}, "n", bound=100.0))
    if isinstance(found, InvalidRecord):
        assert found.reason.startswith("n ")
    else:
        assert found is None or -100.0 <= found <= 100.0


@given(st.none() | st.booleans() | st.integers() | st.text())
def test_an_identifier_is_printable_and_at_most_256_characters(value: object) -> None:
    found = outcome(lambda: identifier({"id": value}, "id"))
    if isinstance(found, InvalidRecord):
        assert found.stage == "validate"
    else:
        assert found == value
        assert found.isprintable()
        assert 1 <= len(found) <= 256
        found.encode()


def test_only_a_field_without_a_value_takes_the_default() -> None:
    assert identifier({}, "id", "d") == identifier({"id": None}, "id", "d") == "d"
    with pytest.raises(InvalidRecord):
        identifier({"id": ""}, "id", "d")


def test_a_text_may_be_absent_but_nothing_else() -> None:
    assert text({}, "t") is None
    assert text({"t": ""}, "t") == ""
    with pytest.raises(InvalidRecord, match="t must be text, not int"):
        text({"t": 1}, "t")


def test_the_length_of_a_body_is_checked_before_it_is_parsed() -> None:
    body = b'{"a": "' + b"x" * (MAX_BODY_BYTES - 9) + b'"}'
    assert len(decode_object(body)["a"]) == MAX_BODY_BYTES - 9
    with pytest.raises(InvalidRecord, match="exceed the bound"):
        decode_object(body.replace(b"x", b"xx", 1))


@pytest.mark.parametrize(("depth", "fits"), [(MAX_DEPTH - 1, True), (MAX_DEPTH, False)])
def test_nesting_is_bounded(depth: int, fits: bool) -> None:
    body = b'{"a": ' + b"[" * depth + b"]" * depth + b"}"
    if fits:
        assert decode_object(body)
    else:
        with pytest.raises(InvalidRecord, match="nested"):
            decode_object(body)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(decode_object(b'{"a": [' + b"[]," * 500 + b"[]]}")["a"]) == 501


def test_a_name_inside_of_a_value_is_not_a_field_twice() -> None:
    body = b'{"user_id": "u", "properties": {"user_id": "v"}}'
    assert decode_object(body, unique=(b'"user_id"',))["user_id"] == "u"
    with pytest.raises(InvalidRecord, match="twice"):
        decode_object(b'{"user_id": "u", "user_id": "v"}', unique=(b'"user_id"',))
