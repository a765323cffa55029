"""`stream-rec up`: run an installation in the foreground and say where it is reached.

Knows the terminal and the installation, nothing of what the programs do.
"""

from pathlib import Path

from consumers import terminal
from consumers.processes.broker_jars import fetch_broker
from consumers.processes.child_output import to_stderr
from consumers.processes.installation import READY_FILE, Installation, Plan, Ready
from consumers.settings import Settings


def run(settings: Settings, *, workers: int, embedded: bool, trainer: bool = True) -> int:
    """Run until SIGTERM or Ctrl-C and return the exit status.

    Raises:
        ConfigurationError: the folder is in use, or options or topics cannot work together.
        BrokerUnavailable: no broker can be had.
    """
    terminal.log_to_stderr()
    jars = broker_jars() if embedded else None
    plan = Plan(settings=settings, workers=workers, trainer=trainer, jars=jars, echo=to_stderr)
    installation = Installation(plan)
    status = installation.run(lambda ready: _announce(settings, ready))
    if (reason := installation.reason()) is not None:
        terminal.complain(reason)
    else:
        terminal.say("stopped")
    return status


def broker_jars() -> Path:
    """Return the folder of the embedded broker's jars, fetched with a progress bar if need be.

    Raises:
        BrokerUnavailable: they cannot be had, or are not those whose checksums are committed.
    """
    with terminal.progress_bar("Apache Kafka, files") as advance:
        return fetch_broker(progress=lambda done, whole, _name: advance(done, whole))


def _announce(settings: Settings, ready: Ready) -> None:
    terminal.say(
        f"ready: brokers {ready.bootstrap_servers}, http://{ready.http}/metrics, "
        f"{settings.data_dir / READY_FILE}"
    )
