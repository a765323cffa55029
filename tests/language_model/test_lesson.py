"""Settings from a policy, and how often each item is asked."""

import numpy as np
import pytest

from stream_rec.language_model.lesson import asked_weights, lora_settings
from stream_rec.policy import AdapterPolicy


def test_policy_decides_method_rank_rate_and_time() -> None:
    settings = lora_settings(
        AdapterPolicy(method="long_short", rank=8, learning_rate=0.01, max_s=100)
    )
    assert settings is not None
    assert (settings.method, settings.rank, settings.learning_rate) == ("long_short", 8, 0.01)
    assert settings.max_s < 100


def test_frozen_policy_trains_nothing() -> None:
    assert lora_settings(AdapterPolicy(method="frozen")) is None


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 0.0), (1.0, 0.1), (100.0, 1.0)])
def test_older_events_count_as_much_as_the_ratio_says(ratio: float, share: float) -> None:
    fresh, older = np.array([10.0, 0, 0]), np.array([0, 60.0, 40])
    weights = asked_weights(fresh, older, ratio) ** 2
    np.testing.assert_allclose(weights, [10, 60 * share, 40 * share], rtol=1e-5)


def test_nothing_older_is_no_division_by_zero() -> None:
    assert asked_weights(np.array([1.0]), np.array([0.0]), 1.0).tolist() == [1.0]
