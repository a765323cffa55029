"""`stream-rec adapter …`: the options of each command; `adapter_commands.py` does the work."""

from typing import Annotated

import typer

from consumers.commands.options import (
    Bootstrap,
    DataDir,
    Device,
    Json,
    Model,
    Prefix,
    Scenario,
    reach,
)

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
    from consumers.commands.adapter_commands import Asked, promote, tell

    asked = Asked(reason=reason, force=force)
    tell(promote(reach(bootstrap_servers, prefix, data_dir), version, asked), as_json=as_json)


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
    from consumers.commands.adapter_commands import Asked, roll_back, tell

    settings, asked = reach(bootstrap_servers, prefix, data_dir), Asked(reason=reason)
    tell(roll_back(settings, scenario, asked), as_json=as_json)


@adapter.command("distil")
def adapter_distil(
    teacher: Annotated[
        str, typer.Argument(metavar="MODEL", help="The larger model, by folder or hub name.")
    ],
    scenario: Scenario = "default",
    *,
    max_s: Annotated[float, typer.Option(min=1, help="Seconds of training.")] = 600.0,
    rank: Annotated[int, typer.Option(min=1, max=256, help="Rank of the adapter.")] = 16,
    model: Model = None,
    device: Device = None,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Teach the model that runs which items a larger one puts side by side; live events decide.

    Trains in this process, from the texts of the catalogue alone. The adapter is tried on live
    events like any other; it has no tower until it serves, so try it before the first tower does.
    """
    from dataclasses import replace

    from consumers.commands.options import settings_of
    from consumers.training.distillation import Wish, run

    settings = reach(bootstrap_servers, prefix, data_dir)
    asked = settings_of(None, None, None, model=model, device=device)
    settings = replace(settings, model=asked.model, device=asked.device)
    run(settings, Wish(teacher=teacher, scenario=scenario, max_s=max_s, rank=rank))
