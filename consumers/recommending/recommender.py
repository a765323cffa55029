"""The recommender: one worker of the group that turns events into lists. Start reading here.

    round     replicated topics -> events -> step -> one transaction -> merge
    spare     default, owed, overdue and stale lists ride along, or get a transaction of their own
    takeover  after a rebalance: restore the owned partitions, seek, go on
    ending    SIGTERM ends the loop between two rounds; anything unexpected ends the process with 75

One thread does all of this. A watchdog thread ends the process when a round hangs, and a third one
answers HTTP. Knows no ranking: that is `stream_rec/step.py`.
"""

import logging
import signal
import threading
import time
from typing import Any

import numpy as np

from consumers.kafka_io.access import check_rights, refusals_told
from consumers.kafka_io.clients import admin, group_consumer, plain_consumer, plain_producer
from consumers.kafka_io.topics import Topics, dead_letter_limits, ensure_topics, topic_ids
from consumers.kafka_io.transaction import Transactor, crash_point
from consumers.kafka_io.wire import Partitions
from consumers.processes.collecting import Collecting
from consumers.processes.heap import give_back_large_buffers
from consumers.processes.watchdog import Watchdog, exit_for_restart
from consumers.recommending.adapter_rounds import AdapterRounds
from consumers.recommending.circuit import PROBE_RECORDS, Circuits
from consumers.recommending.control import Changes, Control, Own
from consumers.recommending.erasures import Traces, cleaning_times
from consumers.recommending.intake import Intake
from consumers.recommending.key_notes import check_keys
from consumers.recommending.learners import Learners
from consumers.recommending.membership import Membership, Rebalanced
from consumers.recommending.outbox import Outbox, merge, seal
from consumers.recommending.pace import Pace
from consumers.recommending.profile_store import ProfileStore
from consumers.recommending.spare_lists import SpareLists
from consumers.recommending.spare_time import SpareTime
from consumers.recommending.sweeps import Sweeps
from consumers.recommending.verdicts import Verdicts
from consumers.settings import HEARTBEAT_FILE, Settings
from consumers.telemetry.health import Answer, Health
from consumers.telemetry.metrics import RecommenderMetrics, Stamps
from consumers.telemetry.quality import Quality
from stream_rec.errors import AccessDenied, ConfigurationError, NewerFormat
from stream_rec.ledger import Ledger
from stream_rec.policy_trial import try_policy
from stream_rec.replica import Replica
from stream_rec.step import Context, Step, step
from stream_rec.warm_up import warm_up


