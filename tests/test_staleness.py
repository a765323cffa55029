from stream_rec.events import DAY_MS
from stream_rec.staleness import Place, Staleness

NOW = 10 * DAY_MS


def place(number: int, partition: int = 0) -> Place:
    return Place(partition, f"u{number}", "default")


def queue_of(*made: tuple[int, int], earned: float = 2.0, most: int = 1000) -> Staleness:
    """A queue with the list of u0, u1, … made and active at the given times."""
    queue = Staleness(earned=earned, most=most)
    for number, (generated_ms, active_ms) in enumerate(made):
        queue.published(place(number), generated_ms=generated_ms, active_ms=active_ms)
    return queue


def test_the_list_made_longest_ago_comes_first_and_leaves_the_queue() -> None:
    queue = queue_of((1, NOW), (2, NOW), (3, NOW))
    queue.published(place(0), generated_ms=4, active_ms=NOW)
    queue.grant(5)
    assert queue.stalest(2, stream_ms=NOW, overdue_ms=0) == [place(1), place(2)]
    assert queue.stalest(2, stream_ms=NOW, overdue_ms=0) == [place(0)]
    assert len(queue) == 0


def test_without_events_nothing_is_made_again() -> None:
    queue = queue_of((1, NOW), (2, NOW))
    assert queue.stalest(2, stream_ms=NOW, overdue_ms=0) == []
    assert len(queue) == 2


def test_each_event_earns_its_refreshes_up_to_a_store() -> None:
    queue = queue_of(*[(number, NOW) for number in range(20)], earned=2.0, most=5)
    queue.grant(1)
    assert len(queue.stalest(20, stream_ms=NOW, overdue_ms=0)) == 2
    queue.grant(1000)
    assert len(queue.stalest(20, stream_ms=NOW, overdue_ms=0)) == 5


def test_a_fraction_of_a_refresh_is_saved_up() -> None:
    queue = queue_of((1, NOW), (2, NOW), earned=0.5)
    queue.grant(1)
    assert queue.stalest(2, stream_ms=NOW, overdue_ms=0) == []
    queue.grant(1)
    assert queue.stalest(2, stream_ms=NOW, overdue_ms=0) == [place(0)]


def test_an_overdue_list_needs_no_event() -> None:
    queue = queue_of((1, NOW), (2, NOW), (9, NOW))
    assert queue.stalest(5, stream_ms=NOW, overdue_ms=3) == [place(0), place(1)]


def test_users_idle_for_a_day_of_stream_time_are_dropped() -> None:
    queue = queue_of((1, NOW - DAY_MS - 1), (2, NOW - DAY_MS), (3, NOW))
    queue.grant(10)
    assert queue.stalest(5, stream_ms=NOW, overdue_ms=0) == [place(1), place(2)]
    assert len(queue) == 0


def test_lists_of_a_partition_that_is_gone_are_forgotten() -> None:
    queue = queue_of((1, NOW))
    queue.published(place(7, partition=3), generated_ms=2, active_ms=NOW)
    queue.grant(10)
    queue.forget_partition(0)
    assert queue.stalest(5, stream_ms=NOW, overdue_ms=0) == [place(7, partition=3)]
