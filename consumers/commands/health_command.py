"""`stream-rec health`: ask the program at this machine's HTTP address whether it lives.

What a container's health check runs: quick, quiet, exit status 0 or 1. Imports no client.
"""

from http.client import HTTPConnection, HTTPException

from consumers import terminal
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError, StreamRecError


class Unhealthy(StreamRecError):
    """The program does not answer, or says that it is not well."""


def run(settings: Settings, *, ready: bool = False) -> None:
    """Ask for `/livez`, or `/readyz` with the token, and print what is answered.

    Raises:
        ConfigurationError: no fixed port is set to ask at.
        Unhealthy: nobody answers, or the answer is not 200.
    """
    if settings.http_port == 0:
        msg = "--http or STREAM_REC_HTTP must name the port to ask at"
        raise ConfigurationError(msg)
    host = LOOPBACK.get(settings.http_host, settings.http_host)
    path = "/readyz" if ready else "/livez"
    token = settings.http_token
    headers = {"Authorization": f"Bearer {token}"} if ready and token else {}
    connection = HTTPConnection(host, settings.http_port, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        said = answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        msg = f"nothing answers at {host}:{settings.http_port}: {error}"
        raise Unhealthy(msg) from error
    finally:
        connection.close()
    if answer.status != 200:
        msg = f"{path} answered {answer.status}: {said}"
        raise Unhealthy(msg)
    terminal.results.print(said, markup=False, highlight=False)


LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on
