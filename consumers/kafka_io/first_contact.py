"""Make a client, and say at once why the brokers do not let it in.

The client itself tries for half a minute whatever the brokers answer, and then says only that it
could not: the reason is in its log alone. So the log of the first contact is listened to, and a
reason that no waiting mends ends the attempt. Knows no topic.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kafka.errors import (
    AuthorizationError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from consumers.settings import Security, Settings, host_and_port
from stream_rec.errors import AccessDenied, BrokerUnavailable, ConfigurationError

Client = TypeVar("Client")


def connected(make: Callable[[int], Client], settings: Settings) -> Client:
    """Return what `make` makes; it is given the milliseconds that brokers have to answer.

    Raises:
        AccessDenied: the brokers refuse this user or certificate, or are not to be trusted.
        BrokerUnavailable: nobody answers as expected.
        ConfigurationError: a file of certificates or keys cannot be read.
    """
    _check_files(settings.security)
    with _listening() as heard:
        for patience_ms in PATIENCE_MS:
            try:
                return make(patience_ms)
            except KafkaError as error:
                heard.errors.append(error)
                for told in heard.errors:
                    if (words := _words(told, settings)) is not None:
                        raise AccessDenied(words) from error
                if heard.cut_off >= OFTEN and settings.security.security_protocol in SASL:
                    raise AccessDenied(_not_let_in(settings)) from error
                if heard.ended >= OFTEN:
                    msg = f"no TLS with {settings.bootstrap_servers}: STREAM_REC_SECURITY_PROTOCOL"
                    raise AccessDenied(msg) from error
                if _tls_is_spoken_instead(settings):
                    msg = (
                        f"the brokers at {settings.bootstrap_servers} speak TLS: "
                        "STREAM_REC_SECURITY_PROTOCOL is SSL or SASL_SSL then"
                    )
                    raise AccessDenied(msg) from error
    last = next((told for told in reversed(heard.errors[:-1])), heard.errors[-1])
    msg = (
        f"no broker answers at {settings.bootstrap_servers} by "
        f"{settings.security.security_protocol}: {last}"
    )
    raise BrokerUnavailable(msg)


def user_of(security: Security) -> str:
    """Return how operators know the user that brokers see.

    >>> user_of(Security())
    'this client, which names no user'
    """
    if security.sasl_username and security.security_protocol.startswith("SASL"):
        return f"User:{security.sasl_username}"
    if security.ssl_certfile and security.security_protocol == "SSL":
        return f"the user of the certificate {security.ssl_certfile}"
    return "this client, which names no user"


def _words(error: BaseException, settings: Settings) -> str | None:
    """Return the words for a reason that will not go away by itself, None for another one."""
    security = settings.security
    where = settings.bootstrap_servers
    match error:
        case SaslAuthenticationFailedError():
            return _not_let_in(settings)
        case UnsupportedSaslMechanismError():
            return f"the brokers at {where} do not take {security.sasl_mechanism}: {error}"
        case AuthorizationError():
            return f"the brokers at {where} refuse {user_of(security)}: {error}"
        case ssl.SSLCertVerificationError():
            hint = "; STREAM_REC_SSL_CAFILE names the authority's file"
            return (
                f"the certificate of the broker at {where} is not to be trusted: "
                f"{error.verify_message}{'' if error.verify_code in OTHER_NAME else hint}"
            )
        case ssl.SSLError() if "CERTIFICATE" in str(error.reason):
            return (
                f"the broker at {where} does not take our certificate ({error.reason}): set "
                "STREAM_REC_SSL_CERTFILE and STREAM_REC_SSL_KEYFILE to one that it trusts"
            )
        case ssl.SSLError() if error.reason == "WRONG_VERSION_NUMBER":
            return f"what answers at {where} does not speak TLS: STREAM_REC_SECURITY_PROTOCOL"
        case ssl.SSLError() if error.reason == CUT_SHORT:
            return None  # so does a broker that goes down
        case ssl.SSLError():
            return f"no TLS with {where}: {error.reason or error}"
        case _:
            return None


def _not_let_in(settings: Settings) -> str:
    security = settings.security
    return (
        f"the brokers at {settings.bootstrap_servers} refuse {user_of(security)} by "
        f"{security.sasl_mechanism}: wrong user name or password, no such user, or not this way"
    )


def _tls_is_spoken_instead(settings: Settings) -> bool:
    """Ask for a TLS handshake where plain text was not understood; nothing is sent in it."""
    if settings.security.security_protocol.endswith("SSL"):
        return False
    context = ssl.create_default_context()
    for server in settings.bootstrap_servers.split(","):
        try:
            host, port = host_and_port(server)
            with socket.create_connection((host, port), timeout=ASKED_S) as plain:
                context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLError as error:
            if error.reason not in NO_TLS:
                return True
        except OSError:
            continue
        else:
            return True
    return False


def _check_files(security: Security) -> None:
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(security, name)
        if path is None or not security.security_protocol.endswith("SSL"):
            continue
        try:
            Path(path).open("rb").close()
        except OSError as error:
            msg = f"STREAM_REC_{name.upper()}: {path}: {error.strerror}"
            raise ConfigurationError(msg) from error
    if security.ssl_certfile is not None and security.security_protocol.endswith("SSL"):
        _check_key(security, security.ssl_certfile)


def _check_key(security: Security, certificate: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate, security.ssl_keyfile, security.ssl_password or ""
        )
    except (ssl.SSLError, ValueError) as error:
        msg = (
            "STREAM_REC_SSL_CERTFILE and STREAM_REC_SSL_KEYFILE cannot be used together: "
            f"{getattr(error, 'reason', None) or error}; is it the certificate's key, and does "
            "STREAM_REC_SSL_PASSWORD unlock it?"
        )
        raise ConfigurationError(msg) from error


class _Heard(logging.Handler):
    """Collects the exceptions that the client logs.

    `cut_off` counts connections that ended after a broker had named its version: it closes so when
    it refuses a login, and the client mostly throws the answer away that came before. `ended`
    counts TLS handshakes that were cut short. `found` is the level and whether lines are passed on,
    as the log was before anybody listened.
    """

    def __init__(self, found: tuple[int, bool]) -> None:
        super().__init__(level=logging.INFO)
        self.found = found
        self.errors: list[BaseException] = []
        self.cut_off = self.ended = 0
        self._greeted = False

    def emit(self, record: logging.LogRecord) -> None:
        """Note what one line of the log holds."""
        if "Broker version identified" in str(record.msg):
            self._greeted = True
        given = record.args if isinstance(record.args, tuple) else ()
        for error in (*given, (record.exc_info or (None, None))[1]):
            while isinstance(error, BaseException):
                if not any(error is known for known in self.errors):
                    self.errors.append(error)
                    self.cut_off += self._greeted and "disconnected" in str(error)
                    self.ended += getattr(error, "reason", None) == CUT_SHORT
                inside = (part for part in error.args if isinstance(part, BaseException))
                error = error.__cause__ or error.__context__ or next(inside, None)


@contextmanager
def _listening() -> Iterator[_Heard]:
    """Listen to the client's log, and keep it from being printed: what it says, we say better.

    Threads that make their first contact at once share the logger: the first one in finds it as it
    is to be left, and the last one out leaves it so.
    """
    logger = logging.getLogger("kafka.net")
    with _one_at_a_time:
        others = _listeners(logger)
        heard = _Heard(others[0].found if others else (logger.level, logger.propagate))
        logger.addHandler(heard)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield heard
    finally:
        with _one_at_a_time:
            logger.removeHandler(heard)
            if not _listeners(logger):
                level, logger.propagate = heard.found
                logger.setLevel(level)


def _listeners(logger: logging.Logger) -> list[_Heard]:
    return [handler for handler in logger.handlers if isinstance(handler, _Heard)]


_one_at_a_time = threading.Lock()

# A reason is heard within a second; a slow broker gets the rest of half a minute.
PATIENCE_MS = (3_000, 27_000)
ASKED_S = 3.0
SASL = frozenset({"SASL_SSL", "SASL_PLAINTEXT"})
OFTEN = 3  # a broker that goes down is not reached a second time
CUT_SHORT = "UNEXPECTED_EOF_WHILE_READING"
OTHER_NAME = frozenset({62, 64})  # OpenSSL: not a certificate for this host, for this address
# What a listener without TLS is heard as; every other failure is that of a TLS handshake.
NO_TLS = frozenset({"WRONG_VERSION_NUMBER", CUT_SHORT, None})
