import hashlib
from dataclasses import replace

from consumers.kafka_io.dead_letters import (
    DeadLetter,
    attempts,
    dead_letter_record,
    marker_record,
    settled_offsets,
)

LETTER = DeadLetter(
    topic="p.events.clicks",
    partition=3,
    offset=41,
    key=b"u1",
    value=b"\xff{",
    stage="decode",
    error="InvalidRecord",
    reason="not JSON",
)


def headers(letter: DeadLetter, limit: int = 1_000_000) -> dict[str, bytes]:
    return dict(dead_letter_record(letter, limit=limit).headers)


def test_dead_letter_is_untouched_and_says_where_it_came_from_and_why() -> None:
    record = dead_letter_record(LETTER, limit=1_000_000)
    assert (record.topic, record.partition) == ("p.events.clicks.dlq", 3)
    assert (record.key, record.value) == (b"u1", b"\xff{")
    assert dict(record.headers) == {
        "stream_rec.errors.topic": b"p.events.clicks",
        "stream_rec.errors.partition": b"3",
        "stream_rec.errors.offset": b"41",
        "stream_rec.errors.stage": b"decode",
        "stream_rec.errors.exception.class.name": b"InvalidRecord",
        "stream_rec.errors.message": b"not JSON",
    }


def test_oversized_dead_letter_is_cut_and_names_the_digest_of_the_whole() -> None:
    whole = bytes(range(256)) * 4096
    letter = replace(LETTER, value=whole)
    record = dead_letter_record(letter, limit=100_000)
    assert record.value is not None
    assert len(record.value) < 100_000
    assert whole.startswith(record.value)
    found = dict(record.headers)
    assert found["stream_rec.errors.truncated.value.sha256"].decode() == (
        hashlib.sha256(whole).hexdigest()
    )
    assert found["stream_rec.errors.truncated.value.bytes"] == str(len(whole)).encode()


def test_oversized_key_leaves_room_for_the_value() -> None:
    record = dead_letter_record(replace(LETTER, key=b"k" * 90_000), limit=100_000)
    assert record.value == LETTER.value
    assert "stream_rec.errors.truncated.key.sha256" in dict(record.headers)


def test_record_without_key_and_value_can_still_be_sent() -> None:
    record = dead_letter_record(replace(LETTER, key=None, value=None), limit=100_000)
    assert record.value == b""
    assert dict(record.headers)["stream_rec.errors.null.value"] == b"true"


def test_reason_that_does_not_encode_is_escaped_and_bounded() -> None:
    message = headers(replace(LETTER, reason="\ud800" + "x" * 10_000))["stream_rec.errors.message"]
    assert message.startswith(b"\\ud800x")
    assert len(message) <= 2_048


def test_the_records_own_headers_stay_and_ours_of_an_earlier_failure_do_not() -> None:
    own = (("trace", b"7"), ("stream_rec.errors.stage", b"old"), ("stream_rec.retries", b"2"))
    found = dead_letter_record(replace(LETTER, headers=own), limit=100_000).headers
    assert [value for name, value in found if name == "stream_rec.errors.stage"] == [b"decode"]
    assert dict(found)["trace"] == b"7"
    assert dict(found)["stream_rec.retries"] == b"2"


def test_headers_beyond_their_room_are_left_out_and_counted_but_not_the_attempts() -> None:
    own = (("big", b"x" * 10_000), ("stream_rec.retries", b"1"))
    found = headers(replace(LETTER, headers=own))
    assert found["stream_rec.retries"] == b"1"
    assert found["stream_rec.errors.truncated.headers"] == b"1"
    assert "big" not in found


def test_a_marker_names_the_letters_it_settles_and_a_letter_settles_none() -> None:
    marker = marker_record("p.events.clicks.dlq", 3, [4, 9], "dropped")
    assert marker.value is None
    assert list(settled_offsets(marker.headers)) == [("dropped", 4), ("dropped", 9)]
    assert list(settled_offsets(dead_letter_record(LETTER, limit=100_000).headers)) == []


def test_a_count_of_attempts_that_is_none_says_never() -> None:
    for value in (None, b"", b"-1", b"many", b"9" * 5_000):
        assert attempts({"stream_rec.retries": value}) == 0
