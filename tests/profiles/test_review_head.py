import math

import numpy as np
import pytest

from stream_rec.errors import StateRejected
from stream_rec.profiles.review_head import ReviewHead

NEUTRAL = 3.0


def taught(reviews: int, seed: int = 0, dimension: int = 8) -> tuple[ReviewHead, float]:
    """Teach a head whose reviews are favourable along one axis; return its accuracy on the last."""
    rng = np.random.default_rng(seed)
    head, right = ReviewHead(dimension), []
    for _ in range(reviews):
        vector = rng.normal(size=dimension).astype(np.float32)
        vector /= np.linalg.norm(vector)
        favourable = vector[0] > 0
        right.append((head.predict(vector, None).sentiment > 0) == favourable)
        head.learn(vector, None, 5.0 if favourable else 1.0, neutral=NEUTRAL)
    return head, float(np.mean(right[-200:]))


def test_before_anything_is_learned_the_word_models_verdict_stands() -> None:
    head = ReviewHead(4)
    for said in (-0.9, -0.2, 0.0, 0.7):
        verdict = head.predict(np.ones(4, np.float32) / 2, said)
        assert verdict.sentiment == pytest.approx(said)
        assert verdict.rating is None


def test_what_the_vector_says_is_learned_in_some_hundred_reviews() -> None:
    assert taught(600)[1] > 0.93


def test_a_vector_that_says_nothing_does_not_drown_the_word_model() -> None:
    rng, head, wrong = np.random.default_rng(1), ReviewHead(64), 0
    for number in range(400):
        vector = rng.normal(size=64).astype(np.float32)
        vector /= np.linalg.norm(vector)
        said = float(rng.choice([-0.8, 0.8]))
        if number >= 200:
            wrong += (head.predict(vector, said).sentiment > 0) != (said > 0)
        head.learn(vector, said, 3.0 + 2.0 * np.sign(said), neutral=NEUTRAL)
    assert wrong == 0


def test_ratings_are_those_of_reviews_with_the_same_verdict() -> None:
    head, _ = taught(600)
    axis = np.eye(8, dtype=np.float32)[0]
    good, bad = head.predict(axis, None).rating, head.predict(-axis, None).rating
    assert good is not None
    assert bad is not None
    assert good > 4.2
    assert bad < 2.0


def test_neutral_reviews_move_no_weight_and_one_without_a_number_nothing() -> None:
    head, _ = taught(50)
    before = head.predict(np.eye(8, dtype=np.float32)[0], 0.1)
    head.learn(np.eye(8, dtype=np.float32)[1], 0.3, NEUTRAL, neutral=NEUTRAL)
    head.learn(np.eye(8, dtype=np.float32)[1], 0.3, math.nan, neutral=NEUTRAL)
    after = head.predict(np.eye(8, dtype=np.float32)[0], 0.1)
    assert after.sentiment == before.sentiment


def test_in_another_space_the_word_models_weight_stays_and_the_vectors_goes() -> None:
    head, _ = taught(300)
    axis = np.eye(8, dtype=np.float32)[0]
    assert head.predict(axis, None).sentiment > 0.5
    head.move()
    assert head.predict(axis, None).sentiment == 0.0
    assert head.predict(axis, 0.6).sentiment == pytest.approx(0.6, abs=0.05)


def test_state_goes_through_bytes() -> None:
    head, _ = taught(300)
    again = ReviewHead.from_bytes(head.to_bytes(), 8)
    vector = np.full(8, 8**-0.5, np.float32)
    assert again.predict(vector, 0.2).sentiment == head.predict(vector, 0.2).sentiment
    head.learn(vector, 0.2, 1.0, neutral=NEUTRAL)
    again.learn(vector, 0.2, 1.0, neutral=NEUTRAL)
    assert again.predict(vector, 0.2) == pytest.approx(head.predict(vector, 0.2), abs=1e-4)


@pytest.mark.parametrize("torn", ["cut", "other dimension", "not finite", "text"])
def test_damaged_state_is_refused(torn: str) -> None:
    head, _ = taught(20)
    state, dimension = head.to_bytes(), 8
    if torn == "cut":
        state = state[:-40]
    elif torn == "other dimension":
        dimension = 16
    elif torn == "not finite":
        head._weights[0] = math.nan
        state = head.to_bytes()
    else:
        state = b"\x81\xa1\xff"
    with pytest.raises(StateRejected):
        ReviewHead.from_bytes(state, dimension)
