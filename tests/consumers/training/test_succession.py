"""What the next adapter starts from when somebody was erased, and that nothing else changes it."""

from pathlib import Path
from typing import Any

import pytest

from consumers.training.announced import Announced
from consumers.training.memory import Memory, Pupils, user_hashes
from consumers.training.succession import Succession
from stream_rec.adapters.life import DISTILLED, AdapterVersion


class Line:
    """Versions of one root, each with its bundle, and whom they learned from."""

    def __init__(self, root: Path) -> None:
        self.memory, self.announced = Memory(), Announced()
        self.succession = Succession(str(root))
        self._root = root

    def add(self, version: int, *users: str, start: int = 0, **more: Any) -> AdapterVersion:
        made = AdapterVersion(
            scenario="default", version=version, base_model_hash="h", state="retired",
            created_at=1, changed_at=1, **{"text_version": version, "method": "proximal"} | more,
        )  # fmt: skip
        self.announced.note([made])
        if users:
            learned = user_hashes(users).tobytes()
            self.memory.learned(version, Pupils(scenario="default", start=start, users=learned))
        bundle = self._root / "default" / str(version)
        bundle.mkdir(parents=True)
        (bundle / "manifest.json").touch()
        return made

    def start(self, champion: AdapterVersion) -> int:
        found = self.succession.untainted(champion, self.memory, self.announced)
        return found.version if found else 0


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_next_adapter_starts_from_what_serves_while_nobody_it_learned_from_is_erased(
    line: Line,
) -> None:
    champion = line.add(1, "ann")
    assert line.start(champion) == 1
    line.memory.erase("bob", 10)
    assert line.start(champion) == 1


def test_after_an_erasure_it_starts_from_the_newest_earlier_one_without_the_user(
    line: Line,
) -> None:
    line.add(1, "ann")
    line.add(2, "bob", start=1)
    line.add(3, text_version=2, kind="tower")
    line.add(4, "eve", start=2)
    champion = line.add(5, "joe", start=4)
    line.memory.erase("eve", 10)
    assert line.start(champion) == 3, "the newest bundle whose texts 2 reads"
    line.memory.erase("ann", 10)
    assert line.start(champion) == 0, "all of the line began with what ann did"


def test_an_adapter_whose_pupils_are_not_known_may_have_learned_from_anybody(line: Line) -> None:
    champion = line.add(1)
    assert line.start(champion) == 1
    line.memory.erase("ann", 10)
    assert line.start(champion) == 0


def test_a_distilled_adapter_learned_from_no_user(line: Line) -> None:
    distilled = line.add(1, method=DISTILLED)
    tower = line.add(2, text_version=1, kind="tower")
    taught = line.add(3, "ann", start=1)
    line.memory.erase("ann", 10)
    assert line.start(distilled) == 1
    assert line.start(tower) == 2
    assert line.start(taught) == 2
