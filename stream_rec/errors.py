"""Every error the product raises on purpose, and what the loop does with it.

StreamRecError
├── InvalidRecord          skip: the record goes to the dead letters with its reason
│   └── InvalidPolicy      skip: the policy in force stays, the refusal is audited
├── StateRejected          rebuild: local state is torn, foreign or newer than this program
├── NewerFormat            stop: a newer program wrote the state; going back needs the operator
├── CheckpointRejected     keep serving what is served now
├── TrainingFailed         keep serving: this training round is thrown away
├── ModelUnavailable       stop this program: the language model cannot be loaded
├── BrokerUnavailable      stop: no broker, or not the one that was asked for
├── AccessDenied           stop: the brokers refuse this user something; the operator must grant it
└── ConfigurationError     stop: wrong use, exit status 2
"""


class StreamRecError(Exception):
    """The root of all errors raised on purpose."""


class InvalidRecord(StreamRecError):
    """A record that cannot be used; `stage` says which check refused it."""

    def __init__(self, reason: str, *, stage: str = "decode") -> None:
        super().__init__(reason)
        self.reason = reason
        self.stage = stage


class InvalidPolicy(InvalidRecord):
    """A policy with an unknown field, a wrong type or a value out of bounds; refused whole."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, stage="policy")


class StateRejected(StreamRecError):
    """Local state or a snapshot that is torn, bit-flipped, foreign or of a newer format."""


class NewerFormat(StreamRecError):
    """State or a record of our own topics that a newer version of this program wrote."""


class CheckpointRejected(StreamRecError):
    """An adapter checkpoint that must not be served; the message says which check failed."""


class TrainingFailed(StreamRecError):
    """A training round met NaN or Inf, or had too little to learn from; nothing of it is used."""


class ModelUnavailable(StreamRecError):
    """The language model named by the operator cannot be loaded."""


class BrokerUnavailable(StreamRecError):
    """The Kafka broker cannot be fetched, started or reached."""


class AccessDenied(StreamRecError):
    """The brokers refuse this user, or an operation of theirs; the message says what to grant."""


class ConfigurationError(StreamRecError):
    """Options or topics that cannot work together; the operator must change something."""
