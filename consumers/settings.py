"""What one process is told once, at its start: the brokers, its folder, how it is reached.

Values come from options (keyword arguments) before the environment (`STREAM_REC_*`) before the
defaults below. Secrets are read from `STREAM_REC_<NAME>` or, for mounted secrets, from the file
named by `STREAM_REC_<NAME>_FILE`, and never printed. This file knows no Kafka client and no policy:
what operators change while the engine runs is in `stream_rec/policy.py`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path

from stream_rec.aliases.families import FORMATS
from stream_rec.errors import ConfigurationError
from stream_rec.pseudonyms import Pseudonyms, read_keys
from stream_rec.record_fields import whole_number


class Hidden(str):
    """A secret as a client takes it; its debug log prints all that it was given.

    >>> {"sasl_plain_password": Hidden("hunter2")}
    {'sasl_plain_password': '…'}
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return no letter of it."""
        return "'…'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How to reach secured brokers, by the names every Kafka client uses."""

    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True

    def __post_init__(self) -> None:
        if self.security_protocol not in PROTOCOLS:
            msg = f"security protocol {self.security_protocol!r} is none of {sorted(PROTOCOLS)}"
            raise ConfigurationError(msg)
        if self.security_protocol.startswith("SASL") and self.sasl_mechanism not in MECHANISMS:
            msg = f"SASL mechanism {self.sasl_mechanism!r} is none of {sorted(MECHANISMS)}"
            raise ConfigurationError(msg)
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and self.sasl_password
        ):
            msg = "SASL needs STREAM_REC_SASL_USERNAME and STREAM_REC_SASL_PASSWORD (or …_FILE)"
            raise ConfigurationError(msg)

    def client_options(self) -> dict[str, object]:
        """Return the options in kafka-python's spelling; empty for plain text."""
        if self.security_protocol == "PLAINTEXT":
            return {}
        options: dict[str, object] = {"security_protocol": self.security_protocol}
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": Hidden(self.sasl_password),
            }
        if self.security_protocol.endswith("SSL"):
            options |= {
                "ssl_cafile": self.ssl_cafile,
                "ssl_certfile": self.ssl_certfile,
                "ssl_keyfile": self.ssl_keyfile,
                # Without one, a locked key would ask for it on the terminal, for ever.
                "ssl_password": Hidden(self.ssl_password or ""),
                "ssl_check_hostname": self.ssl_check_hostname,
            }
        return options


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process's settings, checked when made.

    `slot` numbers the workers of one group from 0: it is the static membership in the group and
    names the folder of local state, so two live processes never share one. `replication_factor`
    None means 3, or as many brokers as there are. Local files are written anew, without the users
    that were forgotten, `clean_disk_s` seconds after the first of them. `http_token` guards what is
    asked over HTTP and is demanded off loopback; `http_names` are the names, separated by commas,
    by which others may ask beside the address. `pseudonym_key` is `id:secret[,oldid:oldsecret]`:
    users are stored under pseudonyms by the first, and found under the others too.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    prefix: str = "stream-rec"
    data_dir: Path = Path("stream-rec-data")
    slot: int = 0
    partitions: int = 4
    replication_factor: int | None = None
    http_host: str = "127.0.0.1"
    http_port: int = 0
    model: str = "minilm"
    format: str = "auto"  # the dialect of events: one of aliases.families.FORMATS
    device: str = "auto"
    hot_profiles: int = 2_000
    clean_disk_s: int = 900
    lost_events: str = "stop"  # or "skip", where retention deleted events before they were read
    checkpoints: str = ""  # any fsspec URL; empty: under data_dir
    http_token: str | None = field(default=None, repr=False)
    pseudonym_key: str | None = field(default=None, repr=False)
    http_names: str = ""
    security: Security = field(default_factory=Security)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9._-]{1,100}", self.prefix):
            msg = f"prefix {self.prefix!r}: 1 to 100 of letters, digits, dot, dash, underscore"
            raise ConfigurationError(msg)
        for name, low, high in BOUNDS:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                msg = f"{name} is {value}, not between {low} and {high}"
                raise ConfigurationError(msg)
        if self.device not in {"auto", "cpu", "cuda"}:
            msg = f"device {self.device!r} is none of auto, cpu, cuda"
            raise ConfigurationError(msg)
        if self.lost_events not in {"stop", "skip"}:
            msg = f"lost_events {self.lost_events!r} is neither stop nor skip"
            raise ConfigurationError(msg)
        if self.format not in FORMATS:
            msg = f"format {self.format!r} is none of {', '.join(FORMATS)}"
            raise ConfigurationError(msg)
        if self.http_token is None and not self.on_loopback:
            msg = (
                f"HTTP on {self.http_host} is open to others: set STREAM_REC_HTTP_TOKEN, or "
                "STREAM_REC_HTTP_TOKEN_FILE to a file that holds it"
            )
            raise ConfigurationError(msg)
        if self.http_token is not None and not re.fullmatch(r"[!-~]{16,}", self.http_token):
            msg = "the HTTP token must be 16 or more printable ASCII characters without spaces"
            raise ConfigurationError(msg)

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can ask over HTTP."""
        if self.http_host == "localhost":
            return True
        try:
            return ip_address(self.http_host).is_loopback
        except ValueError:
            return False

    @property
    def group_id(self) -> str:
        """The consumer group of all recommenders of this prefix."""
        return f"{self.prefix}.recommender"

    @property
    def checkpoint_root(self) -> str:
        """Where bundles of adapters are, as fsspec understands it; the same for all programs."""
        return self.checkpoints or str(self.data_dir.absolute() / "checkpoints")

    def names(self) -> Pseudonyms:
        """Make the names of users in whatever is stored, under the keys of the installation.

        Raises:
            ConfigurationError: the keys cannot be used.
        """
        return Pseudonyms(read_keys(self.pseudonym_key))

    def folder(self, program: str) -> Path:
        """Return the folder of local state of `program` in this slot, made if missing."""
        path = self.data_dir / f"{program}-{self.slot}"
        path.mkdir(parents=True, exist_ok=True)
        return path


def settings_from_environment(
    environment: Mapping[str, str] | None = None, **options: object
) -> Settings:
    """Read the settings; options that are None give way to the environment.

    Raises:
        ConfigurationError: a value is of the wrong type or out of bounds.

    >>> settings_from_environment({"STREAM_REC_PREFIX": "shop"}, partitions=8).prefix
    'shop'
    """
    env = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for item in fields(Settings):
        given = options.pop(item.name, None)
        if item.name == "security":
            values["security"] = given if given is not None else _security(env)
        elif item.name in SECRETS:
            values[item.name] = given or _secret(env, f"STREAM_REC_{item.name.upper()}")
        elif given is not None:
            values[item.name] = _typed(item.name, given)
        elif (text := env.get(f"STREAM_REC_{item.name.upper()}")) not in {None, ""}:
            values[item.name] = _typed(item.name, text)
    if options:
        msg = f"unknown settings: {sorted(options)}"
        raise ConfigurationError(msg)
    http = env.get("STREAM_REC_HTTP")
    if http and "http_port" not in values:
        values["http_host"], values["http_port"] = host_and_port(http)
    return Settings(**values)  # type: ignore[arg-type]


def secrets_and_security(settings: Settings) -> dict[str, str]:
    """Return the variables that tell a child process how brokers are reached, and the token.

    By environment only: arguments can be read by every user of the machine.
    """
    said = {
        f"STREAM_REC_{item.name.upper()}": str(value)
        for item in fields(Security)
        if (value := getattr(settings.security, item.name)) is not None
    }
    for name in ("http_token", "pseudonym_key"):
        if (secret := getattr(settings, name)) is not None:
            said[f"STREAM_REC_{name.upper()}"] = secret
    return said


def model_path(name: str) -> str | None:
    """Return the folder or hub name of a model; None for the packaged MiniLM, by any of its names.

    >>> model_path("minilm"), model_path("models/mine")
    (None, 'models/mine')
    """
    return None if name in PACKAGED else name


def host_and_port(text: str) -> tuple[str, int]:
    """Split `HOST:PORT`; an IPv6 host stands in brackets.

    >>> host_and_port("[::1]:8080")
    ('::1', 8080)
    """
    host, colon, port = text.rpartition(":")
    number = whole_number(port)
    if not colon or number is None or not host:
        msg = f"{text!r} is not HOST:PORT"
        raise ConfigurationError(msg)
    return host.strip("[]"), number


def _security(env: Mapping[str, str]) -> Security:
    values: dict[str, object] = {}
    for item in fields(Security):
        name = f"STREAM_REC_{item.name.upper()}"
        if text := _secret(env, name) if item.name in SECRETS else env.get(name):
            values[item.name] = text
    if "ssl_check_hostname" in values:
        values["ssl_check_hostname"] = str(values["ssl_check_hostname"]).lower() not in FALSE
    return Security(**values)  # type: ignore[arg-type]


def _secret(env: Mapping[str, str], name: str) -> str | None:
    """Return what the variable says, or the file that `<name>_FILE` names."""
    text, path = env.get(name), env.get(f"{name}_FILE")
    if not text and path:
        try:
            text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{name}_FILE cannot be read: {getattr(error, 'strerror', error)}"
            raise ConfigurationError(msg) from error
        if not text:
            msg = f"{name}_FILE is empty"
            raise ConfigurationError(msg)
    return text or None


def _typed(name: str, value: object) -> object:
    if name == "data_dir":
        return Path(str(value)).expanduser()
    if name in INTEGERS:
        try:
            return int(str(value))
        except ValueError as error:
            msg = f"{name}: {value!r} is not a whole number"
            raise ConfigurationError(msg) from error
    return value


PACKAGED = frozenset({"", "minilm", "all-MiniLM-L6-v2"})
# Touched by a program in its folder when it gets on; the supervisor looks at its time.
HEARTBEAT_FILE = "heartbeat"
PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
SECRETS = frozenset(
    {"sasl_password", "ssl_password", "sasl_username", "http_token", "pseudonym_key"}
)
FALSE = frozenset({"0", "false", "no", "off"})
INTEGERS = frozenset(
    {"slot", "partitions", "replication_factor", "http_port", "hot_profiles", "clean_disk_s"}
)
BOUNDS = (
    ("slot", 0, 9999),
    ("partitions", 1, 10_000),
    ("replication_factor", 1, 100),
    ("http_port", 0, 65_535),
    ("hot_profiles", 16, 10_000_000),
    ("clean_disk_s", 1, 86_400),
)
