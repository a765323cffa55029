"""The trainer as one of several processes, started by `torchrun`: the first learns, all train.

    torchrun --standalone --nproc-per-node 2 -m consumers.cli trainer [OPTIONS]

The first process does what a lone trainer does. The others talk to no broker: they load the same
model and train in step with whatever the first one hands out. When one dies, all end and torchrun
ends with 1; after the next start an interrupted round is tried once more.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from consumers.settings import Settings, model_path
from stream_rec.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Which of how many processes this one is, and its number on its own machine."""

    number: int
    count: int
    on_machine: int


def company_of(environment: Mapping[str, str]) -> Company:
    """Read what `torchrun` says; a process that is alone is the first of one.

    Raises:
        ConfigurationError: the variables are no numbers.

    >>> company_of({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}).number
    1
    """
    try:
        return Company(
            number=int(environment.get("RANK", "0")),
            count=int(environment.get("WORLD_SIZE", "1")),
            on_machine=int(environment.get("LOCAL_RANK", "0")),
        )
    except ValueError as error:
        msg = f"RANK, WORLD_SIZE and LOCAL_RANK are not as torchrun sets them: {error}"
        raise ConfigurationError(msg) from error


def join(company: Company, settings: Settings) -> None:
    """Meet the other processes; waits until all are there."""
    from stream_rec.language_model.lesson_exchange import join_group

    join_group(device=settings.device, number=company.on_machine)
    LOG.info("process %d of %d trains with the others", company.number, company.count)


def follow_first(settings: Settings) -> None:
    """Train what the first process hands out, until it ends.

    Raises:
        ModelUnavailable: the model cannot be loaded, or is not that of the first process.
    """
    from consumers.training.rounds import threads
    from stream_rec.language_model.backbone import compute_with, load_backbone
    from stream_rec.language_model.lesson_exchange import follow

    compute_with(threads())
    backbone = load_backbone(
        model_path(settings.model),
        device=settings.device,  # type: ignore[arg-type]
    )
    follow(backbone, monotonic=time.monotonic)


def leave(company: Company) -> None:
    """Let the others end; where one has gone already, all end by themselves."""
    if company.count > 1:
        from stream_rec.language_model.lesson_exchange import dismiss

        with suppress(RuntimeError):
            dismiss()


LOG = logging.getLogger(__name__)
