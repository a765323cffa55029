"""The commands around a deployment: topics made, schemas printed, a container's health asked.

Thin: options become settings, and the file that does the work is imported only then.
"""

from pathlib import Path
from typing import Annotated

import typer

from consumers.commands.options import Bootstrap, DataDir, Http, Json, Prefix, settings_of

preparing = typer.Typer()


@preparing.command(rich_help_panel=(DEPLOY := "Deploy"))
def topics(
    *,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="STREAM_REC_PARTITIONS",
            help="Partitions of missing topics by user; those that exist decide.",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            min=1, envvar="STREAM_REC_REPLICATION_FACTOR", help="Replicas of missing topics."
        ),
    ] = None,
    bootstrap_servers: Bootstrap = None,
    prefix: Prefix = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make the missing topics and end: the programs do so too, but need no right to it then."""
    from consumers.commands.topics_command import run

    sizes = {"partitions": partitions, "replication_factor": replication_factor}
    run(settings_of(bootstrap_servers, prefix, data_dir, **sizes), as_json=as_json)  # type: ignore[arg-type]


@preparing.command(rich_help_panel=DEPLOY)
def rights(
    program: Annotated[
        str,
        typer.Argument(
            help="topics, recommender, encoder, trainer, operator, analyst, doctor, dlq, producer "
            "or reader."
        ),
    ],
    *,
    principal: Annotated[str, typer.Option(help="Whom to grant it.")] = "User:stream-rec",
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    prefix: Prefix = None,
) -> None:
    """Print what to grant to a program on brokers with ACLs: the least it works with."""
    from consumers.commands.rights_command import run

    run(settings_of(bootstrap_servers, prefix, None), program, principal, as_json=as_json)


@preparing.command(rich_help_panel=DEPLOY)
def schema(
    name: Annotated[
        str | None, typer.Argument(help="Which one; without a name, all are listed.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write all of them into a folder.")
    ] = None,
) -> None:
    """Print a JSON Schema of the public topics, or their AsyncAPI document."""
    from consumers.commands.schema_command import run

    run(name, write)


@preparing.command(rich_help_panel=DEPLOY)
def health(
    *,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it is ready, not only alive.")
    ] = False,
    http: Http = None,
) -> None:
    """Ask the program at this address whether it lives: status 0 or 1, for containers."""
    from consumers.commands.health_command import run

    run(settings_of(None, None, None, http), ready=ready)
