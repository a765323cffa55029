"""The `stream-rec` command: options, exit statuses, one clear line for every error.

Thin on purpose: each command reads its options into `Settings` and calls the file that does the
work, which is imported only then, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from consumers import terminal
from stream_rec.errors import ConfigurationError, InvalidPolicy, StreamRecError

if TYPE_CHECKING:
    from consumers.settings import Settings

app = typer.Typer(
    name="stream-rec",
    help="Recommendation lists kept fresh by Kafka consumers, with a language model beside them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
policy = typer.Typer(
    help="Read and change what the engine does while it runs.", no_args_is_help=True
)
dlq = typer.Typer(help="Look at records that could not be used.", no_args_is_help=True)
app.add_typer(policy, name="policy", rich_help_panel=(OPERATE := "Operate"))
app.add_typer(dlq, name="dlq", rich_help_panel=OPERATE)

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        metavar="HOST:PORT",
        envvar="STREAM_REC_BOOTSTRAP_SERVERS",
        help="Kafka brokers, separated by commas.",
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        envvar="STREAM_REC_PREFIX", help="First part of all topic names; stream-rec unless set."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="STREAM_REC_DATA_DIR", help="Folder of local state; ./stream-rec-data unless set."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        envvar="STREAM_REC_MODEL",
        metavar="NAME_OR_PATH",
        help="Language model that reads item texts: minilm (packaged), or any Hugging Face "
        "encoder or causal LM.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(envvar="STREAM_REC_DEVICE", help="auto, cpu or cuda; auto unless set."),
]
Http = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        envvar="STREAM_REC_HTTP",
        help="Where /livez, /readyz and /metrics answer; a free port of 127.0.0.1 unless set.",
    ),
]
Slot = Annotated[
    int | None,
    typer.Option(
        min=0, envvar="STREAM_REC_SLOT", help="Number of this worker among its group, from 0."
    ),
]
Scenario = Annotated[str, typer.Option(help="Scenario the answer is for.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def options(
    *,
    debug: Annotated[
        bool, typer.Option(envvar="STREAM_REC_DEBUG", help="Show tracebacks and debug logs.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Read the options that every command has."""
    state["debug"] = debug
    if version:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            terminal.results.print(installed("stream-rec"))
        except PackageNotFoundError:
            terminal.results.print("not installed: running from a source tree")
        raise typer.Exit


@app.command(rich_help_panel="Run")
def up(
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
    workers: Annotated[
        int, typer.Option(min=1, envvar="STREAM_REC_WORKERS", help="Recommender processes.")
    ] = 1,
    model: Model = None,
    device: Device = None,
    http: Http = None,
) -> None:
    """Run everything: recommenders, encoder, and without --bootstrap-servers a Kafka broker too.

    DIR/ready.json says where when all is ready. SIGTERM and Ctrl-C stop all of it; a second start
    on the same folder goes on where the first one stopped.
    """
    from consumers.up import run

    settings = _settings(bootstrap_servers, prefix, data_dir, http, model=model, device=device)
    raise typer.Exit(run(settings, workers=workers, embedded=bootstrap_servers is None))


@app.command(rich_help_panel="Run")
def recommender(
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
    slot: Slot = None,
    http: Http = None,
) -> None:
    """Run one recommender worker alone: events in, lists out."""
    settings = _settings(bootstrap_servers, prefix, data_dir, http, slot=slot)
    terminal.log_to_stderr(debug=state["debug"])
    from consumers.recommender import run_recommender

    run_recommender(settings)


@app.command(rich_help_panel="Run")
def encoder(
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
    model: Model = None,
    device: Device = None,
    http: Http = None,
) -> None:
    """Run the encoder alone: item texts in, vectors out."""
    settings = _settings(bootstrap_servers, prefix, data_dir, http, model=model, device=device)
    terminal.log_to_stderr(debug=state["debug"])
    from consumers.encoder import run_encoder

    run_encoder(settings)


@app.command(rich_help_panel="Try")
def demo(
    items: Annotated[
        Path | None, typer.Option(help="Catalogue, JSON Lines, gzip or not; else a made-up shop.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="Events in order of time, JSON Lines, gzip or not.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=10, help="How long events flow.")] = 90.0,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data here; else a temporary folder is used.")
    ] = None,
) -> None:
    """Watch the whole thing at work on a real broker; ends by itself and leaves nothing running."""
    from consumers.demo import DemoPlan, run

    plan = DemoPlan(items=items, events=events, seconds=seconds, data_dir=data_dir)
    raise typer.Exit(run(plan, debug=state["debug"]))


