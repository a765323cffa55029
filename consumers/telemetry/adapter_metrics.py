"""What is counted and timed about adapters, in one recommender.

Labels are scenarios, versions and verdicts; which version serves is told in `quality.py`. Knows
nothing of where the figures come from.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class AdapterMetrics:
    """The figures of adapters; on the registry of the program."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.load = Gauge(
            "stream_rec_adapter_load_seconds",
            "Duration of the last load of a version, in the background",
            registry=registry,
        )
        self.swaps = Counter(
            "stream_rec_adapter_swaps",
            "Times that another version began to serve",
            registry=registry,
        )
        self.swap = Gauge(
            "stream_rec_adapter_swap_seconds",
            "How long the last swap held up the loop",
            registry=registry,
        )
        self.spaces = Gauge(
            "stream_rec_adapters_in_memory", "Versions in memory", registry=registry
        )
        self.refused = Gauge(
            "stream_rec_adapters_refused", "Versions that could not be loaded", registry=registry
        )
        names = ["kind", "scenario", "version"]
        self._events = Gauge(
            "stream_rec_shadow_events",
            "Live events compared, all workers",
            names,
            registry=registry,
        )
        self._mean = Gauge(
            "stream_rec_shadow_mean",
            "Mean difference of log-ranks, challenger less champion, -1 to 1",
            names,
            registry=registry,
        )
        self.decisions = Counter(
            "stream_rec_adapter_decisions",
            "Decisions of this worker",
            ["verdict"],
            registry=registry,
        )
        for verdict in ("promoted", "rejected", "rolled_back"):
            self.decisions.labels(verdict)  # the first of a kind is an increase from 0

    def shadowing(self, found: Mapping[tuple[str, str, int], tuple[int, float]]) -> None:
        """Say how many events were compared for each trial, and their mean difference."""
        named = {(kind, name, str(version)): said for (kind, name, version), said in found.items()}
        _replace(self._events, {labels: float(events) for labels, (events, _) in named.items()})
        _replace(self._mean, {labels: mean for labels, (_, mean) in named.items()})


def _replace(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Set a gauge's values, and take away those of other labels; none is missing in between."""
    for family in gauge.collect():
        for sample in family.samples:
            labels = tuple(sample.labels.values())
            if labels not in values:
                gauge.remove(*labels)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
