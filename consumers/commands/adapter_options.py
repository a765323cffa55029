"""`stream-rec adapter …`: the options of each command; `adapter_commands.py` does the work."""

from typing import Annotated

import typer

from consumers.commands.options import Bootstrap, DataDir, Json, Prefix, Scenario, reach

adapter = typer.Typer(
    help="Look at the language model's adapters, promote one, or roll back.", no_args_is_help=True
)
Version = Annotated[int, typer.Argument(min=1, help="Version, as `adapter list` numbers them.")]


@adapter.command("list")
def adapter_list(
    scenario: Annotated[str | None, typer.Option(help="Only this scenario.")] = None,
    *,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """List what serves each scenario, and every version with its state and evidence."""
    from consumers.commands.adapter_commands import show_all

    show_all(reach(bootstrap_servers, prefix, data_dir), scenario, as_json=as_json)


@adapter.command("show")
def adapter_show(
    version: Version,
    *,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Show the life of one version: what it was trained on, its gate, its shadow."""
    from consumers.commands.adapter_commands import show_one

    show_one(reach(bootstrap_servers, prefix, data_dir), version, as_json=as_json)


@adapter.command("promote")
def adapter_promote(
    version: Version,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even one that the gate or its shadow refused.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it goes to the audit.")] = "",
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Let a version serve its scenario now; one whose bundle is torn never does."""
    from consumers.commands.adapter_commands import Asked, promote

    asked = Asked(reason=reason, force=force, as_json=as_json)
    promote(reach(bootstrap_servers, prefix, data_dir), version, asked)


@adapter.command("rollback")
def adapter_rollback(
    scenario: Scenario = "default",
    *,
    reason: Annotated[str, typer.Option(help="Why; it goes to the audit.")] = "",
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Let the version before serve a scenario again, in one step."""
    from consumers.commands.adapter_commands import Asked, roll_back

    asked = Asked(reason=reason, force=False, as_json=as_json)
    roll_back(reach(bootstrap_servers, prefix, data_dir), scenario, asked)
