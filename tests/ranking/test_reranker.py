"""The network that learns what is taken."""

import numpy as np
import pytest

from stream_rec.errors import StateRejected
from stream_rec.ranking.features import Feature
from stream_rec.ranking.reranker import Reranker
from stream_rec.ranking.start_weights import CENTRE, SCALE


def _features(seed: int, candidates: int = 40) -> np.ndarray:
    spread = np.random.default_rng(seed).normal(size=(candidates, len(Feature)))
    return (spread / SCALE + CENTRE).astype(np.float32)


def _scores(network: Reranker, features: np.ndarray, newness: float = 0.0) -> np.ndarray:
    return network.scores(features, np.full(len(features), newness, np.float32))


def _loss(network: Reranker, features: np.ndarray, taken: int, newness: float) -> float:
    scores = _scores(network, features, newness).astype(np.float64)
    return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[taken])


def _taught(seed: int, steps: int) -> Reranker:
    network = Reranker()
    for step in range(steps):
        features = _features(1000 * seed + step)
        network.learn(features, int(np.argmax(features[:, Feature.SINCE])), 0.4)
    return network


@pytest.mark.parametrize("newness", [0.0, 0.4, 1.0])
def test_the_gradient_is_that_of_the_cross_entropy(newness: float) -> None:
    network, features, taken = Reranker(), _features(1), 3
    network.weights += np.random.default_rng(5).normal(0, 0.05, network.weights.shape).astype("f4")
    gradient = network._gradient(features, taken, newness)
    for place in np.argsort(-np.abs(gradient))[:: len(gradient) // 25]:
        step, before = np.float32(4e-3), network.weights[place]
        losses = []
        for side in (step, -step):
            network.weights[place] = before + side
            losses.append(_loss(network, features, taken, newness))
        network.weights[place] = before
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 0.008, rel=0.1, abs=3e-3)


def test_it_learns_to_rank_first_what_is_taken() -> None:
    features = _features(99)
    taken = int(np.argmax(features[:, Feature.SINCE]))
    untaught, taught = (
        _loss(Reranker(), features, taken, 0.4),
        _loss(_taught(0, 300), features, taken, 0.4),
    )
    assert taught < 0.6 * untaught


def test_scoring_changes_nothing() -> None:
    network = _taught(0, 5)
    before = network.to_bytes()
    _scores(network, _features(3))
    assert network.to_bytes() == before


def test_the_same_examples_teach_the_same() -> None:
    assert _taught(1, 20).to_bytes() == _taught(1, 20).to_bytes()


def test_start_weights_prefer_what_others_took_next() -> None:
    features = np.tile(CENTRE, (2, 1))
    features[1, [Feature.LINKED, Feature.MIXTURE]] += 2 / SCALE[[Feature.LINKED, Feature.MIXTURE]]
    scores = _scores(Reranker(), features)
    assert scores[1] > scores[0]


def test_it_survives_the_wire() -> None:
    network = _taught(2, 10)
    again = Reranker.from_bytes(network.to_bytes())
    assert again.to_bytes() == network.to_bytes()
    assert (again.examples, again.evidence) == (10, 10)


@pytest.mark.parametrize("spoil", [slice(0, 5), slice(0, 60), slice(0, -1)])
def test_torn_weights_are_refused(spoil: slice) -> None:
    with pytest.raises(StateRejected):
        Reranker.from_bytes(_taught(2, 1).to_bytes()[spoil])


def test_a_flipped_bit_is_refused() -> None:
    record = bytearray(Reranker().to_bytes())
    record[len(record) // 2] ^= 4
    with pytest.raises(StateRejected):
        Reranker.from_bytes(bytes(record))


def test_merged_weights_lie_where_the_evidence_is() -> None:
    much, little, none = _taught(1, 30), _taught(2, 10), Reranker()
    merged = Reranker.merged([much, little, none])
    assert merged.weights == pytest.approx(0.75 * much.weights + 0.25 * little.weights, abs=1e-5)
    assert merged.evidence == 40
    assert Reranker.merged([none, none]).weights == pytest.approx(none.weights)


def test_what_was_adopted_counts_as_evidence_not_as_own_examples() -> None:
    own = _taught(1, 10)
    own.adopt(Reranker.merged([own, _taught(2, 30)]))
    assert (own.examples, own.evidence) == (10, 40)


def test_three_that_learn_beside_each_other_learn_as_fast_as_one() -> None:
    def lost_by(workers: int, pace: int) -> float:
        parts = [Reranker() for _ in range(workers)]
        for number in range(180):
            part = parts[number % workers]
            part.pace = pace
            features = _features(number)
            part.learn(features, int(features[:, Feature.POPULAR_100].argmin()), 0.0)
            if number % 15 == 14:
                mean = Reranker.merged(parts)
                for one in parts:
                    one.adopt(mean)
        fresh = [_features(1000 + number) for number in range(30)]
        return sum(_loss(parts[0], f, int(f[:, Feature.POPULAR_100].argmin()), 0.0) for f in fresh)

    start, one = lost_by(1, 0), lost_by(1, 1)
    assert one < start
    assert lost_by(3, 3) == pytest.approx(one, abs=0.1 * (start - one))
    assert lost_by(3, 1) > one + 0.3 * (start - one)  # without the pace
