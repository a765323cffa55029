"""The commands that run something: the installation, its programs, the demo and the replay.

Thin: options become settings or a plan, and the file that does the work is imported only then.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from consumers import terminal
from consumers.commands.options import (
    Bootstrap,
    Checkpoints,
    DataDir,
    Device,
    Format,
    Http,
    Json,
    Model,
    Prefix,
    Slot,
    reach,
    settings_of,
    state,
)

programs = typer.Typer()


@programs.command(rich_help_panel="Run")
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
    checkpoints: Checkpoints = None,
    form: Format = None,
    *,
    trainer: Annotated[
        bool, typer.Option(help="Let the language model learn from what users do.")
    ] = True,
) -> None:
    """Run everything: recommenders, encoder, trainer; without --bootstrap-servers a broker too.

    DIR/ready.json says where when all is ready. SIGTERM and Ctrl-C stop all of it; a second start
    on the same folder goes on where the first one stopped.
    """
    from consumers.processes.up import run

    settings = settings_of(
        bootstrap_servers, prefix, data_dir, http,
        model=model, device=device, checkpoints=checkpoints, format=form,
    )  # fmt: skip
    embedded = bootstrap_servers is None
    raise typer.Exit(run(settings, workers=workers, embedded=embedded, trainer=trainer))


@programs.command(rich_help_panel="Run")
def recommender(
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
    slot: Slot = None,
    http: Http = None,
    form: Format = None,
) -> None:
    """Run one recommender worker alone: events in, lists out."""
    settings = settings_of(bootstrap_servers, prefix, data_dir, http, slot=slot, format=form)
    terminal.log_to_stderr(debug=state["debug"])
    one_blas_thread()
    from consumers.recommending.recommender import run_recommender

    run_recommender(settings)


@programs.command(rich_help_panel="Run")
def encoder(
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
    model: Model = None,
    device: Device = None,
    http: Http = None,
) -> None:
    """Run the encoder alone: item texts in, vectors out."""
    settings = settings_of(bootstrap_servers, prefix, data_dir, http, model=model, device=device)
    terminal.log_to_stderr(debug=state["debug"])
    from consumers.encoding.encoder import run_encoder

    run_encoder(settings)


@programs.command(rich_help_panel="Run")
def trainer(
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
    model: Model = None,
    device: Device = None,
    http: Http = None,
    checkpoints: Checkpoints = None,
) -> None:
    """Run the trainer alone: feedback in, adapters of the language model out."""
    settings = settings_of(
        bootstrap_servers, prefix, data_dir, http,
        model=model, device=device, checkpoints=checkpoints,
    )  # fmt: skip
    terminal.log_to_stderr(debug=state["debug"])
    from consumers.training.trainer import run_trainer

    run_trainer(settings)


@programs.command(rich_help_panel="Try")
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
    from consumers.demo.demo import DemoPlan, run

    plan = DemoPlan(items=items, events=events, seconds=seconds, data_dir=data_dir)
    raise typer.Exit(run(plan, debug=state["debug"]))


@programs.command(rich_help_panel="Try")
def replay(
    items: Annotated[Path | None, typer.Option(help="Catalogue, JSON Lines, gzip or not.")] = None,
    events: Annotated[Path | None, typer.Option(help="Events in order of time, likewise.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="The last 90s, 30m, 2h or 1d of the topics, not files."),
    ] = None,
    erasures: Annotated[
        Path | None,
        typer.Option(help="Users to forget, one {user_id, timestamp} a line; taken first."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N events.")] = None,
    policy_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--policy",
            help="Policy to run with, a file, or `live` with --since; several are compared side "
            "by side.",
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            help="Scenario of the policies, or * for all: `default` with --since, all on files."
        ),
    ] = None,
    model: Model = None,
    device: Device = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    refresh: Annotated[
        float, typer.Option(min=0.0, help="Stale lists made again per event, as spare time would.")
    ] = 0.0,
    *,
    text: Annotated[
        bool | None, typer.Option(help="Use the language model; else where it is installed.")
    ] = None,
    repeats: Annotated[bool, typer.Option(help="Users consume items again.")] = False,
    baselines: Annotated[bool, typer.Option(help="Run the baselines as well.")] = True,
    as_json: Json = False,
    bootstrap_servers: Bootstrap = None,
    data_dir: DataDir = None,
    prefix: Prefix = None,
) -> None:
    """Run the same engine over recorded events: quality per segment, deterministic digest.

    Over files it needs no broker; with --since it reads the last of the topics, which it leaves as
    they are. Two policies are compared side by side before either is published; each is tried as
    `policy set --scenario` would set it.
    """
    one_blas_thread()
    from consumers.commands.extras import wants_language_model
    from consumers.commands.recent_stream import seconds_of
    from consumers.commands.replay_command import ReplayPlan, run
    from stream_rec.replay import Options

    plan = ReplayPlan(
        items=items,
        events=events,
        since_s=None if since is None else seconds_of(since),
        settings=None if since is None else reach(bootstrap_servers, prefix, data_dir),
        erasures=erasures,
        limit=limit,
        policies=policy_file or (),
        scenario=scenario or ("*" if since is None else "default"),
        model=(model or "minilm") if wants_language_model(text) else None,
        device=device or "auto",
        baselines=baselines,
        options=Options(seed=seed, refresh=refresh, repeats=repeats),
    )
    run(plan, as_json=as_json)


def one_blas_thread() -> None:
    """Give the products of lists one thread, unless the operator said otherwise.

    Batches are small, and threads that wait for each other beside a broker cost more than they
    bring; workers are how it scales. Must come before numpy is imported.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
