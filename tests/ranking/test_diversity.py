import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_rec.experts.views import TEXT
from stream_rec.items import Item
from stream_rec.ranking.diversity import likeness, varied
from tests.ranking.shop import shop

RIDGE = 1e-3


def random_case(seed: int, count: int = 12) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.sort(rng.normal(size=count))[::-1].copy(), vectors @ vectors.T


def greedy_by_determinants(
    scores: NDArray[np.float64], alike: NDArray[np.float64], size: int, strength: float
) -> list[int]:
    """The same choice from the definition: the most score and volume, item by item."""
    kernel, taken = alike + RIDGE * np.eye(len(scores)), list[int]()
    for _ in range(size):
        volume = np.linalg.slogdet(kernel[np.ix_(taken, taken)])[1] if taken else 0.0
        best, most = -1, -np.inf
        for item in set(range(len(scores))) - set(taken):
            wider = [*taken, item]
            gained = np.linalg.slogdet(kernel[np.ix_(wider, wider)])[1] - volume
            worth = (1 - strength) * scores[item] + strength * max(gained, np.log(RIDGE))
            if worth > most:
                best, most = item, worth
        taken.append(best)
    return sorted(taken)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(0.05, 0.95))
def test_the_fast_choice_is_the_greedy_one_by_determinants(
    seed: int, size: int, strength: float
) -> None:
    scores, alike = random_case(seed)
    found = varied(scores, alike, size=size, strength=strength)
    assert found.tolist() == greedy_by_determinants(scores, alike, size, strength)


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_strength_zero_changes_nothing(seed: int, size: int) -> None:
    scores, alike = random_case(seed)
    found = varied(scores, alike, size=size, strength=0.0)
    assert found.tolist() == list(range(min(size, 12)))


@given(st.integers(0, 10_000), st.integers(1, 12), st.floats(0, 1))
def test_a_choice_has_its_size_no_item_twice_and_the_order_of_scores(
    seed: int, size: int, strength: float
) -> None:
    scores, alike = random_case(seed)
    found = varied(scores, alike, size=size, strength=strength).tolist()
    assert len(found) == size
    assert found == sorted(set(found))


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_twins_are_listed_only_when_nothing_else_is_left(strength: float) -> None:
    alike = np.eye(4)
    alike[0, 1] = alike[1, 0] = 1.0
    scores = np.log([0.4, 0.3, 0.2, 0.1])
    assert varied(scores, alike, size=3, strength=strength).tolist() == [0, 2, 3]
    assert varied(scores, alike, size=4, strength=strength).tolist() == [0, 1, 2, 3]


def test_more_strength_makes_the_list_span_more() -> None:
    volumes = []
    for strength in (0.0, 0.3, 0.6, 0.9):
        total = 0.0
        for seed in range(20):
            scores, alike = random_case(seed, 30)
            chosen = varied(scores, alike, size=5, strength=strength)
            total += float(np.linalg.slogdet(alike[np.ix_(chosen, chosen)] + RIDGE * np.eye(5))[1])
        volumes.append(total / 20)
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[0] + 1.0


def test_likeness_is_the_cosine_of_the_vectors() -> None:
    replica = shop(3)
    rows = np.arange(9, dtype=np.int32)
    alike = likeness(rows, replica.vectors[TEXT], replica.catalogue)
    assert np.allclose(alike, alike.T, atol=1e-6)
    assert np.allclose(np.diag(alike), 1.0)
    assert alike[0, 1] > 0.7  # two monitors
    assert alike[0, 3] < 0.3  # a monitor and a novel


def test_without_vectors_likeness_is_the_share_of_common_labels() -> None:
    replica = shop(5, vectors=False)
    rows = replica.items.rows(["monitor-0", "monitor-4", "monitor-1", "novel-0", "novel-1"])
    alike = likeness(rows, None, replica.catalogue)
    assert alike[0, 1] == pytest.approx(1.0)  # same kind, same mood
    assert alike[0, 2] == pytest.approx(2 / 4)  # same kind
    assert alike[0, 3] == pytest.approx(2 / 4)  # same mood
    assert alike[0, 4] == pytest.approx(1 / 5)  # goods, like everything


def test_an_item_without_a_vector_is_compared_by_labels() -> None:
    replica = shop(3)
    row = replica.catalogue.put(Item(item_id="new", categories=("novel", "goods"), tags=("loud",)))
    rows = np.array([row, replica.items.row("novel-1"), replica.items.row("kettle-2")], np.int32)
    alike = likeness(rows, replica.vectors[TEXT], replica.catalogue)
    assert alike[0, 1] == pytest.approx(1.0)
    assert alike[0, 2] == pytest.approx(1 / 5)
    assert alike[1, 2] != pytest.approx(1 / 5)
