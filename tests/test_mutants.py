"""A wrong engine is seen: every mutation of the step fails the group simulation."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from tests.mutants import Mutant, mutants
from tests.test_group_simulation import differences, simulated

SCHEDULES = 30
SAMPLE, SEED = 8, 7
# The simulation's policy owes nobody a list for later (`min_interval_ms` is 0), so what remembers
# owed lists is never reached; `tests/test_step.py` tests it.
NEVER_REACHED = {
    "not (owed)",
    "without owed[scenario] = Listing(listing.version, listing.generated_at, owed=True)",
    "without result.profiles[place] = profile",
}


def seen(mutant: Mutant) -> bool:
    """Say whether any schedule ends wrong, or not at all."""
    stepper = mutant.step()
    for seed in range(SCHEDULES):
        try:
            if differences(simulated(seed, stepper=stepper)):
                return True
        except Exception:  # an engine that breaks is seen as well
            return True
    return False


def survivor(number: int) -> str | None:
    """Return what a mutant changes if no schedule sees it."""
    mutant = list(mutants())[number]
    return None if seen(mutant) else mutant.what


def test_the_step_has_mutants_of_every_kind() -> None:
    found = [mutant.what for mutant in mutants()]
    assert len(found) > 30
    for kind in ("not (", "without ", " is ", "- for +"):
        assert any(kind in what for what in found)


def test_a_seeded_sample_of_mutants_is_seen() -> None:
    found = list(mutants())
    chosen = np.random.default_rng(SEED).choice(len(found), SAMPLE, replace=False)
    survived = [found[number].what for number in chosen.tolist() if not seen(found[number])]
    assert [what for what in survived if what.partition(": ")[2] not in NEVER_REACHED] == []


@pytest.mark.slow
def test_every_mutant_is_seen() -> None:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        survived = [what for what in pool.map(survivor, range(len(list(mutants())))) if what]
    assert [what for what in survived if what.partition(": ")[2] not in NEVER_REACHED] == []
