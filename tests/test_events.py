import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.errors import InvalidRecord
from stream_rec.events import DAY_MS, Event, Kind, parse_event
from tests.poison import poisoned

# The examples of the public contract, word for word.
CLICK = b"""
{"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i9", "timestamp": 1763790285123,
 "scenario": "default", "session_id": "s1", "value": 1.0, "recommendation_id": "r7", "position": 3, "properties": {}}
"""  # noqa: E501
REVIEW = b"""
{"event_id": "e2", "event_type": "review", "user_id": "u1", "item_id": "i9", "timestamp": 1763790299000,
 "rating": 2, "title": "Loud", "text": "Great picture, but the fan is unbearable.", "scenario": "default"}
"""  # noqa: E501
WHOLE = {**msgspec.json.decode(CLICK), **msgspec.json.decode(REVIEW)}
POISON = poisoned(WHOLE)
LEAST = {"user_id": "u1", "item_id": "i9", "timestamp": 1763790285123}


def parsed(
    record: dict[str, object], *, kind: Kind = "click", append_ms: int | None = None
) -> Event:
    key = str(record.get("user_id")).encode()
    return parse_event(
        msgspec.json.encode(record), key=key, kind=kind, source="clicks-3-17", append_ms=append_ms
    )


def outcome(body: bytes | None) -> Event | InvalidRecord:
    """What becomes of a body; any other exception fails the test."""
    try:
        return parse_event(body, key=b"u1", kind="click", source="s")
    except InvalidRecord as error:
        return error


def test_the_contracts_click_is_read_field_by_field() -> None:
    event = parse_event(CLICK, key=b"u1", kind="click", source="s")
    assert event == Event(
        event_id="e1",
        event_type="click",
        user_id="u1",
        item_id="i9",
        timestamp=1763790285123,
        session_id="s1",
        value=1.0,
        recommendation_id="r7",
        position=3,
    )


def test_the_contracts_review_is_read_field_by_field() -> None:
    event = parse_event(REVIEW, key=b"u1", kind="review", source="s")
    assert (event.event_type, event.rating, event.scenario) == ("review", 2.0, "default")
    assert event.words == "Loud. Great picture, but the fan is unbearable."


@pytest.mark.parametrize("name", POISON)
def test_poison_ends_in_a_reason_or_in_a_valid_event(name: str) -> None:
    event = outcome(POISON[name])
    if isinstance(event, InvalidRecord):
        assert event.reason
        assert event.stage in {"decode", "validate", "key"}
    else:
        # What was accepted can be written down and read again.
        assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(event)), Event) == event
        assert 1 <= len(event.user_id) <= 256
        assert 0 <= event.timestamp < 253_370_764_800_000


@pytest.mark.parametrize(
    "name", ["no value", "100k brackets", "UTF-16", "byte order mark", "list", "two megabytes"]
)
def test_a_body_that_is_no_json_object_of_bounded_size_is_refused(name: str) -> None:
    with pytest.raises(InvalidRecord):
        parse_event(POISON[name], key=b"u1", kind="click", source="s")


@pytest.mark.parametrize("field", ["user_id", "item_id", "timestamp", "event_id", "rating"])
def test_a_field_that_stands_twice_is_refused(field: str) -> None:
    with pytest.raises(InvalidRecord, match="twice"):
        parse_event(POISON[f"{field}: twice"], key=b"u1", kind="click", source="s")


@pytest.mark.parametrize("field", ["user_id", "item_id", "timestamp"])
def test_a_required_field_must_be_there(field: str) -> None:
    with pytest.raises(InvalidRecord, match=field):
        parsed({name: value for name, value in LEAST.items() if name != field})


def test_the_key_must_be_the_user() -> None:
    body = msgspec.json.encode(LEAST)
    with pytest.raises(InvalidRecord, match="no key") as refused:
        parse_event(body, key=None, kind="click", source="s")
    assert refused.value.stage == "key"
    with pytest.raises(InvalidRecord, match="not its user_id"):
        parse_event(body, key=b"u2", kind="click", source="s")


@pytest.mark.parametrize("user_id", ["*", "", "a" * 257, "u\u202e1", "u\u200b1", "u\n1", 7, True])
def test_a_user_id_must_be_a_printable_name_of_one_user(user_id: object) -> None:
    with pytest.raises(InvalidRecord):
        parsed(LEAST | {"user_id": user_id})


@pytest.mark.parametrize("scenario", ["a/b", "*", "", 3])
def test_a_scenario_must_fit_into_a_list_key(scenario: object) -> None:
    with pytest.raises(InvalidRecord):
        parsed(LEAST | {"scenario": scenario})


def test_an_event_without_a_type_or_an_id_takes_them_from_its_topic() -> None:
    assert parsed(LEAST).event_type == "click"
    assert parsed(LEAST, kind="review").event_type == "review"
    assert parsed(LEAST).event_id == "clicks-3-17"


def test_any_other_event_type_is_kept_under_its_name() -> None:
    assert parsed(LEAST | {"event_type": "play_minute"}).event_type == "play_minute"


def test_an_event_more_than_a_day_ahead_of_its_append_time_is_refused() -> None:
    append_ms = 1763790285123 - DAY_MS
    assert parsed(LEAST, append_ms=append_ms).timestamp == 1763790285123
    with pytest.raises(InvalidRecord, match="ahead"):
        parsed(LEAST, append_ms=append_ms - 1)


def test_unknown_fields_are_kept_beside_the_properties() -> None:
    event = parsed(LEAST | {"device": "phone", "properties": {"page": 2}})
    assert event.properties == {"page": 2, "device": "phone"}
    assert parsed(LEAST | {"properties": "none"}).properties == {}


@pytest.mark.parametrize(("written", "read"), [("2", 2.0), (" 4.5 ", 4.5), (5, 5.0), (None, None)])
def test_a_rating_may_be_a_number_in_words(written: object, read: float | None) -> None:
    assert parsed(LEAST | {"rating": written}).rating == read


@pytest.mark.parametrize("rating", [True, "good", "nan", "inf", 1e7, [4]])
def test_a_rating_that_is_no_bounded_number_is_refused(rating: object) -> None:
    with pytest.raises(InvalidRecord, match="rating"):
        parsed(LEAST | {"rating": rating})


@pytest.mark.parametrize(
    ("event_type", "consuming"),
    [
        ("click", True),
        ("purchase", True),
        ("review", True),
        ("play_minute", True),
        ("impression", False),
        ("skip", False),
        ("dislike", False),
        ("hide", False),
    ],
)
def test_seeing_and_refusing_are_not_consuming(event_type: str, consuming: bool) -> None:
    assert parsed(LEAST | {"event_type": event_type}).consuming is consuming


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(record=st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE, values)))
def test_any_json_object_ends_in_a_reason_or_in_a_valid_event(record: dict[str, object]) -> None:
    try:
        body = msgspec.json.encode(record)
    except UnicodeEncodeError:  # a text that no producer can write
        return
    event = outcome(body)
    assert event.reason if isinstance(event, InvalidRecord) else event.user_id == "u1"


@given(body=st.binary(max_size=200))
def test_any_bytes_end_in_a_reason(body: bytes) -> None:
    with pytest.raises(InvalidRecord):
        parse_event(body, key=b"u1", kind="click", source="s")
