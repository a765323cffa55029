"""The `stream-rec` command: exit statuses, and one clear line for every error.

Its commands are in `cli_programs.py` and `cli_operate.py`; each imports what does its work only
when it runs, so that `--help` answers at once.
"""

import sys
from typing import Annotated, NoReturn

import typer

from consumers import terminal
from consumers.commands.extras import advice
from consumers.commands.operate import operate
from consumers.commands.options import state
from consumers.commands.preparing import preparing
from consumers.commands.programs import programs
from stream_rec.errors import ConfigurationError, InvalidPolicy, StreamRecError

app = typer.Typer(
    name="stream-rec",
    help="Recommendation lists kept fresh by Kafka consumers, with a language model beside them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(programs)
app.add_typer(preparing)
app.add_typer(operate)


def _version(asked: bool) -> None:
    if not asked:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        terminal.results.print(version("stream-rec"), highlight=False)
    except PackageNotFoundError:
        terminal.results.print("not installed: running from a source tree")
    raise typer.Exit


@app.callback()
def options(
    *,
    debug: Annotated[
        bool, typer.Option(envvar="STREAM_REC_DEBUG", help="Show tracebacks and debug logs.")
    ] = False,
    _asked: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_version, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Read the options that every command has."""
    state["debug"] = debug


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every error is one line on stderr.

    Exit statuses: 0 done, 2 wrong use, 75 restart me, 1 anything else.
    """
    try:
        app(args=arguments)
    except (ConfigurationError, InvalidPolicy) as error:
        _fail(error, status=2)
    except StreamRecError as error:
        _fail(_refusal(error) or error, status=1)
    except ModuleNotFoundError as error:
        known = advice(error)
        _fail(StreamRecError(known) if known else error, status=1, unexpected=not known)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        told = _refusal(error)
        _fail(told or error, status=1, unexpected=told is None)
    sys.exit(0)


def _refusal(error: Exception) -> StreamRecError | None:
    """Return the one line about a refusal by the brokers that no command has put into words."""
    if "kafka" not in sys.modules:
        return None
    from consumers.kafka_io.access import denied
    from consumers.settings import settings_from_environment

    return denied(error, settings_from_environment(), "operator")


def _fail(error: Exception, *, status: int, unexpected: bool = False) -> NoReturn:
    if state["debug"]:
        raise error
    kind = f"{type(error).__name__}: " if unexpected else ""
    hint = " (stream-rec --debug … shows where)" if unexpected else ""
    terminal.complain(f"{kind}{error}{hint}")
    sys.exit(status)


if __name__ == "__main__":
    main()
