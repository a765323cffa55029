"""What the trainer counts and times, in Prometheus' words.

Labels are outcomes, kinds and scenarios: never a user, an item or a text. Knows nothing of where
the figures come from.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge


class TrainerMetrics:
    """The figures of one trainer."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter(
            "stream_rec_trainer_events",
            "Records read, by what became of them",
            ["outcome"],
            registry=registry,
        )
        self.buffer = Gauge(
            "stream_rec_replay_buffer_events", "Events kept", ["scenario"], registry=registry
        )
        self.rounds = Counter(
            "stream_rec_training_rounds",
            "Rounds of learning, by kind and outcome",
            ["kind", "outcome"],
            registry=registry,
        )
        self.running = Gauge(
            "stream_rec_training_running", "1 while a round runs", ["kind"], registry=registry
        )
        for kind in ("tower", "adapter"):
            self.running.labels(kind)
            for outcome in ("failed", "refused", "shadow"):
                self.rounds.labels(kind, outcome)  # the first of a kind is an increase from 0
        self.loss = Gauge(
            "stream_rec_training_loss", "Loss held out, last round", ["kind"], registry=registry
        )
        self.seconds = Gauge(
            "stream_rec_training_seconds", "Duration of the last round", ["kind"], registry=registry
        )
        self.texts = Gauge(
            "stream_rec_training_texts_per_second",
            "Texts a second in the steps of the last adapter",
            registry=registry,
        )
        self.gain = Gauge(
            "stream_rec_training_gain",
            "Gain in log-rank on later events that the gate saw last",
            ["kind"],
            registry=registry,
        )
        self.joined = Counter(
            "stream_rec_trainer_taken_items",
            "Items taken, by whether the list shown before had them",
            ["outcome"],
            registry=registry,
        )
        self.drifts = Counter(
            "stream_rec_trainer_drifts", "Falls of what lists are worth", registry=registry
        )
        self.erased = Counter(
            "stream_rec_trainer_erasures", "Users forgotten on request", registry=registry
        )
        self.lag = Gauge(
            "stream_rec_trainer_lag_records", "Records not yet read", registry=registry
        )
        self.ready = Gauge("stream_rec_ready", "1 when ready", registry=registry)
