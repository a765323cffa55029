"""Two more faults of the pinned client, found by a storm, and what our code does about them."""

import signal
import time

from consumers.kafka_io import clients
from consumers.kafka_io.transaction import Transactor
from consumers.processes.watchdog import RESTART_ME, Watchdog
from consumers.recommending.membership import Membership
from tests.consumers.kafka_tenant import Tenant, ended, in_a_process
from tests.guarantees.fleet import is_stopped


def test_records_that_were_never_sent_are_not_left_out_of_a_commit(
    tenant: Tenant, watchdog: Watchdog
) -> None:
    """The client drops records older than 9 s, then commits the offsets and the other records.

    So it was found: the broker was killed before a commit and came back within the transaction's
    10 s, and offsets stood in the group whose profiles stood nowhere.
    """
    process = in_a_process(
        tenant,
        "transactor = Transactor(settings, Path(settings.data_dir), Watchdog())\n"
        "group = ConsumerGroupMetadata(settings.group_id)\n"
        "records = [Outgoing(topic=topics.audit, partition=0, key=b'k', value=b'v' * 50_000)"
        " for _ in range(100)]\n"
        "transactor.commit(records, {TopicPartition(topics.clicks, 0): 5}, group)\n"
        "print('committed')\n",
        environment={"STREAM_REC_CRASH_AT": "after_send:1:STOP"},
    )
    until = time.monotonic() + 60
    while not is_stopped(process.pid):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(9.2)  # longer than records are kept, shorter than the transaction lasts
    process.send_signal(signal.SIGCONT)
    status, complaints = ended(process, 60)
    assert (status, "transaction failed" in complaints) == (RESTART_ME, True), complaints
    Transactor(tenant.settings, tenant.settings.data_dir, watchdog).close()
    assert tenant.committed(tenant.places[0]) is None


def test_a_member_knows_all_partitions_before_it_may_have_to_assign_them(
    tenant: Tenant, watchdog: Watchdog
) -> None:
    """One in ten lone members stood without partitions for more than half a minute."""
    consumer = clients.group_consumer(tenant.settings)
    tenant.opened.append(consumer)
    inputs = [tenant.topics.clicks, tenant.topics.reviews]
    Membership(tenant.settings, tenant.topics, consumer, watchdog).join(inputs)
    known = consumer._client.cluster
    assert [known.partitions_for_topic(topic) for topic in inputs] == [{0, 1}, {0, 1}]
