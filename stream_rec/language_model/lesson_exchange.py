"""Hand a lesson to the other processes of a group, so that all train one adapter together.

Process 0 reads topics and judges; the others wait here for what it hands out, train in step with it
(`gradient_exchange` averages) and throw their copy away. A lesson travels as safetensors and JSON,
in two broadcasts; nothing is pickled. In a single process nothing is handed to anybody. It does not
know topics, nor who starts the processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import distributed

from stream_rec.errors import CheckpointRejected, ModelUnavailable, TrainingFailed
from stream_rec.language_model.adapter import AdapterArrays
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.gradient_exchange import process_number, processes
from stream_rec.language_model.lesson import Lesson, LoraSettings
from stream_rec.language_model.lora import train_adapter
from stream_rec.language_model.rating_task import Reviews
from stream_rec.language_model.scenario_heads import ScenarioTask

Arrays = dict[str, NDArray[Any]]


class _Handed(msgspec.Struct, kw_only=True):
    """What a lesson is but for its arrays."""

    settings: LoraSettings
    texts: list[str]
    reviews: list[str] | None
    scenarios: list[str]
    seed: int
    model_hash: str


def join_group(*, device: str, number: int) -> None:
    """Enter the group that ``torchrun`` tells of in the environment; leave it by ending.

    ``number`` is that of this process on its machine: each takes the GPU of its number.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(number)
    # Between two lessons hours may pass; a process that dies is noticed by its closed connection.
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_LONGEST_WAIT)


def hand_out(
    backbone: Backbone,
    lesson: Lesson,
    settings: LoraSettings,
    *,
    start: AdapterArrays | None,
    seed: int,
) -> None:
    """Tell the others what process 0 is about to train; call right before ``train_adapter``."""
    if processes() == 1:
        return
    handed = _Handed(
        settings=settings,
        texts=list(lesson.texts),
        reviews=None if lesson.reviews is None else list(lesson.reviews.texts),
        scenarios=[task.scenario for task in lesson.scenarios],
        seed=seed,
        model_hash=backbone.model_hash,
    )
    _broadcast(msgspec.json.encode(handed))
    _broadcast(save(_arrays(lesson, start)))


def follow(backbone: Backbone, *, monotonic: Callable[[], float]) -> None:
    """Train with process 0 whatever it hands out, until it dismisses the group.

    Raises:
        ModelUnavailable: process 0 trains another model.
    """
    while body := _broadcast(b""):
        handed = msgspec.json.decode(body, type=_Handed)
        if handed.model_hash != backbone.model_hash:
            message = f"process 0 trains model {handed.model_hash}, here is {backbone.model_hash}"
            raise ModelUnavailable(message)
        lesson, start = _lesson(handed, load(_broadcast(b"")))
        try:
            trained = train_adapter(
                backbone,
                lesson,
                handed.settings,
                start=start,
                seed=handed.seed,
                monotonic=monotonic,
            )
        except (TrainingFailed, CheckpointRejected) as error:  # process 0 met the same
            LOG.warning("process %d: %s", process_number(), error)
            continue
        LOG.info(
            "process %d: trained with %d others, best at step %d, loss %.3f",
            process_number(),
            processes() - 1,
            trained.steps,
            trained.loss,
        )
    distributed.destroy_process_group()


def dismiss() -> None:
    """Let the other processes end; called by process 0 between two lessons, the last thing."""
    if processes() > 1:
        _broadcast(b"")
        distributed.destroy_process_group()


def _arrays(lesson: Lesson, start: AdapterArrays | None) -> Arrays:
    arrays: Arrays = {"teacher": lesson.teacher, "weight": lesson.weight}
    if lesson.reviews is not None:
        arrays["ratings"] = lesson.reviews.ratings
    arrays |= {f"{_START}{name}": array for name, array in (start or {}).items()}
    for number, task in enumerate(lesson.scenarios):
        arrays |= {f"{number}.rows": task.rows, f"{number}.teacher": task.teacher}
        arrays |= {f"{number}.head.{name}": array for name, array in task.head.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _lesson(handed: _Handed, arrays: Arrays) -> tuple[Lesson, AdapterArrays | None]:
    reviews = None
    if handed.reviews is not None:
        reviews = Reviews(texts=handed.reviews, ratings=arrays["ratings"])
    lesson = Lesson(
        texts=handed.texts,
        teacher=arrays["teacher"],
        weight=arrays["weight"],
        reviews=reviews,
        scenarios=[
            ScenarioTask(
                scenario=scenario,
                rows=arrays[f"{number}.rows"],
                teacher=arrays[f"{number}.teacher"],
                head=_under(arrays, f"{number}.head."),
            )
            for number, scenario in enumerate(handed.scenarios)
        ],
    )
    return lesson, _under(arrays, _START) or None


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _broadcast(body: bytes) -> bytes:
    """Return what process 0 says; what the others give is not looked at."""
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    length = torch.tensor([len(body)], dtype=torch.int64, device=device)
    distributed.broadcast(length, src=0)
    if not int(length):
        return b""
    said = torch.empty(int(length), dtype=torch.uint8, device=device)
    if process_number() == 0:
        said.copy_(torch.frombuffer(bytearray(body), dtype=torch.uint8))
    distributed.broadcast(said, src=0)
    return said.cpu().numpy().tobytes()


LOG = logging.getLogger(__name__)
_START = "start."
_LONGEST_WAIT = timedelta(days=365)
