"""Why nobody is let in, told by listeners that behave as brokers do when they refuse."""

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from consumers.kafka_io.clients import admin
from consumers.settings import Security, Settings
from stream_rec.errors import AccessDenied

VERSIONS = ((3, 0, 9), (17, 0, 1), (18, 0, 0), (36, 0, 1))  # api, least, most
BY_SCRAM = Security(
    security_protocol="SASL_PLAINTEXT",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="ann",
    sasl_password="not-hers",
)


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Start a listener that serves each connection as told; return its address."""
    listeners: list[socket.socket] = []

    def start(serve: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        return f"localhost:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def refusing(pause_s: float) -> Callable[[socket.socket], None]:
    """Refuse every login as Apache Kafka does, and close `pause_s` after the answer."""

    def serve(connection: socket.socket) -> None:
        while header := connection.recv(4):
            asked = connection.recv(struct.unpack(">i", header)[0])
            api, version, number = struct.unpack(">hhi", asked[:8])
            answer = struct.pack(">i", number) + _body(api, version)
            connection.sendall(struct.pack(">i", len(answer)) + answer)
            if api == 36:
                time.sleep(pause_s)
                return

    return serve


def _body(api: int, version: int) -> bytes:
    if api == 18:
        told = b"".join(struct.pack(">hhh", *row) for row in VERSIONS)
        return struct.pack(">hi", 35 if version else 0, len(VERSIONS)) + told
    if api == 17:
        return struct.pack(">hih", 0, 1, 13) + b"SCRAM-SHA-512"
    return struct.pack(">hh", 58, 2) + b"no" + struct.pack(">iq", 0, 0)


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_a_refused_login_is_told_also_when_the_client_loses_the_answer(
    pause_s: float, listen: Callable
) -> None:
    settings = Settings(bootstrap_servers=listen(refusing(pause_s)), security=BY_SCRAM)
    started = time.monotonic()
    with pytest.raises(AccessDenied, match="refuse User:ann by SCRAM-SHA-512: wrong user name"):
        admin(settings)
    assert time.monotonic() - started < 10


def test_a_listener_that_ends_every_handshake_speaks_no_tls(listen: Callable) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.05)

    security = Security(security_protocol="SSL")
    with pytest.raises(AccessDenied, match="no TLS with localhost"):
        admin(Settings(bootstrap_servers=listen(serve), security=security))


def test_what_the_client_says_meanwhile_is_said_once_by_us(
    listen: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="kafka")  # whatever tests before this one asked for
    settings = Settings(bootstrap_servers=listen(refusing(0.3)), security=BY_SCRAM)
    with pytest.raises(AccessDenied):
        admin(settings)
    assert [line for line in caplog.records if line.name.startswith("kafka.net")] == []


def test_contacts_made_at_once_say_nothing_and_leave_the_log_as_it_was(
    listen: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="kafka")
    logger = logging.getLogger("kafka.net")
    before = logger.level, logger.propagate
    short, long = (
        Settings(bootstrap_servers=listen(refusing(pause_s)), security=BY_SCRAM)
        for pause_s in (0.0, 0.3)
    )

    def contact(settings: Settings) -> None:
        with pytest.raises(AccessDenied):
            admin(settings)

    threads = [threading.Thread(target=contact, args=(each,)) for each in (short, long, short)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(30)
    assert (logger.level, logger.propagate) == before
    assert [line for line in caplog.records if line.name.startswith("kafka.net")] == []
