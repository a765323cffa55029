"""Lists made in spare time never speak for a user whom the same transaction forgets."""

from pathlib import Path

import numpy as np
import pytest

from consumers.recommending.outbox import Outbox
from consumers.recommending.spare_lists import SpareLists
from consumers.recommending.spare_time import SpareTime
from stream_rec.erasure import Erased, Marker
from stream_rec.ledger import Ledger
from tests.consumers.recommending.test_spare_time import NOTHING, NOW_MS, Spare
from tests.shop_log import tiny_replica


@pytest.fixture
def spare(tmp_path: Path) -> Spare:
    """Two users whose lists are owed."""
    made = Spare(tmp_path)
    made.replica = tiny_replica()
    made.replica.statistics.newest_ms = NOW_MS
    made.time = SpareTime(made.replica, made.store)
    made.time.taken_over([0])
    made.time.look_around(10)
    made.due(NOW_MS, NOTHING)
    made.commit(*(made.keep(user, made_ms=NOW_MS - 60_000, owed=True) for user in ("ann", "bob")))
    return made


def test_a_user_forgotten_in_this_very_transaction_gets_no_list(spare: Spare) -> None:
    lists = SpareLists(spare.replica, spare.time, np.random.default_rng(0))
    erased = {(0, "ann"): Erased(marker=Marker(timestamp=NOW_MS), scenarios=("default",))}
    outbox = Outbox(ledgers={0: Ledger()}, erased=erased, touched={0})
    lists.add(outbox, NOW_MS, events=True, work=False)
    assert [made.user_id for _, made in outbox.lists if made.user_id != "*"] == ["bob"]


def test_a_forgotten_user_is_in_no_queue_any_more(spare: Spare) -> None:
    spare.time.forget(0, "ann", ("default",))
    lists = SpareLists(spare.replica, spare.time, np.random.default_rng(0))
    outbox = Outbox(ledgers={0: Ledger()})
    lists.add(outbox, NOW_MS, events=False, work=False)
    assert [made.user_id for _, made in outbox.lists if made.user_id != "*"] == ["bob"]
