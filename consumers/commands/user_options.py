"""The command line of `stream-rec user …`: options, and the question before the deed."""

import sys
from typing import Annotated

import typer

from consumers.commands.options import Bootstrap, DataDir, Json, Prefix, reach

user = typer.Typer(help="What the engine knows of one user.", no_args_is_help=True)


@user.command("delete")
def user_delete(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="User id, as in the events.")],
    *,
    up_to: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Forget what happened up to this time (ISO 8601 or epoch); up to now unless set.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Forget a user, and print a receipt: what was removed, and when the log itself is clean.

    Profile, lists in all scenarios and local state go. Events of theirs up to now have no effect,
    also when they are replayed. Exit status: 0 forgotten, 1 asked for but not confirmed, 2 wrong
    use.
    """
    from consumers.commands.user_commands import check, delete
    from stream_rec.errors import ConfigurationError

    settings = reach(bootstrap_servers, prefix, data_dir)
    up_to_ms = check(user_id, up_to)
    if not yes:
        if not sys.stdin.isatty():
            msg = "nobody is there to be asked: add --yes"
            raise ConfigurationError(msg)
        typer.confirm(f"Forget {user_id} under {settings.prefix}, for good?", abort=True, err=True)
    delete(settings, user_id, up_to_ms, as_json=as_json)
