"""The live test: right decisions, few false ones however often one looks, mergeable evidence."""

import numpy as np
import pytest

from stream_rec.adapters.shadow import (
    Evidence,
    PromotionWatch,
    decide,
    gather,
    merge,
    paired_difference,
)


def live(mean: float, count: int, seed: int = 1) -> np.ndarray:
    """Differences as they are: mostly nothing, sometimes much."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(mean, 0.15, count) * (rng.random(count) < 0.7), -1, 1)


def first_decision(differences: np.ndarray, shadow_events: int = 200) -> str:
    evidence = Evidence()
    for start in range(0, len(differences), 20):
        evidence = gather(evidence, differences[start : start + 20])
        decision = decide(evidence, confidence=0.95, shadow_events=shadow_events)
        if decision != "wait":
            return decision
    return "wait"


def test_better_challenger_is_promoted() -> None:
    assert [first_decision(live(0.05, 2000, seed)) for seed in range(20)] == ["promote"] * 20


def test_worse_challenger_is_rejected_before_its_shadow_ends() -> None:
    assert first_decision(live(-0.1, 400), shadow_events=2000) == "reject"


def test_equal_challenger_is_promoted_at_most_as_often_as_the_confidence_allows() -> None:
    said = [first_decision(live(0.0, 1900, seed)) for seed in range(300)]
    assert said.count("promote") <= 0.05 * 300


def test_nothing_is_promoted_before_its_shadow_events() -> None:
    evidence = gather(Evidence(), live(0.5, 199))
    assert decide(evidence, confidence=0.95, shadow_events=200) == "wait"
    evidence = gather(evidence, live(0.5, 1))
    assert decide(evidence, confidence=0.95, shadow_events=200) == "promote"


def test_challenger_that_never_proves_itself_is_rejected_in_the_end() -> None:
    alternating = np.tile([0.1, -0.1], 1000)
    evidence = gather(Evidence(), alternating)
    assert decide(evidence, confidence=0.95, shadow_events=500) == "wait"
    assert decide(evidence, confidence=0.95, shadow_events=200) == "reject"


def test_gain_below_the_wanted_one_is_not_promoted() -> None:
    evidence = gather(Evidence(min_gain=0.1), live(0.05, 5000))
    assert decide(evidence, confidence=0.95, shadow_events=2000) == "reject"


def test_evidence_of_workers_adds_up_in_any_order() -> None:
    one, two = live(0.03, 300, 1), live(0.03, 200, 2)
    together = gather(Evidence(), np.concatenate([one, two]))
    apart = merge(gather(Evidence(), two), gather(Evidence(), one))
    np.testing.assert_allclose(together.better, apart.better)
    np.testing.assert_allclose(together.worse, apart.worse)
    assert (together.events, together.mean) == (apart.events, pytest.approx(apart.mean))


def test_evidence_about_different_gains_does_not_add_up() -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        merge(Evidence(min_gain=0.1), Evidence())


def test_differences_that_are_no_numbers_or_out_of_bounds_do_no_harm() -> None:
    evidence = gather(Evidence(), [float("nan"), float("inf"), -7.0, 3.0])
    assert np.isfinite(evidence.better).all()
    assert evidence.events == 3


@pytest.mark.parametrize("min_gain", [-1.0, 1.0])
def test_extreme_policies_do_not_break_the_sums(min_gain: float) -> None:
    evidence = gather(Evidence(min_gain=min_gain), live(0.0, 50))
    assert np.isfinite(evidence.better).all()
    assert np.isfinite(evidence.worse).all()


def test_watch_stays_silent_while_the_promoted_one_is_no_worse() -> None:
    for seed in range(10):
        watch = PromotionWatch()
        assert not any(watch.update(float(d)) for d in live(0.0, 3000, seed))


def test_watch_rolls_back_soon_after_a_fall_even_after_long_good_times() -> None:
    watch = PromotionWatch()
    assert not any(watch.update(float(d)) for d in live(0.1, 5000))
    alarms = [i for i, d in enumerate(live(-0.1, 1000, 2)) if watch.update(float(d))]
    assert alarms[0] < 400


def test_watch_refuses_senseless_settings() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        PromotionWatch(tolerance=1.0)
    with pytest.raises(ValueError, match="above 1"):
        PromotionWatch(events_between_false_alarms=1)


def test_paired_difference_is_bounded_and_signed() -> None:
    assert paired_difference(0, 0, 10) == 0
    assert paired_difference(999, 0, 1000) == pytest.approx(1.0)
    assert paired_difference(0, 999, 1000) == pytest.approx(-1.0)


def test_watch_over_merged_evidence_notices_a_fall_after_a_long_good_time() -> None:
    watch, before, alarm = PromotionWatch(), Evidence(), -1
    differences = np.concatenate([live(0.05, 3000), live(-0.1, 1000, 2)])
    for start in range(0, len(differences), 50):
        after = gather(before, differences[start : start + 50])
        if watch.absorb(before, after):
            alarm = start
            break
        before = after
    assert 3000 <= alarm < 3600


def test_watch_over_merged_evidence_is_silent_while_nothing_falls() -> None:
    for seed in range(20):
        watch, before = PromotionWatch(), Evidence()
        differences = live(0.01, 3000, seed)
        for start in range(0, len(differences), 50):
            after = gather(before, differences[start : start + 50])
            assert not watch.absorb(before, after)
            before = after
