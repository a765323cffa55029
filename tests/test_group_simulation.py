"""G1 to G5 under random schedules of crashes, zombies and rebalances, without a broker."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import msgspec
import numpy as np
import pytest

from consumers.kafka_io.wire import decode_profile
from stream_rec.step import Step, step
from tests.agreement import (
    decayed_error,
    list_differences,
    outcome_differences,
    profile_differences,
    statistics_differences,
)
from tests.committed_order import in_committed_order
from tests.group_simulation import Broker, Group, Shell, Stepper, Worker
from tests.oracle import fold
from tests.shop_log import TOPICS, Shape, logged, random_log

SCHEDULES = 120
SHAPE = Shape(events=60, partitions=3, erasures=0.08, refinements=0.15)


def simulated(seed: int, *, shell: Shell = Shell.SOUND, stepper: Stepper = step) -> Group:
    """Run one random log through one random schedule."""
    rng = np.random.default_rng(seed)
    shape = replace(SHAPE, users=int(rng.integers(1, 8)))
    group = Group(
        Broker(random_log(rng, shape), shape.partitions), rng, shell=shell, stepper=stepper
    )
    for worker in group.workers:
        worker.replica.put_policy("*", 0, {"list": {"size": 3}})
    group.run(turns=25)
    return group


def differences(group: Group) -> list[str]:
    """Return everything that is not as the oracle says."""
    broker = group.broker
    topics = list(TOPICS.values())
    steps = {
        number: [tuple(offsets.get(topic, 0) for topic in topics) for offsets in commits]
        for number, commits in broker.steps.items()
    }
    expected = fold(in_committed_order(list(logged(list(broker.log))), steps))
    profiles = {user: decode_profile(value) for (_, user), value in broker.profiles.items()}
    wrong = profile_differences(profiles, expected)
    wrong += outcome_differences(broker.ledgers.values(), expected)
    wrong += list_differences(broker.lists, expected)
    if len(broker.letters) != expected.outcomes["dead_lettered"]:
        wrong.append(f"{len(broker.letters)} dead letters")
    latecomer = Worker(broker, "latecomer", np.random.default_rng(0), Shell.SOUND)
    for worker in (*group.workers, latecomer):
        wrong += statistics_differences(worker.replica.statistics, expected)
        if decayed_error(worker.replica.statistics, latecomer.replica.statistics) > 1e-6:
            wrong.append("decayed sums differ between workers")
    return wrong


def test_any_schedule_ends_in_the_state_that_the_log_implies() -> None:
    happened: dict[str, int] = {}
    refused = 0
    for seed in range(SCHEDULES):
        group = simulated(seed)
        assert differences(group) == [], f"schedule {seed}"
        refused += group.broker.refused
        for name, count in group.happened.items():
            happened[name] = happened.get(name, 0) + count
    assert min(happened.values()) > SCHEDULES, "some disturbance was hardly tried"
    assert refused > SCHEDULES / 4, "hardly any commit was refused"


@pytest.mark.parametrize("shell", [shell for shell in Shell if shell is not Shell.SOUND])
def test_a_wrong_way_around_the_step_is_seen(shell: Shell) -> None:
    assert any(differences(simulated(seed, shell=shell)) for seed in range(40))


def forgets_what_it_knew(*arguments: object) -> Step:
    """A step whose dedupe window is lost: profiles come back without it."""
    result = step(*arguments)  # type: ignore[arg-type]
    for place, profile in result.profiles.items():
        result.profiles[place] = msgspec.structs.replace(profile, recent=b"")
    return result


def loses_a_profile(*arguments: object) -> Step:
    """A step that returns one profile too few."""
    result = step(*arguments)  # type: ignore[arg-type]
    if len(result.profiles) > 1:
        result.profiles.popitem()
    return result


def repeats_a_version(*arguments: object) -> Step:
    """A step that publishes one list twice."""
    result = step(*arguments)  # type: ignore[arg-type]
    result.lists += result.lists[:1]
    return result


def swallows_a_link(*arguments: object) -> Step:
    """A step whose facts miss a link row."""
    result = step(*arguments)  # type: ignore[arg-type]
    facts = result.facts
    if facts is not None and len(facts.target):
        names = ("target", "sign", "sources", "newcomer")
        columns = {name: getattr(facts, name)[:-1] for name in names}
        result.facts = msgspec.structs.replace(facts, **columns)
    return result


def forgets_an_outcome(*arguments: object) -> Step:
    """A step that does not count the last record of each partition."""
    result = step(*arguments)  # type: ignore[arg-type]
    for number, ledger in result.ledgers.items():
        result.ledgers[number] = msgspec.structs.replace(ledger, outcomes={})
    return result


def refines_nobody(*arguments: object) -> Step:
    """A step that counts refinements and leaves profiles as they were."""
    result = step(*arguments)  # type: ignore[arg-type]
    for place, profile in result.profiles.items():
        plain = tuple(msgspec.structs.replace(past, understood=None) for past in profile.history)
        result.profiles[place] = msgspec.structs.replace(profile, history=plain)
    return result


@pytest.mark.parametrize(
    "stepper",
    [
        refines_nobody,
        forgets_what_it_knew,
        loses_a_profile,
        repeats_a_version,
        swallows_a_link,
        forgets_an_outcome,
    ],
)
def test_a_broken_step_is_seen(stepper: Stepper) -> None:
    assert any(differences(simulated(seed, stepper=stepper)) for seed in range(20))


def worst_of(seeds: range) -> list[str]:
    """Return what went wrong in a run of schedules; for a process of its own."""
    return [
        f"schedule {seed}: {wrong}" for seed in seeds if (wrong := differences(simulated(seed)))
    ]


@pytest.mark.slow
def test_ten_thousand_schedules_end_in_the_state_that_the_log_implies() -> None:
    parts = [range(start, start + 100) for start in range(1_000, 11_000, 100)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        assert [wrong for part in pool.map(worst_of, parts) for wrong in part] == []
