"""Examples: only the past is context, only wanted items count."""

import numpy as np

from stream_rec.language_model.next_item_examples import (
    how_much_taken,
    next_items,
    user_vectors,
)
from stream_rec.language_model.replay_buffer import Feedback

ROWS = {"a": 0, "b": 1, "c": 2, "d": 3}


def history(user: str, *taken: tuple[str, int, float]) -> list[Feedback]:
    return [
        Feedback(user_id=user, item_id=item, timestamp=at, weight=weight)
        for item, at, weight in taken
    ]


def test_context_is_what_came_before_newest_first() -> None:
    found = next_items({"u": history("u", ("a", 1, 1), ("b", 2, 1), ("c", 3, 2))}, ROWS, length=2)
    assert found.target.tolist() == [1, 2]
    assert found.context.tolist() == [[0, -1], [1, 0]]
    assert found.weight.tolist() == [1, 2]


def test_item_is_taken_as_much_as_the_examples_it_is_in_weigh() -> None:
    found = next_items({"u": history("u", ("a", 1, 1), ("b", 2, 1), ("c", 3, 2))}, ROWS)
    assert how_much_taken(found, 4).tolist() == [1 + 2, 1 + 2, 2, 0]


def test_context_keeps_only_the_newest() -> None:
    taken = [(item, at, 1.0) for at, item in enumerate("abcd")]
    assert next_items({"u": history("u", *taken)}, ROWS, length=2).context[-1].tolist() == [2, 1]


def test_disliked_and_unknown_items_take_no_part() -> None:
    found = next_items(
        {"u": history("u", ("a", 1, 1), ("b", 2, -1), ("x", 3, 1), ("c", 4, 1))}, ROWS
    )
    assert found.target.tolist() == [2]
    assert found.context[0, :2].tolist() == [0, -1]


def test_examples_are_in_order_of_time_over_all_users() -> None:
    found = next_items(
        {
            "u": history("u", ("a", 1, 1), ("b", 9, 1)),
            "v": history("v", ("c", 2, 1), ("d", 5, 1)),
        },
        ROWS,
    )
    assert found.timestamp.tolist() == [5, 9]
    older, newest = found.split_newest(0.5)
    assert (older.target.tolist(), newest.target.tolist()) == ([3], [1])


def test_no_history_gives_no_examples() -> None:
    found = next_items({}, ROWS, length=4)
    assert len(found) == 0
    assert found.context.shape == (0, 4)


def test_user_without_known_items_is_nowhere() -> None:
    assert not user_vectors(
        np.eye(2, dtype=np.float32), np.array([[-1, -1]]), np.ones(2, np.float32)
    ).any()
