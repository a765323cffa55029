"""Decides what follows the end of a supervised child: a restart, a stop of everything, or nothing.

Pure: it is told how the child ended and how often it failed before. It does not know processes.
"""

from dataclasses import dataclass

RESTART_ME = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRules:
    """How patient the supervisor is with one child; times in seconds."""

    tries: int = 5  # ends without progress, in a row, before giving up
    settled_s: float = 60.0  # a child that lived this long made progress
    first_delay_s: float = 0.2
    longest_delay_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse rules that would never restart or never wait."""
        if self.tries < 1 or not 0 < self.first_delay_s <= self.longest_delay_s:
            message = f"not a way to restart anything: {self}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one life of a child went."""

    status: int  # as Popen tells it: negative for death by a signal
    lived_s: float
    progressed: bool = False  # it touched its heartbeat file
    blameless: bool = False  # what it depends on was down


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Start it again after a while; `failures` is its new count of ends without progress."""

    delay_s: float
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAll:
    """End every child and the supervisor, with this exit status."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """It is done; the others go on."""


Decision = Restart | StopAll | Finished


def decide(name: str, ending: Ending, failures: int, rules: RestartRules) -> Decision:
    """Return what to do after `ending`, the latest after `failures` ends without progress.

    >>> decide("encoder", Ending(status=75, lived_s=1.0), 0, RestartRules())
    Restart(delay_s=0.2, failures=1)
    >>> decide("encoder", Ending(status=2, lived_s=1.0), 0, RestartRules()).status
    2
    """
    how = describe(ending.status)
    if ending.status == 0:
        return Finished()
    if not wants_restart(ending.status):
        status = ending.status if ending.status == 2 else 1
        return StopAll(status=status, reason=f"{name} {how}")
    if ending.progressed or ending.lived_s >= rules.settled_s:
        return Restart(delay_s=rules.first_delay_s, failures=0)
    if ending.blameless:
        return Restart(delay_s=rules.first_delay_s, failures=failures)
    failures += 1
    if failures >= rules.tries:
        reason = f"{name} ended {failures} times without progress, at last it {how}; giving up"
        return StopAll(status=1, reason=reason)
    delay_s = min(rules.first_delay_s * 2.0 ** (failures - 1), rules.longest_delay_s)
    return Restart(delay_s=delay_s, failures=failures)


def wants_restart(status: int) -> bool:
    """Say whether an exit status asks for a restart: 75, or death by a signal.

    A JVM tells a signal as 128 + its number; so does a shell.
    """
    return status == RESTART_ME or status < 0 or status > 128


def describe(status: int) -> str:
    """Say how a process ended, in words that follow its name.

    >>> describe(-9), describe(143), describe(1)
    ('was ended by signal 9', 'was ended by signal 15', 'ended with exit status 1')
    """
    if status < 0 or status > 128:
        return f"was ended by signal {-status if status < 0 else status - 128}"
    return f"ended with exit status {status}"
