"""Live figures of quality: hit rate and exposure by segment, spread, drift, experts, re-rankers.

Counted from each committed transaction, from a regular sample of its events and lists; whatever
costs more is looked at every `slow_s` seconds. What Prometheus reads is made from these when it
asks. Knows committed values, not how they came about.
"""

import time
from collections import Counter as Tallied
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_rec.exposure import ITEMS, USERS, Exposure, Shown, Taken
from stream_rec.item_hash import item_hash
from stream_rec.quality_drift import SIGNALS, QualityDrift
from stream_rec.ranking.features import Feature
from stream_rec.ranking.start_weights import start_weights
from stream_rec.replica import Replica
from stream_rec.step import Step
from stream_rec.toplist import DEFAULT_USER, TopList


class Quality(Collector):
    """The figures of one recommender; used by the loop's thread, read by that of HTTP."""

    def __init__(
        self,
        replica: Replica,
        registry: CollectorRegistry | None = None,
        *,
        slow_s: float = 15.0,
    ) -> None:
        self.exposure = Exposure(replica.items)
        self.drift = QualityDrift()
        self._replica = replica
        self._spread = (0.0, 0.0)
        self._ages: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self._serving: dict[str, tuple[int, int]] = {}  # policy and adapter by scenario
        self._sampled: Tallied[str] = Tallied()
        self._slow_s, self._slow_due = slow_s, 0.0
        self._window_due = time.monotonic() + WINDOW_S
        if registry is not None:
            registry.register(self)

    def committed(self, lists: Sequence[tuple[int, TopList]], result: Step | None) -> None:
        """Count what one transaction brought: first its events, judged by older lists."""
        if result is not None:
            for (_, user_id), gone in result.erased.items():
                self.exposure.forget(user_id, gone.scenarios)
            for hit, new in self.exposure.judge(self._taken(result), everyone=DEFAULT_USER):
                self.drift.update(hit, new)
        shown = (
            Shown(
                made.user_id,
                made.scenario,
                [item.item_id for item in made.items],
                0 if made.user_id == DEFAULT_USER else made.lineage.events_applied,
            )
            for _, made in lists
        )
        self.exposure.show(shown, self._replica.statistics.counts)
        for _, made in lists[:: 1 + len(lists) // SAMPLED_LISTS]:
            for item in made.items:
                self._sampled.update(item.sources)

    def taken_over(self) -> None:
        """Forget the lists: other workers may have made newer ones."""
        self.exposure.forget_all()

    def look(self, made_at: Mapping[str, int], now_ms: int) -> None:
        """Bring up to date what is not counted as it happens; call it about once a second.

        `made_at` is when the oldest and the middle list were made, in ms.
        """
        if total := sum(self._sampled.values()):
            self._shares = {name: part / total for name, part in self._sampled.items()}
            self._sampled.clear()
        replica = self._replica  # read by the loop's thread alone: asking it may fill its caches
        self._serving = {
            name: (replica.policies.effective(name).version, replica.served(name).adapter_version)
            for name in sorted(replica.scenarios)[:MOST_SCENARIOS]
        }
        now = time.monotonic()
        if now < self._slow_due:
            return
        self._slow_due = now + self._slow_s
        if now >= self._window_due:
            self._window_due = now + WINDOW_S
            self.exposure.turn_window()
        self.exposure.look_for_head(self._replica.statistics.counts)
        self._spread = self.exposure.spread(self._replica.catalogue.recommendable)
        self._ages = {name: max(0, now_ms - at_ms) / 1000 for name, at_ms in made_at.items()}

    def _taken(self, result: Step) -> Iterator[Taken]:
        """A regular sample of the batch's events that could have been recommended."""
        taken, items = result.taken, self._replica.items
        if not taken:
            return
        counts, batch = self._replica.statistics.counts, Tallied(e.item_id for _, e, _ in taken)
        for profile, event, policy in taken[:: 1 + len(taken) // SAMPLED_EVENTS]:
            exclude = policy.toplist.exclude
            if profile is not None and exclude.consumed and exclude.cooldown_days is None:
                hashed = np.array([item_hash(event.item_id)], np.uint64)
                if profile.consumed.holds(hashed)[0]:
                    continue  # the list may not show it again
            row = items.row(event.item_id)
            before = int(counts[row]) - batch[event.item_id] if 0 <= row < len(counts) else 0
            events = 0 if profile is None else profile.events_applied
            yield Taken(event.user_id, event.scenario, event.item_id, events, before)

    def collect(self) -> Iterable[Metric]:
        """Return everything as Prometheus reads it."""
        tally = self.exposure.tally
        yield _counts(
            "stream_rec_judged_events",
            "Sampled events looked up in the list that stood before them, by user segment",
            ("user_segment", USERS, tally.users[:, 0]),
        )
        yield _counts(
            "stream_rec_hits",
            "Of the judged events those whose item stood in the list, by user segment",
            ("user_segment", USERS, tally.users[:, 1]),
        )
        yield _counts(
            "stream_rec_judged_events_by_item",
            "The same judged events by item segment",
            ("item_segment", ITEMS, tally.items[:, 0]),
        )
        yield _counts(
            "stream_rec_hits_by_item",
            "The same hits by item segment",
            ("item_segment", ITEMS, tally.items[:, 1]),
        )
        yield _counts(
            "stream_rec_exposures",
            "Places of published lists by user segment",
            ("user_segment", USERS, tally.shown_to),
        )
        yield _counts(
            "stream_rec_exposures_by_item",
            "Places of published lists by item segment",
            ("item_segment", ITEMS, tally.shown),
        )
        yield from self._spreading()
        yield from self._drifting()
        yield from self._learning()
        yield from self._versions()

    def _spreading(self) -> Iterator[Metric]:
        coverage, gini = self._spread
        yield GaugeMetricFamily(
            "stream_rec_coverage_ratio",
            "Share of recommendable items in any list of this worker's last one to two hours",
            value=coverage,
        )
        yield GaugeMetricFamily(
            "stream_rec_exposure_gini_ratio",
            "Gini index of exposure in those lists: 0 all alike, 1 one item takes every place",
            value=gini,
        )
        ages = GaugeMetricFamily(
            "stream_rec_list_age_seconds",
            "Age of the oldest and of the middle list of users active in the last day",
            labels=["which"],
        )
        for which, age in self._ages.items():
            ages.add_metric([which], age)
        yield ages

    def _drifting(self) -> Iterator[Metric]:
        alarms = CounterMetricFamily(
            "stream_rec_drift_detections", "Alarms of the drift detectors", labels=["signal"]
        )
        means = GaugeMetricFamily(
            "stream_rec_drift_mean_ratio",
            "Mean of a watched rate over its detector's window",
            labels=["signal"],
        )
        windows = GaugeMetricFamily(
            "stream_rec_drift_window_events",
            "Events in a detector's window; it shrinks when the rate has changed",
            labels=["signal"],
        )
        found, widths = self.drift.means(), self.drift.windows()
        for signal in SIGNALS:
            alarms.add_metric([signal], self.drift.detections[signal])
            means.add_metric([signal], found[signal])
            windows.add_metric([signal], widths[signal])
        yield from (alarms, means, windows)

    def _learning(self) -> Iterator[Metric]:
        shares = GaugeMetricFamily(
            "stream_rec_expert_share_ratio",
            "Share of each expert in the places of lists published lately, sampled",
            labels=["expert"],
        )
        for expert, share in sorted(self._shares.items()):
            shares.add_metric([expert], share)
        evidence = GaugeMetricFamily(
            "stream_rec_reranker_evidence_events",
            "Events that the re-ranker in use was taught by, all workers together",
            labels=["scenario"],
        )
        learned = GaugeMetricFamily(
            "stream_rec_reranker_learned_ratio",
            "How far the re-ranker's weights are from where they started, as a share of their size",
            labels=["scenario"],
        )
        weights = GaugeMetricFamily(
            "stream_rec_reranker_weight",
            "Weight of each standardised feature in the re-ranker's linear path",
            labels=["scenario", "feature"],
        )
        start = start_weights()
        size = float(np.linalg.norm(start)) or 1.0
        for scenario, reranker in sorted(self._replica.rerankers.copy().items())[:MOST_SCENARIOS]:
            evidence.add_metric([scenario], reranker.evidence)
            moved = float(np.linalg.norm(reranker.weights - start))
            learned.add_metric([scenario], moved / size)
            linear = reranker.weights[-2 * len(Feature) : -len(Feature)]
            for feature in Feature:
                weights.add_metric([scenario, feature.name.lower()], float(linear[feature]))
        yield from (shares, evidence, learned, weights)

    def _versions(self) -> Iterator[Metric]:
        policies = GaugeMetricFamily(
            "stream_rec_policy_version",
            "Newest accepted offset among the layers of a scenario's policy, -1 for the defaults",
            labels=["scenario"],
        )
        adapters = GaugeMetricFamily(
            "stream_rec_adapter_version",
            "Version of the adapter that serves a scenario, 0 for the frozen model",
            labels=["scenario"],
        )
        for scenario, (policy, adapter) in self._serving.items():
            policies.add_metric([scenario], policy)
            adapters.add_metric([scenario], adapter)
        yield from (policies, adapters)


def _counts(
    name: str, documentation: str, counted: tuple[str, Sequence[str], np.ndarray]
) -> CounterMetricFamily:
    label, segments, values = counted
    family = CounterMetricFamily(name, documentation, labels=[label])
    for segment, value in zip(segments, values.tolist(), strict=True):
        family.add_metric([segment], value)
    return family


SAMPLED_EVENTS, SAMPLED_LISTS = 32, 4
WINDOW_S = 3600.0
MOST_SCENARIOS = 8  # labels cost memory wherever they are kept
