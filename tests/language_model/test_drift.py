"""Drift: alarms on a fall, silence on noise."""

import numpy as np
import pytest

from stream_rec.language_model.drift import DriftWatch


def differences(mean: float, count: int, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(mean, 0.3, count).clip(-1, 1).tolist()


def test_steady_difference_raises_no_alarm() -> None:
    watch = DriftWatch()
    assert not [alarm for d in differences(0.1, 4000) if (alarm := watch.update(d))]


def test_fall_is_noticed_soon_and_once() -> None:
    watch = DriftWatch()
    for d in differences(0.2, 2000):
        watch.update(d)
    alarms = [i for i, d in enumerate(differences(-0.1, 1500, seed=2)) if watch.update(d)]
    assert alarms
    assert alarms[0] < 600
    assert len(alarms) <= 3


def test_fall_is_called_a_fall() -> None:
    watch = DriftWatch()
    said = [watch.update(d) for d in [*differences(0.2, 2000), *differences(-0.3, 1000, 2)]]
    assert next(filter(None, said)) == "fall"


def test_rise_is_a_change_not_a_fall() -> None:
    watch = DriftWatch()
    said = [watch.update(d) for d in [*differences(-0.2, 2000), *differences(0.3, 1000, 2)]]
    assert next(filter(None, said)) == "change"


def test_values_that_are_no_numbers_are_ignored() -> None:
    watch = DriftWatch()
    assert watch.update(float("nan")) is None
    assert watch.update(float("inf")) is None
    assert watch.events == 0


@pytest.mark.parametrize(("confidence", "tolerance"), [(1.0, 0.1), (0.0, 0.1), (0.9, -1)])
def test_senseless_settings_are_refused(confidence: float, tolerance: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        DriftWatch(confidence=confidence, tolerance=tolerance)
