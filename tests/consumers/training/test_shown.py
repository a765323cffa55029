"""What was taken is joined to the list shown before it, and a lasting fall is noticed."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from consumers.training.shown import MOST_LISTS, Shown
from stream_rec.events import Event


def shown(user: str, items: list[str], at: int, scenario: str = "default") -> Any:
    body = {"generated_at": at, "items": [{"item_id": i, "rank": 1} for i in items], "tier": "lm"}
    return SimpleNamespace(key=f"{scenario}/{user}".encode(), value=json.dumps(body).encode())


def taken(user: str, item: str, at: int = 1) -> Event:
    return Event(event_id=f"{at}", event_type="click", user_id=user, item_id=item, timestamp=at)


def test_event_is_joined_to_the_list_that_stood_before_it() -> None:
    lists = Shown()
    assert lists.take_event(taken("u", "a"), 5)[0] == "no list"
    lists.take_list(shown("u", ["a", "b"], 10))
    lists.take_list(shown("u", ["c"], 20))  # made of the event below, and read before it
    assert lists.take_event(taken("u", "a"), 15)[0] == "in the list"
    assert lists.take_event(taken("u", "a"), 25)[0] == "not in the list"
    assert lists.take_event(taken("u", "c"), 25)[0] == "in the list"
    assert lists.take_event(taken("w", "c"), 25)[0] == "no list"


def test_withdrawn_torn_and_too_many_lists_are_no_lists() -> None:
    lists = Shown()
    lists.take_list(shown("u", ["a"], 1))
    gone = shown("u", ["a"], 1)
    gone.value = None
    lists.take_list(gone)
    lists.take_list(SimpleNamespace(key=b"default/u", value=b'{"items": '))
    assert lists.take_event(taken("u", "a"), 5)[0] == "no list"
    for number in range(MOST_LISTS + 10):
        lists.take_list(shown(f"u{number}", ["a"], 1))
    assert lists.take_event(taken("u5", "a"), 5)[0] == "no list"
    assert lists.take_event(taken(f"u{MOST_LISTS}", "a"), 5)[0] == "in the list"


def alarms(hit_rates: list[float], *, events: int = 2_000) -> list[int]:
    """Return the events at which lists were found to have got worse."""
    rng, lists, found, number = np.random.default_rng(3), Shown(), [], 0
    lists.take_list(shown("u", ["liked"], 0))
    for rate in hit_rates:
        for _ in range(events):
            number += 1
            item = "liked" if rng.random() < rate else f"i{rng.integers(10_000)}"
            if lists.take_event(taken("u", item, number), number + 1)[1]:
                found.append(number)
    return found


def test_lists_that_stop_fitting_are_noticed_and_others_are_not() -> None:
    # The reference knows the item as well while it is taken often; the lists must lose to it.
    assert alarms([0.0, 0.0]) == []
    rng, lists, found = np.random.default_rng(4), Shown(), []
    for number in range(1, 6_000):
        good = number < 3_000
        lists.take_list(shown("u", [f"n{number % 500}" if good else "never"], number))
        item = f"n{number % 500}" if rng.random() < 0.3 else f"i{rng.integers(10_000)}"
        if lists.take_event(taken("u", item, number), number + 1)[1]:
            found.append(number)
    assert found
    assert 3_000 < found[0] < 3_600
