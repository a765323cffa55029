import numpy as np

from stream_rec.quality_drift import QualityDrift


def test_a_fall_of_the_hit_rate_is_noticed_and_the_other_signal_stays_quiet() -> None:
    rng, watch = np.random.default_rng(0), QualityDrift()
    for share in (0.5, 0.05):
        for _ in range(1500):
            watch.update(bool(rng.random() < share), bool(rng.random() < 0.2))
    assert watch.detections["hit_rate"] >= 1
    assert watch.detections["new_item_share"] == 0
    assert watch.means()["hit_rate"] < 0.1
    assert watch.windows()["hit_rate"] < 2000 < watch.windows()["new_item_share"]


def test_a_steady_stream_raises_no_alarm() -> None:
    rng, watch = np.random.default_rng(1), QualityDrift()
    for _ in range(3000):
        watch.update(bool(rng.random() < 0.1), bool(rng.random() < 0.3))
    assert watch.detections == {"hit_rate": 0, "new_item_share": 0}


def test_a_flood_of_new_items_is_noticed() -> None:
    watch = QualityDrift()
    for number in range(2000):
        watch.update(False, number >= 1000)
    assert watch.detections["new_item_share"] >= 1


def test_before_the_first_event_there_is_nothing_to_say() -> None:
    assert QualityDrift().means() == {"hit_rate": 0.0, "new_item_share": 0.0}
    assert QualityDrift().windows() == {"hit_rate": 0, "new_item_share": 0}
