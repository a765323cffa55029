"""What the other scenarios ask of an adapter that all share: one tower each, of their own events.

It does not know how an adapter learns: see ``scenario_heads``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from stream_rec.errors import TrainingFailed
from stream_rec.language_model.next_item_examples import clip_users, next_items
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.language_model.scenario_heads import ScenarioTask
from stream_rec.language_model.tower_training import TowerSettings, tower_vectors, train_tower

Histories = Mapping[str, Sequence[Feedback]]
Heads = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all scenarios have in common in one round."""

    text: NDArray[np.float32]  # (items, dimension), under the adapter that learning goes on from
    rows: Mapping[str, int]  # item id -> row of `text`
    chosen: NDArray[np.int64]  # (asked,) rows that the lesson asks, ascending
    until_ms: int  # later events judge, and are learned from by nobody
    most_of_a_user: float
    heads: Heads  # of the last adapter


def scenario_tasks(
    histories: Mapping[str, Histories],
    shared: Shared,
    settings: TowerSettings,
    *,
    seed: int,
    monotonic: Callable[[], float],
) -> list[ScenarioTask]:
    """Return a task for every scenario with enough of its own; their towers share the time of one.

    A scenario that has too little is served by what all others have taught.
    """
    tasks = []
    settings = replace(settings, refit=False, max_s=settings.max_s / max(1, len(histories)))
    for scenario, own in sorted(histories.items()):
        examples = clip_users(next_items(own, shared.rows), shared.most_of_a_user)
        examples = examples.select(examples.timestamp <= shared.until_ms)
        known = np.zeros(len(shared.text), np.bool_)
        known[examples.target] = True
        known[examples.context[examples.context >= 0]] = True
        asked = np.flatnonzero(known[shared.chosen])
        if len(asked) < FEWEST_ITEMS:
            continue
        try:
            tower = train_tower(shared.text, examples, settings, seed=seed, monotonic=monotonic)
        except TrainingFailed:
            continue
        placed = tower_vectors(tower, shared.text)[shared.chosen[asked]]
        head = shared.heads.get(scenario, {})
        tasks.append(ScenarioTask(scenario=scenario, rows=asked, teacher=placed, head=head))
    return tasks


def heads_of(arrays: Mapping[str, NDArray[Any]]) -> Heads:
    """Return the heads among a checkpoint's arrays, by scenario."""
    found: Heads = {}
    for name, array in arrays.items():
        if name.startswith(SCENARIO_HEAD):
            scenario, _, part = name.removeprefix(SCENARIO_HEAD).rpartition(".")
            found.setdefault(unquote(scenario), {})[part] = array
    return found


def as_arrays(heads: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return heads as a checkpoint stores them.

    >>> list(as_arrays({"tv/kids": {"up": np.zeros(1)}}))
    ['scenario_head.tv%2Fkids.up']
    """
    return {
        f"{SCENARIO_HEAD}{quote(scenario, safe='')}.{part}": array
        for scenario, head in heads.items()
        for part, array in head.items()
    }


SCENARIO_HEAD = "scenario_head."
FEWEST_ITEMS = 16
