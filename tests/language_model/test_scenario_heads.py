"""Scenarios whose users want different things share one adapter, each with a head of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stream_rec.language_model.adapter import merge_adapter
from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.lesson import Lesson, LoraSettings, Trained
from stream_rec.language_model.lora import train_adapter
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.language_model.scenario_heads import ScenarioHead, ScenarioTask
from stream_rec.language_model.scenario_tasks import Shared, as_arrays, heads_of, scenario_tasks
from stream_rec.language_model.tower_training import TowerSettings

ADJECTIVES = {"quiet": 0, "loud": 1, "a": 2}
NOUNS = {"fan": 0, "guitar": 0, "monitor": 1, "cable": 1, "game": 2, "case": 2, "puzzle": 2}
TEXTS = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
BY_NOUN = np.array([NOUNS[text.split()[1]] for text in TEXTS])
BY_ADJECTIVE = np.array([ADJECTIVES[text.split()[0]] for text in TEXTS])
FAST = LoraSettings(
    method="fine_tune", rank=4, learning_rate=0.02, max_steps=60, batch=18, micro_batch=9,
    warmup_steps=3, held_out=0.15, scenario_weight=1.0,
)  # fmt: skip


def places(groups: np.ndarray) -> np.ndarray:
    """Unit vectors that are equal within a group and orthogonal between groups."""
    return np.eye(32, dtype=np.float32)[groups]


def taught(backbone: Backbone, *tasks: ScenarioTask, seed: int = 1) -> Trained:
    ones = np.ones(len(TEXTS), np.float32)
    lesson = Lesson(texts=TEXTS, teacher=places(BY_NOUN), weight=ones, scenarios=tasks)
    return train_adapter(backbone, lesson, FAST, seed=seed, monotonic=lambda: 0.0)


def tv(**more: object) -> ScenarioTask:
    every = np.arange(len(TEXTS))
    return ScenarioTask(scenario="tv", rows=every, teacher=places(BY_ADJECTIVE), **more)


def separation(vectors: np.ndarray, groups: np.ndarray) -> float:
    similar, same = vectors @ vectors.T, groups[:, None] == groups
    return float(similar[same].mean() - similar[~same].mean())


def seen_by(head: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
    task = ScenarioTask(scenario="", rows=np.arange(1), teacher=vectors, head=head)
    with torch.no_grad():
        return ScenarioHead(task, 1, torch.device("cpu"))(torch.from_numpy(vectors)).numpy()


def test_a_scenario_with_its_own_behaviour_gains_by_its_own_head_and_the_others_keep_theirs(
    causal: Backbone,
) -> None:
    alone, both = taught(causal), taught(causal, tv())
    without = encode(merge_adapter(causal, alone.arrays), TEXTS)
    shared = encode(merge_adapter(causal, both.arrays), TEXTS)
    by_head = seen_by(both.scenario_heads["tv"], shared)
    assert separation(by_head, BY_ADJECTIVE) > separation(without, BY_ADJECTIVE) + 0.3
    assert separation(by_head, BY_ADJECTIVE) > separation(shared, BY_ADJECTIVE) + 0.1
    assert separation(shared, BY_NOUN) > separation(encode(causal, TEXTS), BY_NOUN) + 0.2
    before, after = both.scenario_losses["tv"]
    assert after < before - 0.3


def test_without_other_scenarios_nothing_is_added(causal: Backbone) -> None:
    trained = taught(causal)
    assert (trained.scenario_heads, trained.scenario_losses) == ({}, {})


def test_a_fresh_head_changes_nothing_and_a_stored_one_goes_on_where_it_was(
    causal: Backbone,
) -> None:
    vectors = encode(causal, TEXTS)
    np.testing.assert_allclose(seen_by({}, vectors), vectors, atol=1e-6)
    first = taught(causal, tv())
    stored = heads_of({"q.lora_A.weight": np.zeros(1)} | as_arrays(first.scenario_heads))
    assert list(stored) == ["tv"]
    again = taught(causal, tv(head=stored["tv"]))
    assert again.scenario_losses["tv"][0] != pytest.approx(first.scenario_losses["tv"][0])
    for name, array in first.scenario_heads["tv"].items():
        np.testing.assert_array_equal(stored["tv"][name], array)


def test_texts_that_a_scenario_does_not_know_are_not_asked_there(causal: Backbone) -> None:
    some = np.flatnonzero(BY_ADJECTIVE < 2)
    task = ScenarioTask(scenario="tv", rows=some, teacher=places(BY_ADJECTIVE[some]))
    head = ScenarioHead(task, len(TEXTS), torch.device("cpu"))
    vectors = torch.from_numpy(encode(causal, TEXTS))
    unknown = torch.from_numpy(np.flatnonzero(BY_ADJECTIVE == 2))
    assert float(head.loss(vectors[unknown], unknown, vectors, 25.0).detach()) == 0.0
    known = torch.from_numpy(some)
    every = torch.arange(len(TEXTS))
    one = float(head.loss(vectors[known], known, vectors, 25.0).detach())
    assert one > 0
    assert one == pytest.approx(float(head.loss(vectors, every, vectors, 25.0).detach()), rel=1e-5)


def histories(users: range, *, since: int = 0) -> dict[str, list[Feedback]]:
    found = {}
    for user in users:
        mine = np.random.default_rng(user).permutation(np.flatnonzero(user % 3 == BY_ADJECTIVE))
        found[f"u{user}"] = [
            Feedback(user_id=f"u{user}", item_id=f"i{item}", timestamp=since + user * 10 + at)
            for at, item in enumerate(mine[:5])
        ]
    return found


def test_a_task_is_the_tower_of_the_scenario_s_own_past(causal: Backbone) -> None:
    shared = Shared(
        text=encode(causal, TEXTS),
        rows={f"i{number}": number for number in range(len(TEXTS))},
        chosen=np.arange(1, len(TEXTS)),
        until_ms=100_000,
        most_of_a_user=32.0,
        heads={"tv": {"up": np.zeros(3)}},
    )
    settings = TowerSettings(low_rank=4, batch=64, max_steps=60, learning_rate=0.03)

    def tasks(**scenarios: dict[str, list[Feedback]]) -> list[ScenarioTask]:
        return scenario_tasks(scenarios, shared, settings, seed=1, monotonic=lambda: 0.0)

    (task,) = tasks(tv=histories(range(90)), few=histories(range(2)))
    assert task.scenario == "tv"
    assert list(task.head) == ["up"]
    np.testing.assert_array_equal(shared.chosen[task.rows], np.arange(1, len(TEXTS)))
    assert separation(task.teacher, BY_ADJECTIVE[1:]) > 0.1 + separation(
        shared.text[1:], BY_ADJECTIVE[1:]
    )
    later = histories(range(90, 180), since=1_000_000)
    (same,) = tasks(tv=histories(range(90)) | later)
    np.testing.assert_array_equal(same.teacher, task.teacher)
    assert tasks(tv=later) == []


def test_the_weight_of_scenarios_can_be_taken_away(causal: Backbone) -> None:
    ones = np.ones(len(TEXTS), np.float32)
    lesson = Lesson(texts=TEXTS, teacher=places(BY_NOUN), weight=ones, scenarios=[tv()])
    unheard = replace(FAST, scenario_weight=0.0, max_steps=5, check_every=5)
    without = replace(lesson, scenarios=())
    one, two = (
        train_adapter(causal, each, unheard, seed=1, monotonic=lambda: 0.0).arrays
        for each in (lesson, without)
    )
    assert set(one) == set(two)
