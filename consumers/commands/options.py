"""The options that commands share, and how they become settings.

Every option is also read from `STREAM_REC_*`. Knows no command.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from consumers.settings import Settings

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
Checkpoints = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="STREAM_REC_CHECKPOINTS",
        help="Where adapters are stored: a folder, s3://… or any fsspec URL; DATA_DIR/checkpoints "
        "unless set.",
    ),
]
Http = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        envvar="STREAM_REC_HTTP",
        help="Where /livez, /readyz and /metrics answer; a free port of 127.0.0.1 unless set.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        envvar="STREAM_REC_FORMAT",
        help="Whose words events are in: auto, native, cloudevents, gorse, metarank, personalize, "
        "google_retail, segment, snowplow or amazon_reviews; auto unless set.",
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


def settings_of(
    bootstrap_servers: str | None,
    prefix: str | None,
    data_dir: Path | None,
    http: str | None = None,
    **more: object,
) -> "Settings":
    """Return the settings that options and environment make.

    Raises:
        ConfigurationError: a value is of the wrong type or out of bounds.
    """
    from consumers.settings import host_and_port, settings_from_environment

    if http is not None:
        more["http_host"], more["http_port"] = host_and_port(http)
    more |= {"bootstrap_servers": bootstrap_servers, "prefix": prefix, "data_dir": data_dir}
    return settings_from_environment(None, **more)


def reach(
    bootstrap_servers: str | None, prefix: str | None, data_dir: Path | None, **more: object
) -> "Settings":
    """Return the settings of a command about a running installation, by its folder unless named."""
    from consumers.processes.installation import read_ready

    settings = settings_of(bootstrap_servers, prefix, data_dir, None, **more)
    if bootstrap_servers is None and (ready := read_ready(settings.data_dir)) is not None:
        return settings_of(ready.bootstrap_servers, prefix, data_dir, None, **more)
    return settings


state = {"debug": False}
"""What the options before the command said."""
