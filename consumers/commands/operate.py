"""The commands of operators about a running installation: policy, explanation, dead letters.

Thin: options become settings, and the file that does the work is imported only then.
"""

from typing import Annotated

import typer

from consumers.commands.adapter_options import adapter
from consumers.commands.dead_letter_options import dlq
from consumers.commands.options import Bootstrap, DataDir, Json, Model, Prefix, Scenario, reach
from consumers.commands.user_options import user

operate = typer.Typer()
policy = typer.Typer(
    help="Read and change what the engine does while it runs.", no_args_is_help=True
)
operate.add_typer(policy, name="policy", rich_help_panel=(OPERATE := "Operate"))
operate.add_typer(adapter, name="adapter", rich_help_panel=OPERATE)
operate.add_typer(dlq, name="dlq", rich_help_panel=OPERATE)
operate.add_typer(user, name="user", rich_help_panel=OPERATE)


@policy.command("get")
def policy_get(
    scenario: Scenario = "default",
    *,
    layers: Annotated[bool, typer.Option("--layers", help="Show each layer as written.")] = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Print the policy in force, as JSON."""
    from consumers.commands.policy_commands import get

    get(reach(bootstrap_servers, prefix, data_dir), scenario, layers=layers)


@policy.command("set")
def policy_set(
    source: Annotated[str, typer.Argument(metavar="FILE|-|JSON", help="The layer to set.")],
    scenario: Annotated[str, typer.Option(help="Scenario, or * for all of them.")] = "default",
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Set a scenario's layer, and say whether the engine took it.

    Examples: stream-rec policy set '{"list": {"size": 20}}' --scenario '*', or policy set null to
    take a layer away.
    """
    from consumers.commands.policy_commands import put

    put(reach(bootstrap_servers, prefix, data_dir), scenario, source)


@policy.command("diff")
def policy_diff(
    source: Annotated[str, typer.Argument(metavar="FILE|-|JSON", help="The layer to compare.")],
    scenario: Annotated[str, typer.Option(help="Scenario, or * for all of them.")] = "default",
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Show what a layer would change in the policy in force, without setting it."""
    from consumers.commands.policy_commands import diff

    diff(reach(bootstrap_servers, prefix, data_dir), scenario, source)


@policy.command("history")
def policy_history(
    scenario: Annotated[str | None, typer.Option(help="Only this scenario.")] = None,
    *,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """List who asked for which policy, when, and what became of it."""
    from consumers.commands.policy_commands import history

    history(reach(bootstrap_servers, prefix, data_dir), scenario, as_json=as_json)


@policy.command("rollback")
def policy_rollback(
    version: Annotated[
        int | None, typer.Argument(help="Version to go back to; else the one before.")
    ] = None,
    scenario: Annotated[str, typer.Option(help="Scenario, or * for all of them.")] = "default",
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Set an earlier accepted layer of a scenario again."""
    from consumers.commands.policy_commands import rollback

    rollback(reach(bootstrap_servers, prefix, data_dir), scenario, version)


@policy.command("fields")
def policy_fields(*, as_json: Json = False) -> None:
    """List every field of a policy: default, bounds, and what it does."""
    from consumers.commands.policy_fields import show

    show(as_json=as_json)


@operate.command(rich_help_panel=OPERATE)
def explain(
    user: Annotated[str, typer.Argument(help="User id; * for the list of users never seen.")],
    item: Annotated[
        str | None, typer.Argument(help="Why is this item in the list, or not?")
    ] = None,
    *,
    scenario: Scenario = "default",
    worded: Annotated[
        str | None,
        typer.Option(
            envvar="STREAM_REC_WORDED",
            help="A causal language model, by name or folder, that words the reasons; words that "
            "name what is not on record are dropped.",
        ),
    ] = None,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Say why each item stands in a user's list, or why one item does not."""
    from consumers.commands.explain import Question, answer

    say = None
    if worded is not None:
        from stream_rec.language_model.worder import CausalWorder

        say = CausalWorder(worded)
    question = Question(user_id=user, item_id=item, scenario=scenario)
    answer(reach(bootstrap_servers, prefix, data_dir), question, as_json=as_json, say=say)


@operate.command(rich_help_panel=OPERATE)
def doctor(
    *,
    load_model: Annotated[
        bool, typer.Option("--load-model", help="Load the language model too, which takes seconds.")
    ] = False,
    programs: Annotated[
        list[str] | None,
        typer.Option(
            "--program",
            help="Whose rights this user must have, repeated for several; recommender and encoder "
            "unless given.",
        ),
    ] = None,
    watch: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 3.0,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
    model: Model = None,
) -> None:
    """Find what is silently wrong with topics, producers, rights and programs, and how to mend it.

    Changes nothing. Exit status 1 when something is wrong. Run it with the credentials of the
    programs: it tells which of their rights are missing.
    """
    from consumers.commands.doctor import diagnose

    settings = reach(bootstrap_servers, prefix, data_dir, model=model)
    named = tuple(programs or ())
    if not diagnose(
        settings, programs=named, load_model=load_model, as_json=as_json, watch_s=watch
    ):
        raise typer.Exit(1)
