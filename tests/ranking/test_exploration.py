from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.errors import StateRejected
from stream_rec.events import Event
from stream_rec.ranking.draft import Drafting
from stream_rec.ranking.exploration import ARMS, Exploration, arms_of, best_chances
from tests.ranking.shop import NOW_MS, busy_shop, request


def event(recommendation_id: str | None, position: int | None, event_type: str = "click") -> Event:
    return Event(
        event_id="e",
        user_id="u",
        item_id="i",
        timestamp=1,
        event_type=event_type,
        recommendation_id=recommendation_id,
        position=position,
    )


@pytest.mark.parametrize(
    "posteriors",
    [
        [[0.5, 9.5], [3, 50], [10, 100], [0.5, 30]],
        [[1, 1], [1, 1], [1, 1]],
        [[200, 800], [210, 790], [0.5, 9.5]],
        [[0.5, 9.5]],
    ],
)
def test_chances_agree_with_thompson_sampling(posteriors: list[list[float]]) -> None:
    parameters = np.array(posteriors)
    draws = np.random.default_rng(3).beta(
        parameters[:, 0], parameters[:, 1], (200_000, len(parameters))
    )
    sampled = np.bincount(draws.argmax(1), minlength=len(parameters)) / len(draws)
    assert best_chances(parameters) == pytest.approx(sampled, abs=0.005)


def test_arms_tell_apart_how_much_is_known_and_how_high_an_item_is_put() -> None:
    arms = arms_of(np.array([0, 1, 4, 16, 0, 1, 4, 16]), np.array([0.0] * 4 + [1.0] * 4))
    assert arms.tolist() == list(range(ARMS))


def test_frequencies_of_items_at_places_match_the_propensities() -> None:
    replica = busy_shop()
    rng = np.random.default_rng(5)
    rows = np.arange(24, dtype=np.int32)
    logits = np.linspace(3, 0, 24).astype(np.float32)
    drafting = Drafting(replica, request(list={"size": 4, "exploration": 0.4}), NOW_MS)
    seen, stated = Counter[tuple[int, int]](), dict[tuple[int, int], float]()
    explored, rounds = 0, 6_000
    for _ in range(rounds):
        places = drafting.draft(rows, logits, rng)
        for at, place in enumerate(places):
            seen[at, place.row] += 1
            explored += place.arm >= 0
            assert stated.setdefault((at, place.row), place.propensity) == place.propensity
    assert explored / rounds / 4 == pytest.approx(0.4, abs=0.015)
    for where, propensity in stated.items():
        spread = 4.5 * np.sqrt(propensity * (1 - propensity) / rounds)
        assert seen[where] / rounds == pytest.approx(propensity, abs=spread), where
    for at in range(4):
        total = sum(propensity for (place, _), propensity in stated.items() if place == at)
        assert total == pytest.approx(1.0)


def test_an_explored_list_holds_no_item_twice_and_the_rest_stays_in_order() -> None:
    replica = busy_shop()
    rng = np.random.default_rng(6)
    rows = np.arange(36, dtype=np.int32)
    logits = np.linspace(3, 0, 36).astype(np.float32)
    drafting = Drafting(replica, request(list={"size": 10, "exploration": 0.5}), NOW_MS)
    for _ in range(200):
        places = drafting.draft(rows, logits, rng)
        assert len({place.row for place in places}) == 10
        kept = [(at, place.row) for at, place in enumerate(places) if place.arm < 0]
        assert all(at == row for at, row in kept)


def test_without_exploration_chance_is_not_asked() -> None:
    replica = busy_shop()
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    rows = np.arange(36, dtype=np.int32)
    places = Drafting(replica, request(), NOW_MS).draft(rows, np.zeros(36, np.float32), rng)
    assert rng.bit_generator.state == before
    assert all(place.propensity == 1.0 and place.arm < 0 for place in places)


def test_a_place_without_other_candidates_is_not_explored() -> None:
    replica = busy_shop()
    rows = np.arange(6, dtype=np.int32)
    drafting = Drafting(replica, request(list={"size": 4, "exploration": 1.0}), NOW_MS)
    places = drafting.draft(rows, np.zeros(6, np.float32), np.random.default_rng(1))
    assert [place.arm >= 0 for place in places] == [True, True, False, False]
    assert [place.propensity for place in places[2:]] == [1.0, 1.0]


def test_a_list_nobody_saw_teaches_nothing() -> None:
    exploration = Exploration()
    before = exploration.rates.copy()
    exploration.published("r1", {2: 0})
    exploration.learn(event("another", 2))
    exploration.learn(event(None, 2))
    assert (exploration.rates == before).all()


