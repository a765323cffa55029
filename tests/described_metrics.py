"""Every metric that the programs serve, in the words they are registered with."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from consumers.telemetry.adapter_metrics import AdapterMetrics
from consumers.telemetry.merged_metrics import registry_of
from consumers.telemetry.metrics import EncoderMetrics, RecommenderMetrics
from consumers.telemetry.quality import Quality
from consumers.telemetry.trainer_metrics import TrainerMetrics
from stream_rec.replica import Replica

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@dataclass(slots=True, kw_only=True)
class Described:
    """One metric; `samples` are the names that queries use."""

    name: str
    kind: str
    documentation: str
    labels: tuple[str, ...]
    programs: list[str] = field(default_factory=list)

    @property
    def samples(self) -> tuple[str, ...]:
        return tuple(f"{self.name}{suffix}" for suffix in SUFFIXES[self.kind])


def described() -> dict[str, Described]:
    """Return every metric by name, in the order of the programs."""
    found: dict[str, Described] = {}
    for program, registry in registries().items():
        for family in registry.collect():
            labels = tuple(getattr(family, "_labelnames", ())) or labels_of(registry, family.name)
            metric = found.setdefault(
                family.name,
                Described(
                    name=family.name,
                    kind=family.type,
                    documentation=family.documentation,
                    labels=labels,
                ),
            )
            metric.programs.append(program)
    return found


def registries() -> dict[str, CollectorRegistry]:
    recommender = RecommenderMetrics()
    Quality(Replica(), recommender.registry)
    AdapterMetrics(recommender.registry)
    return {
        "recommender": recommender.registry,
        "encoder": EncoderMetrics().registry,
        "trainer": TrainerMetrics().registry,
        "up": registry_of({}),
    }


def labels_of(registry: CollectorRegistry, name: str) -> tuple[str, ...]:
    for collector, names in registry._collector_to_names.items():
        if name in names and isinstance(collector, MetricWrapperBase):
            return tuple(collector._labelnames)
    return ("program",) if name == "stream_rec_program_up" else ()
