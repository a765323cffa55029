"""A killed recommender answers again soon, knowing all it knew, from its disk or from the log."""

import contextlib
from pathlib import Path

import pytest

from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.installation import make_topics
from consumers.settings import Settings
from tests.guarantees import topic_log
from tests.guarantees.fleet import Fleet
from tests.guarantees.restarting import Customer, kill_and_wait, until_answered
from tests.guarantees.seeded_state import write_state
from tests.guarantees.traffic import send_catalogue

USERS, EVENTS_EACH = 3_000, 20
# The figure of the product is the benchmark's; this bound only tells a restart that waits for a
# time-out (10 s and more) on top of a start from one that does not, on a busy machine.
SOON_S = 45.0


@pytest.fixture
def settings(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Settings:
    found = Settings(bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=tmp_path)
    make_topics(found)
    return found


def test_a_killed_worker_goes_on_with_everything_it_knew(settings: Settings) -> None:
    write_state(settings, users=USERS, events_each=EVENTS_EACH, items=200)
    before = topic_log.statistics(settings).events
    with Fleet(settings) as fleet:
        send_catalogue(settings, 200)
        fleet.wait_ready()
        with contextlib.closing(Customer(settings)) as customer:
            _, known = until_answered(fleet, customer)
            assert known == EVENTS_EACH + 1
            from_disk = kill_and_wait(fleet, customer)
            from_log = kill_and_wait(fleet, customer, empty_disk=True)
            _, known = until_answered(fleet, customer)
            assert known == EVENTS_EACH + 4
        assert fleet.restarts == 2
    assert topic_log.statistics(settings).events == before + 4
    assert max(from_disk, from_log) < SOON_S
    profiles, _ = topic_log.changelog(settings)
    assert len([user for user in profiles if user != "*"]) == USERS
