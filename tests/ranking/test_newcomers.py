"""What newcomers are shown follows what newcomers took."""

import numpy as np

from stream_rec.ranking.features import Feature
from stream_rec.ranking.newcomers import Newcomers
from stream_rec.ranking.reranker import Reranker


def candidates(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=40).astype(np.float32), rng.normal(size=(40, len(Feature))).astype("f4")


def taught(feature: Feature | None, examples: int = 100) -> Newcomers:
    """Newcomers who take what a feature, or else the re-ranker, puts first."""
    found = Newcomers()
    for seed in range(examples):
        scores, features = candidates(seed)
        by = scores if feature is None else features[:, feature]
        found.learn(scores, features, int(by.argmax()))
    return found


def test_the_order_is_that_of_the_way_that_found_most() -> None:
    scores, features = candidates(1_000)
    ranked = taught(Feature.POPULAR_2000).ranked(scores, features)
    assert ranked.argsort().tolist() == features[:, Feature.POPULAR_2000].argsort().tolist()
    assert sorted(ranked.tolist()) == sorted(scores.tolist())


def test_the_re_ranker_is_followed_where_it_finds_most_and_until_enough_is_known() -> None:
    scores, features = candidates(1_000)
    for newcomers in (taught(None), taught(Feature.POPULAR_500, examples=20), Newcomers()):
        assert newcomers.ranked(scores, features) is scores


def test_a_change_of_what_newcomers_take_is_followed() -> None:
    newcomers = taught(Feature.POPULAR_16000, examples=3_000)
    for seed in range(3_000):
        scores, features = candidates(seed)
        newcomers.learn(scores, features, int(features[:, Feature.POPULAR_100].argmax()))
    scores, features = candidates(9)
    ranked = newcomers.ranked(scores, features)
    assert ranked.argmax() == features[:, Feature.POPULAR_100].argmax()


def test_gains_of_several_workers_are_weighed_by_their_examples_and_travel_with_the_weights() -> (
    None
):
    one, other = Reranker(), Reranker()
    one.newcomers = taught(Feature.POPULAR_100, examples=90)
    other.newcomers = taught(Feature.POPULAR_500, examples=30)
    one.examples, other.examples = 90, 30
    merged = Reranker.merged([Reranker.from_bytes(one.to_bytes()), other])
    expected = 0.75 * one.newcomers.gains + 0.25 * other.newcomers.gains
    assert np.allclose(merged.newcomers.gains, expected)
    for _ in range(5):  # adopting again and again does not count an example twice
        one.adopt(Reranker.merged([one, other]))
    assert one.newcomers.examples == 90
    assert one.newcomers.evidence == 120