def test_a_seen_list_without_a_click_counts_against_its_arms_once() -> None:
    exploration = Exploration()
    before = exploration.rates.copy()
    exploration.published("r1", {2: 0, 5: 3})
    exploration.learn(event("r1", 1))  # another place of the list: it was seen
    once = exploration.rates.copy()
    assert (once[[0, 3]] < before[[0, 3]]).all()
    assert (once[[1, 2, 4, 5, 6, 7]] == before[[1, 2, 4, 5, 6, 7]]).all()
    exploration.learn(event("r1", 7))
    assert (exploration.rates == once).all()


def test_a_click_on_an_explored_place_counts_for_its_arm_once() -> None:
    exploration = Exploration()
    before = exploration.rates.copy()
    exploration.published("r1", {2: 0})
    exploration.learn(event("r1", 2))
    once = exploration.rates.copy()
    assert once[0] > before[0]
    exploration.learn(event("r1", 2, "purchase"))
    assert (exploration.rates == once).all()


@pytest.mark.parametrize("event_type", ["impression", "hide", "dislike", "skip"])
def test_seeing_or_refusing_an_explored_item_is_no_success(event_type: str) -> None:
    exploration = Exploration()
    before = exploration.rates.copy()
    exploration.published("r1", {2: 0})
    exploration.learn(event("r1", 2, event_type))
    assert exploration.rates[0] < before[0]


def test_what_is_clicked_is_explored_more() -> None:
    exploration = Exploration()
    places, scores, arms = np.arange(2), np.array([0.5, 0.5]), np.array([0, 5])
    assert exploration.slot(places, scores, arms).chances == pytest.approx([0.5, 0.5], abs=1e-6)
    for number in range(60):
        exploration.published(f"r{number}", {1: 0, 2: 5})
        exploration.learn(event(f"r{number}", 2 if number % 3 == 0 else 9))
    assert exploration.slot(places, scores, arms).chances[1] > 0.95
    assert exploration.rates[5] == pytest.approx(1 / 3, abs=0.08)


def test_within_an_arm_higher_scores_are_likelier() -> None:
    slot = Exploration().slot(np.arange(3), np.array([0.64, 0.04, 0.0]), np.array([1, 1, 1]))
    assert slot.chances == pytest.approx([0.8, 0.2, 0.0], abs=1e-4)


@given(
    st.lists(st.tuples(st.integers(0, ARMS - 1), st.floats(0, 1)), min_size=1, max_size=30),
    st.integers(0, 100),
)
def test_the_chances_of_a_slot_sum_to_one(found: list[tuple[int, float]], seed: int) -> None:
    arms, scores = (np.array(column) for column in zip(*found, strict=True))
    slot = Exploration().slot(np.arange(len(arms)), scores, arms)
    assert slot.chances.sum() == pytest.approx(1.0)
    assert 0 <= slot.drawn(np.random.default_rng(seed)) < len(arms)


def test_open_lists_are_bounded() -> None:
    exploration = Exploration()
    for number in range(5_000):
        exploration.published(f"r{number}", {1: 0})
    assert len(exploration._open) == 4096
    before = exploration.rates.copy()
    exploration.learn(event("r0", 1))  # forgotten
    assert (exploration.rates == before).all()


def test_a_list_without_explored_places_is_not_remembered() -> None:
    exploration = Exploration()
    exploration.published("r1", {})
    assert not exploration._open


def test_what_was_learned_is_read_as_it_was_written() -> None:
    exploration = Exploration()
    exploration.published("r1", {2: 0, 5: 3})
    exploration.published("r2", {1: 7})
    exploration.learn(event("r1", 2))
    again = Exploration.from_bytes(exploration.to_bytes())
    assert (again.rates == exploration.rates).all()
    assert again.to_bytes() == exploration.to_bytes()
    for one in (exploration, again):
        one.learn(event("r1", 5))
        one.learn(event("r2", 1))
    assert (again.rates == exploration.rates).all()


@pytest.mark.parametrize("state", [b"", b"\x93", b"not a state", b"\x80"])
def test_a_damaged_state_is_rejected(state: bytes) -> None:
    with pytest.raises(StateRejected):
        Exploration.from_bytes(state)


def test_an_arm_that_does_not_exist_is_rejected() -> None:
    exploration = Exploration()
    exploration.published("r1", {1: ARMS})
    with pytest.raises(StateRejected):
        Exploration.from_bytes(exploration.to_bytes())


def test_explorers_of_separate_users_add_up() -> None:
    parts = [Exploration(), Exploration()]
    for part in parts:
        part.published("r", {1: 2})
        part.learn(event("r", 1))
    merged = Exploration.merged(parts)
    assert merged._evidence[2].tolist() == [2.0, 0.0]
    assert parts[0]._evidence[2].tolist() == [1.0, 0.0]