class Recommender:
    """One worker; made, then `run` once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = topics = Topics(settings.prefix)
        self.stopping = threading.Event()
        self.watchdog = Watchdog()
        self.metrics = RecommenderMetrics()
        self.metrics.expect((topics.clicks, topics.reviews, topics.erasures))
        client = admin(settings)
        check_rights(client, "recommender", settings)
        count = ensure_topics(
            client,
            topics,
            partitions=settings.partitions,
            replication_factor=settings.replication_factor,
        )
        self.limits = dead_letter_limits(client, topics)
        self.ids = topic_ids(client, (topics.statistics, topics.profiles))
        times = cleaning_times(client, topics)
        client.close()
        folder = settings.folder("recommender")
        self.snapshot = folder / "statistics.snapshot"
        self.replica = Replica()
        self.quality = Quality(self.replica, self.metrics.registry)
        self.store = ProfileStore(
            folder,
            topic_id=self.ids[topics.profiles],
            hot_profiles=settings.hot_profiles,
            trusted_ms=times.trusted_ms,
            names=settings.names(),
        )
        self.traces = Traces(
            self.store, topics, times, folder=folder, every_s=settings.clean_disk_s
        )
        self.spare = SpareTime(self.replica, self.store)
        self.ledgers: dict[int, Ledger] = {}
        self.partitions = Partitions(count)
        self.rng = np.random.default_rng()
        self.spare_lists = SpareLists(self.replica, self.spare, self.rng)
        self.sweeps = Sweeps(
            self.replica, self.spare, self.quality.exposure, self.partitions.of_user
        )
        self.transactor = Transactor(settings, folder, self.watchdog)
        self.verdicts = Verdicts(topics, self._try_policy)
        producer = plain_producer(settings)
        self.learners = Learners(producer, topics.rerankers, settings.slot, self.replica)
        self.adapters = AdapterRounds(
            self.replica,
            settings,
            self.verdicts,
            producer=producer,
            registry=self.metrics.registry,
        )
        self.control = Control(
            plain_consumer(settings),
            topics,
            self.replica,
            self.verdicts,
            own=Own(worker=self.transactor.incarnation),
            learners=self.learners,
            adapters=self.adapters,
        )
        self.consumer = group_consumer(settings)
        self.intake = Intake(self.consumer, topics, self.store.names)
        self.circuits = Circuits((topics.clicks, topics.reviews), folder / "paused.json")
        self.pace = Pace()
        self.membership = Membership(settings, topics, self.consumer, self.watchdog)
        self.health = Health(
            self.metrics.registry, ready=self.readiness, alive=lambda: self.watchdog.in_time
        )
        self.caught_up = False
        self._beat_due = 0.0
        self._moved = time.monotonic()
        self._next_second = 0.0
        self._next_minute = time.monotonic() + SNAPSHOT_EVERY_S

    def run(self) -> None:
        """Serve until `stopping` is set.

        Raises:
            ConfigurationError: topics, offsets or state do not fit together.
        """
        address = self.health.start(self.settings)
        LOG.info("recommender %d: http on %s", self.settings.slot, address)
        with self.watchdog.within(WARM_UP_S, "compiling"):
            started = time.monotonic()
            warm_up()
            LOG.info("compiled code is ready after %.1f s", time.monotonic() - started)
        self._catch_up()
        self.collecting = Collecting()
        self.membership.join(self.intake.topics)
        while not self.stopping.is_set():
            self.watchdog.tick()
            self.round()
        self._close()

    def readiness(self) -> Answer:
        """Say what readiness rests on."""
        return {
            "assigned": self.membership.restored,
            "replica": self.caught_up,
            "partitions": ",".join(str(number) for number in sorted(self.store.owned)),
            "paused": self.circuits.reasons(now=time.monotonic()),
        }

    def round(self) -> None:
        """Do one round of the loop."""
        changes = self.control.poll(most=RECORDS_OF_CONTROL)
        self._heed(changes)
        if self.adapters.between_batches():
            self.spare.changed()
        lag = self.intake.lag(self.ledgers) if self.membership.restored else 0
        wait = self.spare.wait_ms(_now_ms(), POLL_MS) if self.membership.restored else POLL_MS
        if changes.records >= RECORDS_OF_CONTROL or self.verdicts.waiting:
            wait = 0
        batch = self.intake.read(wait, most=self._most(lag))
        if self.membership.changed:
            self._take_over()
            return
        if not self.membership.restored:
            return
        crash_point("after_poll")
        self._each_second(lag)
        outbox, result, stamps = Outbox(ledgers=self.ledgers), None, Stamps(_now_ms)
        if batch:
            self._moved = time.monotonic()
            stamps.mark("polled")
            context = self._context(self.pace.examples(lag), stamps)
            result = step(self.replica, self.store, self.ledgers, batch, context)
            stamps.mark("ranked")
            outbox.add_step(result, {arrival.partition for arrival in batch})
        made = self.spare_lists.add(
            outbox, _now_ms(), events=bool(batch), work=bool(self.verdicts.waiting)
        )
        self.metrics.lists.labels("spare").inc(made)
        if self.verdicts.waiting:
            outbox.add_verdicts(self.verdicts.letters, self.verdicts.records)
        outbox.add_touches(self.traces.touch(self.ledgers, _now_ms()))
        if outbox.empty:
            self._idle(0 if self.intake.held else lag)
            return
        self._commit(outbox, result)
        if result is not None:
            stamps.mark("committed")
            self.pace.took(len(batch), time.monotonic() - self._moved)
            self.metrics.observe_batch(batch, result, stamps)
            self.adapters.committed(result)
            self.circuits.count(result.outcomes, now=time.monotonic())
            self.spare.look_around(SCAN_BUSY)

    def _most(self, lag: int) -> int:
        """Leave topics alone whose circuits are open; return how many records to read."""
        most = self.pace.batch(lag)
        if self.membership.restored:
            policy = self.replica.policies.effective("*").policy.intake
            self.intake.hold(self.circuits.judge(policy, now=time.monotonic()))
        return min(most, PROBE_RECORDS) if self.circuits.trying else most

    def _try_policy(self, scenario: str, patch: dict[str, Any]) -> None:
        try_policy(self.replica, scenario, patch, now_ms=_now_ms())

    def _context(self, examples: int, stamps: Stamps) -> Context:
        return Context(
            worker=self.transactor.incarnation,
            now_ms=_now_ms(),
            at_folded=lambda: stamps.mark("folded"),
            rng=self.rng,
            examples=examples,
            form=self.settings.format,
            partition_of=self.partitions.of_user,
            erased=self.store.marker,
        )

    def _commit(self, outbox: Outbox, result: Step | None) -> None:
        started = time.monotonic()
        judged = self.verdicts.judged
        sealed = seal(outbox, self.topics, judged, limits=self.limits, store=self.store)
        written = self.transactor.commit(
            sealed.records, sealed.offsets, self.consumer.group_metadata()
        )
        merge(sealed, self.store, self.topics, written)
        crash_point("after_merge")
        self.ledgers = dict(outbox.ledgers)
        self.quality.committed(outbox.lists, result)
        self.verdicts.settled()
        if outbox.facts is not None:
            self.control.own.written = written[self.topics.statistics, 0]
            self.spare.changed()
        applied = 0
        if result is not None:
            applied = sum(n for (_, kind), n in result.outcomes.items() if kind == "applied")
        for place, erased in outbox.erased.items():
            self.spare.forget(*place, erased.scenarios)
        self.spare.committed(outbox.profiles, applied=applied)
        took = time.monotonic() - started
        self.metrics.commit.observe(took)
        self.metrics.transactions.inc()
        for letter in outbox.letters:
            self.metrics.dead_letters.labels(letter.topic, letter.stage).inc()
        if result is None:
            self.spare_lists.rest(took)
        elif started > self._beat_due:  # tells the supervisor that restarts are no loop
            self._beat_due = started + BEAT_EVERY_S
            (self.settings.folder("recommender") / HEARTBEAT_FILE).touch()

    def _take_over(self) -> None:
        self.traces.finish()
        try:
            standings = self.membership.take_over(self.store)
        except Rebalanced:
            return
        for number in standings:
            check_keys(self.store, number)
        self.ledgers = {number: standing.ledger for number, standing in standings.items()}
        self.metrics.restore.set(self.membership.restore_s)
        if 0 in standings:
            self.control.own_verdicts(standings[0].judged)
        elif self.verdicts.owned:
            self.control.disown_verdicts()
        self.spare.taken_over(standings)
        self.quality.taken_over()
        self._moved = time.monotonic()

    def _heed(self, changes: Changes) -> None:
        if not changes.records:
            return
        sweep = {self.topics.accepted_policies} & set(changes.by_topic) or changes.withdrawn
        self.spare.changed(sweep_ms=_now_ms() if sweep else None)

    def _each_second(self, lag: int) -> None:
        now = time.monotonic()
        if now < self._next_second:
            return
        self._next_second = now + 1.0
        self.learners.exchange(_now_ms())
        self.adapters.each_second()
        self.quality.look(self.spare.made_at(), _now_ms())
        self.sweeps.look(_now_ms())
        self.traces.look()
        self.metrics.ready.set(self.membership.restored and self.caught_up)
        self.metrics.lag.set(lag)
        for topic, state in self.circuits.states().items():
            self.metrics.paused.labels(topic).set(state != "closed")
        sizes = self.replica.sizes() | {
            "hot_profiles": self.store.hot_count,
            "profile_disk_bytes": self.store.disk_bytes(),
            "partitions": len(self.store.owned),
            "lists_watched": len(self.spare),
        }
        for name, size in sizes.items():
            self.metrics.state.labels(name).set(size)

    def _idle(self, lag: int) -> None:
        self.spare.look_around(SCAN_IDLE)
        self.collecting.idle()
        self.replica.catch_up(most=NEIGHBOURS_IDLE)
        self.adapters.idle()
        now = time.monotonic()
        if now > self._next_minute and lag == 0:
            self._next_minute = now + (5 if not self._snapshot() else SNAPSHOT_EVERY_S)
        if not lag:  # also while a topic is paused: what follows is not stuck
            self._moved = now
        elif now - self._moved > STUCK_S:
            exit_for_restart(f"{lag} records to read and none came for {STUCK_S} s")

    def _snapshot(self) -> bool:
        self.control.poll(timeout_ms=20)
        return self.control.snapshot(self.snapshot, self.ids[self.topics.statistics])

    def _catch_up(self) -> None:
        """Read the replicated topics to where they end now."""
        self.control.start(self.snapshot, self.ids[self.topics.statistics])
        told, records = time.monotonic(), 0
        while not self.stopping.is_set():
            self.watchdog.tick("reading the replicated topics")
            records += self.control.poll(timeout_ms=100, most=2_000).records
            if self.control.caught_up:
                break
            if time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                LOG.info("reading the replicated topics: %d records", records)
        self.learners.restore()
        self.adapters.restore(lambda: self.watchdog.tick("loading adapters"))
        self.sweeps.start(self.control.wrong_since_ms, _now_ms(), named_ms=self.control.named_ms)
        self.caught_up = True
        LOG.info("replicated topics read: %d records", records)

    def _close(self) -> None:
        with self.watchdog.within(CLOSE_S, "closing"):
            until = time.monotonic() + LAST_SNAPSHOT_S
            while self.caught_up and not self._snapshot() and time.monotonic() < until:
                continue  # own records are not read back yet; each try waits for some
            self.consumer.close(autocommit=False)
            self.adapters.close()
            self.learners.close()
            self.control.close()
            self.transactor.close()
            self.traces.finish()
            self.store.close_all()
            self.health.stop()
        self.watchdog.stop()
        LOG.info("recommender %d ended", self.settings.slot)


def run_recommender(settings: Settings) -> None:
    """Run one recommender until SIGTERM or SIGINT; any unexpected error ends the process with 75.

    Raises:
        ConfigurationError: the operator must change something.
        AccessDenied: the operator must grant something.
    """
    give_back_large_buffers()
    try:
        with refusals_told(settings, "recommender"):
            recommender = Recommender(settings)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: recommender.stopping.set())
            recommender.run()
    except (AccessDenied, ConfigurationError, NewerFormat):
        raise
    except Exception as error:
        exit_for_restart("the recommender failed", error)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


LOG = logging.getLogger(__name__)
POLL_MS = 50
NEIGHBOURS_IDLE = 32  # new vectors compared with the catalogue in an idle round
RECORDS_OF_CONTROL = 200
BEAT_EVERY_S = 1.0
SCAN_IDLE, SCAN_BUSY = 256, 16
STUCK_S = 30.0
SNAPSHOT_EVERY_S = 60.0
TELL_EVERY_S = 2.0
CLOSE_S = 10.0
LAST_SNAPSHOT_S = 3.0
WARM_UP_S = 900.0