@app.command(rich_help_panel="Try")
def replay(
    items: Annotated[Path, typer.Option(help="Catalogue, JSON Lines, gzip or not.")],
    events: Annotated[Path, typer.Option(help="Events in order of time, likewise.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N events.")] = None,
    policy_file: Annotated[
        list[Path] | None,
        typer.Option("--policy", help="Policy to run with; several are compared side by side."),
    ] = None,
    model: Model = None,
    device: Device = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    refresh: Annotated[
        float, typer.Option(min=0.0, help="Stale lists made again per event, as spare time would.")
    ] = 0.0,
    *,
    text: Annotated[bool, typer.Option(help="Use the language model.")] = True,
    repeats: Annotated[bool, typer.Option(help="Users consume items again.")] = False,
    baselines: Annotated[bool, typer.Option(help="Run the baselines as well.")] = True,
    as_json: Json = False,
) -> None:
    """Run the same engine over files, no broker: quality per segment, deterministic digest."""
    from consumers.replay_command import ReplayPlan, run
    from stream_rec.replay import Options

    plan = ReplayPlan(
        items=items,
        events=events,
        limit=limit,
        policies=policy_file or (),
        model=(model or "minilm") if text else None,
        device=device or "auto",
        baselines=baselines,
        options=Options(seed=seed, refresh=refresh, repeats=repeats),
    )
    run(plan, as_json=as_json)


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
    from consumers.policy_commands import get

    get(_reach(bootstrap_servers, prefix, data_dir), scenario, layers=layers)


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
    from consumers.policy_commands import put

    put(_reach(bootstrap_servers, prefix, data_dir), scenario, source)


@policy.command("diff")
def policy_diff(
    source: Annotated[str, typer.Argument(metavar="FILE|-|JSON", help="The layer to compare.")],
    scenario: Annotated[str, typer.Option(help="Scenario, or * for all of them.")] = "default",
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Show what a layer would change in the policy in force, without setting it."""
    from consumers.policy_commands import diff

    diff(_reach(bootstrap_servers, prefix, data_dir), scenario, source)


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
    from consumers.policy_commands import history

    history(_reach(bootstrap_servers, prefix, data_dir), scenario, as_json=as_json)


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
    from consumers.policy_commands import rollback

    rollback(_reach(bootstrap_servers, prefix, data_dir), scenario, version)


@app.command(rich_help_panel=OPERATE)
def explain(
    user: Annotated[str, typer.Argument(help="User id; * for the list of users never seen.")],
    item: Annotated[
        str | None, typer.Argument(help="Why is this item in the list, or not?")
    ] = None,
    *,
    scenario: Scenario = "default",
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Say why each item stands in a user's list, or why one item does not."""
    from consumers.explain import Question, answer

    question = Question(user_id=user, item_id=item, scenario=scenario)
    answer(_reach(bootstrap_servers, prefix, data_dir), question, as_json=as_json)


@dlq.command("list")
def dlq_list(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Newest records of each topic.")] = 20,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """List the newest dead letters of every source topic with their reasons."""
    from consumers.dead_letter_commands import show

    show(_reach(bootstrap_servers, prefix, data_dir), limit=limit, as_json=as_json)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every error is one line on stderr.

    Exit statuses: 0 done, 2 wrong use, 75 restart me, 1 anything else.
    """
    try:
        app(args=arguments)
    except (ConfigurationError, InvalidPolicy) as error:
        _fail(error, status=2)
    except StreamRecError as error:
        _fail(error, status=1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        _fail(error, status=1, unexpected=True)
    sys.exit(0)


def _fail(error: Exception, *, status: int, unexpected: bool = False) -> NoReturn:
    if state["debug"]:
        raise error
    kind = f"{type(error).__name__}: " if unexpected else ""
    hint = " (stream-rec --debug … shows where)" if unexpected else ""
    terminal.complain(f"{kind}{error}{hint}")
    sys.exit(status)


def _settings(
    bootstrap_servers: str | None,
    prefix: str | None,
    data_dir: Path | None,
    http: str | None = None,
    **more: object,
) -> "Settings":
    from consumers.settings import host_and_port, settings_from_environment

    if http is not None:
        more["http_host"], more["http_port"] = host_and_port(http)
    more |= {"bootstrap_servers": bootstrap_servers, "prefix": prefix, "data_dir": data_dir}
    return settings_from_environment(None, **more)


def _reach(bootstrap_servers: str | None, prefix: str | None, data_dir: Path | None) -> "Settings":
    """Settings of a command about a running installation, found by its folder where not named."""
    from consumers.installation import read_ready

    settings = _settings(bootstrap_servers, prefix, data_dir)
    if bootstrap_servers is None and (ready := read_ready(settings.data_dir)) is not None:
        return _settings(ready.bootstrap_servers, prefix, data_dir)
    return settings


state = {"debug": False}

if __name__ == "__main__":
    main()
