"""What the demo tells of the engine's own figures."""

import pytest

from consumers.demo.gauges import Gauges, read

TRAINING = """
# TYPE stream_rec_lag_records gauge
stream_rec_lag_records{program="recommender-0"} 3.0
stream_rec_lag_records{program="recommender-1"} 4.0
# TYPE stream_rec_adapter_version gauge
stream_rec_adapter_version{program="recommender-0",scenario="default"} 0.0
# TYPE stream_rec_training_running gauge
stream_rec_training_running{kind="adapter",program="trainer-0"} 1.0
stream_rec_training_running{kind="tower",program="trainer-0"} 0.0
# TYPE stream_rec_training_rounds counter
stream_rec_training_rounds_total{kind="tower",outcome="refused",program="trainer-0"} 2.0
"""
ON_TRIAL = """
# TYPE stream_rec_adapter_version gauge
stream_rec_adapter_version{program="recommender-0",scenario="default"} 2.0
# TYPE stream_rec_shadow_events gauge
stream_rec_shadow_events{kind="shadow",program="r",scenario="default",version="3"} 210.0
# TYPE stream_rec_shadow_mean gauge
stream_rec_shadow_mean{kind="shadow",program="r",scenario="default",version="3"} 0.0041
"""


@pytest.fixture
def gauges() -> Gauges:
    asked = Gauges("127.0.0.1:1")
    asked.stop()
    return asked


def test_lags_of_all_workers_add_up_and_what_is_learned_is_told(gauges: Gauges) -> None:
    read(gauges, TRAINING)
    assert gauges.lag == 7
    assert gauges.learning == (
        "the frozen model serves; learning a LoRA adapter from the stream; "
        "2 tower refused by the gate"
    )


def test_a_version_on_trial_is_told_with_its_evidence(gauges: Gauges) -> None:
    read(gauges, ON_TRIAL)
    assert gauges.lag is None
    assert gauges.learning == (
        "version 2 serves; version 3 on trial: 210 live events, +0.004 in log-rank"
    )
