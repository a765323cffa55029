"""The options of `stream-rec dlq …`, as the command line reads them.

Thin: options become what is wanted, and the file that does the work is imported only then.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from consumers.commands.options import Bootstrap, DataDir, Json, Prefix, reach

if TYPE_CHECKING:
    from consumers.commands.dead_letters_found import Wanted

dlq = typer.Typer(
    help="Look at records that could not be used, send them again, or drop them.",
    no_args_is_help=True,
)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[LETTER]…", help="Letters by the names list shows.")
]
Topic = Annotated[
    str | None, typer.Option(help="Source topic: its whole name, or clicks, items, …")
]
Stage = Annotated[
    str | None, typer.Option(help="The check that refused: decode, key, partition, validate, …")
]
Reason = Annotated[str | None, typer.Option(help="Part of the reason, in any case.")]
Key = Annotated[str | None, typer.Option(help="The record's key: user, item or scenario.")]
Since = Annotated[
    str | None, typer.Option(help="Not before: ISO 8601, epoch seconds, or ago: 30m, 2h, 7d.")
]
Until = Annotated[str | None, typer.Option(help="Before: as --since.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many letters, oldest first.")]


@dlq.command("list")
def dlq_list(
    *,
    topic: Topic = None,
    stage: Stage = None,
    reason: Reason = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those sent again or dropped.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Newest records of each topic.")] = 20,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """List the newest open dead letters of every source topic with their reasons."""
    from consumers.commands.dead_letter_commands import show_list

    wanted = _wanted(None, topic, stage, reason, key, since, until, settled=everything)
    show_list(reach(bootstrap_servers, prefix, data_dir), wanted, limit=limit, as_json=as_json)


@dlq.command("show")
def dlq_show(
    name: Annotated[str, typer.Argument(metavar="LETTER", help="As list names it.")],
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the record's value, byte for byte.")
    ] = False,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Print one dead letter whole: its headers, its key and its value."""
    from consumers.commands.dead_letter_commands import show

    show(reach(bootstrap_servers, prefix, data_dir), name, as_json=as_json, raw=raw)


@dlq.command("retry")
def dlq_retry(
    names: Names = None,
    *,
    topic: Topic = None,
    stage: Stage = None,
    reason: Reason = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that failed again after a retry.")
    ] = False,
    limit: Limit = 10_000,
    wait_s: Annotated[float, typer.Option(min=0, help="Seconds to wait for the engine.")] = 60.0,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Send open dead letters to their topics again, untouched, and tell what became of each.

    One that fails again is a new dead letter with its count of retries, and is left alone from then
    on unless --again asks for it.
    """
    from consumers.commands.dead_letter_commands import retry

    wanted = _wanted(names, topic, stage, reason, key, since, until)
    settings = reach(bootstrap_servers, prefix, data_dir)
    retry(settings, wanted, again=again, limit=limit, wait_s=wait_s, as_json=as_json)


@dlq.command("drop")
def dlq_drop(
    names: Names = None,
    *,
    topic: Topic = None,
    stage: Stage = None,
    reason: Reason = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    limit: Limit = 1_000_000,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Mark open dead letters as done with, and free what the log can free.

    Kafka deletes no single record: what stands before the first open letter of a partition is
    deleted from the log, the rest is only marked, and goes with the topic's retention.
    """
    from consumers.commands.dead_letter_commands import drop

    wanted = _wanted(names, topic, stage, reason, key, since, until)
    settings = reach(bootstrap_servers, prefix, data_dir)
    drop(settings, wanted, everything=everything, limit=limit, as_json=as_json)


def _wanted(names: list[str] | None, *filters: str | None, settled: bool = False) -> "Wanted":
    from consumers.commands.dead_letters_found import Wanted, moment

    topic, stage, reason, key, since, until = filters
    return Wanted(
        ids=tuple(names or ()),
        topic=topic,
        stage=stage,
        reason=reason,
        key=key,
        since=moment(since),
        until=moment(until),
        settled=settled,
    )
