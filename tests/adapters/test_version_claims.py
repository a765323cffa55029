"""No two programs get the same number, on any store that lists what was written."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import fsspec
import pytest

from stream_rec.adapters.version_claims import claim_version


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "root") if request.param == "local" else f"memory://{uuid4().hex}"


def test_numbers_rise_and_are_above_what_the_caller_knows(root: str) -> None:
    claimed = [claim_version(root, above=above) for above in (0, 0, 6, 3)]
    assert claimed == [1, 2, 7, 8]


def test_number_of_a_bundle_of_any_scenario_is_not_claimed(root: str) -> None:
    store, base = fsspec.core.url_to_fs(root)
    for scenario, version in (("tv", "4"), ("default", "9"), ("default", "12.7.unfinished")):
        store.makedirs(f"{base}/{scenario}/{version}")
        store.touch(f"{base}/{scenario}/{version}/manifest.json")
    assert claim_version(root, above=0) == 10


def test_those_who_claim_at_once_get_different_numbers(root: str) -> None:
    together = Barrier(8)

    def claim(_: int) -> list[int]:
        together.wait(20)
        return [claim_version(root, above=0) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        claimed = [number for numbers in pool.map(claim, range(8)) for number in numbers]
    assert len(set(claimed)) == 40


def test_old_claims_do_not_pile_up(tmp_path: Path) -> None:
    claimed = [claim_version(str(tmp_path), above=0) for _ in range(120)]
    assert claimed == list(range(1, 121))
    assert len(list((tmp_path / ".claims").iterdir())) == 100
