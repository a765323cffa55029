"""Which rounds run beside each other, and what they know; rounds are played, their threads real."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumers.processes.watchdog import Watchdog
from consumers.settings import Settings
from consumers.telemetry.trainer_metrics import TrainerMetrics
from consumers.training import rounds, school
from consumers.training.announced import Announced
from consumers.training.due import TOWER_EVERY_EVENTS, TOWER_EVERY_S
from consumers.training.job import Job, Outcome
from consumers.training.latest import Cancelled, Latest
from consumers.training.memory import Memory
from consumers.training.school import Materials, School
from consumers.training.texts import ItemTexts
from stream_rec.adapters.life import AdapterVersion
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.policy import Policies

LONG_MS = int(1000 * TOWER_EVERY_S) + 1


class PlayedRounds:
    """Rounds that end when the test says so, and leave no more of a bundle than its manifest."""

    step = None

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.begun: list[Job] = []
        self.ends = {kind: threading.Semaphore(0) for kind in ("tower", "adapter")}
        self.tower_s = 0.0
        self.heard: list[int] = []  # newest event of what an adapter was given at its end

    def run(self, job: Job) -> Outcome:
        self.begun.append(job)
        assert self.ends[job.due.kind].acquire(timeout=20)
        if job.due.kind == "adapter":
            assert job.latest is not None
            given = job.latest.ask()
            self.heard.append(max(f.timestamp for history in given.values() for f in history))
            assert self.ends["adapter"].acquire(timeout=20)
        bundle = self.root / job.due.scenario / str(job.version)
        bundle.mkdir(parents=True)
        (bundle / "manifest.json").touch()
        made = AdapterVersion(
            scenario=job.due.scenario, version=job.version, text_version=job.text_version,
            state="shadow", kind=job.due.kind, champion=job.champion.version if job.champion else 0,
            base_model_hash="h", method="proximal", created_at=1, changed_at=1,
        )  # fmt: skip
        return Outcome(record=made, reason="", seconds=self.tower_s)


class Lesson:
    """A school, its rounds, and a clock of its own."""

    def __init__(self, made: School, materials: Materials, played: PlayedRounds) -> None:
        self.school, self.memory, self.played = made, materials.memory, played
        self.announced = materials.announced
        self.now_ms = 10**12
        self._at = 0

    def hear(self, events: int, scenario: str = "default") -> None:
        for at in range(self._at, self._at + events):
            event = Feedback(user_id=f"u{at // 5}", item_id=f"i{at % 7}", timestamp=at)
            self.memory.take(scenario, event)
        self._at += events

    def wait(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until
            self.school.turn(self.now_ms)
            time.sleep(0.005)

    def kinds(self) -> list[str]:
        return [job.due.kind for job in self.played.begun]

    def make_a_tower(self) -> None:
        """Let 500 events come, and a tower be made of them and announced."""
        self.hear(TOWER_EVERY_EVENTS)
        self.now_ms += LONG_MS
        towers = self.kinds().count("tower")
        self.wait(lambda: self.kinds().count("tower") == towers + 1)
        version = self.played.begun[-1].version
        self.played.ends["tower"].release()
        self.wait(lambda: version in self.announced.versions)


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lesson]:
    settings = Settings(data_dir=tmp_path)
    played = PlayedRounds(settings.checkpoint_root)
    monkeypatch.setattr(rounds, "Rounds", lambda *_, **__: played)
    monkeypatch.setattr(school, "announce", lambda *_: None)
    watchdog = Watchdog(end=lambda reason: pytest.fail(reason))
    materials = Materials(
        settings=settings,
        watchdog=watchdog,
        metrics=TrainerMetrics(),
        stopping=threading.Event(),
        memory=Memory(),
        texts=ItemTexts(),
        policies=Policies(),
        announced=Announced(),
        save=lambda: None,
    )
    made = School(materials)
    yield Lesson(made, materials, played)
    made.stop(0.0)
    watchdog.stop()


def test_towers_go_on_while_an_adapter_is_trained(lesson: Lesson) -> None:
    lesson.hear(300)
    lesson.make_a_tower()
    lesson.memory.clock("default", "adapter").events = 5000
    lesson.wait(lambda: lesson.kinds() == ["tower", "adapter"])
    for _ in range(5):
        lesson.make_a_tower()
    assert lesson.kinds() == ["tower", "adapter"] + 5 * ["tower"]
    assert [job.version for job in lesson.played.begun] == [1, 2, 3, 4, 5, 6, 7]
    assert lesson.announced.pointers["default"].version == 7
    stored = sorted(int(folder.name) for folder in (lesson.played.root / "default").iterdir())
    assert stored == [1, 5, 6, 7], "what the adapter started from stays, others go"
    lesson.played.ends["adapter"].release(2)
    lesson.wait(lambda: 2 in lesson.announced.versions)
    assert lesson.announced.versions[2].champion == 7
    assert not lesson.school.running


def test_adapter_s_tower_knows_at_its_end_what_the_champion_s_knows_and_no_more(
    lesson: Lesson,
) -> None:
    lesson.hear(300)
    lesson.make_a_tower()
    lesson.memory.clock("default", "adapter").events = 5000
    lesson.wait(lambda: lesson.kinds() == ["tower", "adapter"])
    lesson.make_a_tower()
    lesson.hear(TOWER_EVERY_EVENTS - 1)
    lesson.played.ends["adapter"].release()
    lesson.wait(lambda: lesson.played.heard)
    assert lesson.played.heard == [300 + 2 * TOWER_EVERY_EVENTS - 1]
    newest = f"u{lesson.played.heard[0] // 5}"
    assert lesson.memory.erase(newest, 10**6) == [2], "who came since has taught, too"
    lesson.hear(1)
    lesson.now_ms += LONG_MS
    for _ in range(20):
        lesson.school.turn(lesson.now_ms)
    assert lesson.kinds() == ["tower", "adapter", "tower"], "no newer tower for the champion now"
    lesson.played.ends["adapter"].release()
    lesson.wait(lambda: 2 in lesson.announced.versions)


def test_adapter_waits_for_the_tower_that_is_made_when_it_asks(lesson: Lesson) -> None:
    lesson.hear(300)
    lesson.make_a_tower()
    lesson.memory.clock("default", "adapter").events = 5000
    lesson.wait(lambda: lesson.kinds() == ["tower", "adapter"])
    lesson.hear(TOWER_EVERY_EVENTS)
    lesson.now_ms += LONG_MS
    lesson.wait(lambda: lesson.kinds() == ["tower", "adapter", "tower"])
    lesson.played.ends["adapter"].release(2)
    for _ in range(20):
        lesson.school.turn(lesson.now_ms)
        time.sleep(0.005)
    assert not lesson.played.heard
    lesson.played.ends["tower"].release()
    lesson.wait(lambda: 2 in lesson.announced.versions)
    assert lesson.played.heard == [300 + 2 * TOWER_EVERY_EVENTS - 1]
    assert lesson.announced.versions[2].champion == 3


def test_user_erased_while_an_adapter_learns_from_them_marks_it(lesson: Lesson) -> None:
    lesson.hear(300)
    lesson.make_a_tower()
    lesson.memory.clock("default", "adapter").events = 5000
    lesson.wait(lambda: lesson.kinds() == ["tower", "adapter"])
    assert lesson.memory.erase("u1", 10**6) == [2]
    lesson.played.ends["adapter"].release(2)
    lesson.wait(lambda: 2 in lesson.announced.versions)
    assert lesson.memory.pupils[2].erased == 1


def test_towers_rest_as_long_as_they_took_and_every_scenario_has_its_turn(lesson: Lesson) -> None:
    scenarios = ["a", "b", "c"]
    for scenario in scenarios:
        lesson.hear(1200, scenario)
    lesson.played.tower_s = 100.0

    def towers() -> list[Job]:
        return [job for job in lesson.played.begun if job.due.kind == "tower"]

    made: list[str] = []
    while len(made) < 8:
        lesson.wait(lambda: len(towers()) == len(made) + 1)
        made.append(towers()[-1].due.scenario)
        version = towers()[-1].version
        lesson.played.ends["tower"].release()
        lesson.wait(lambda version=version: version in lesson.announced.versions)
        for scenario in scenarios:
            lesson.hear(TOWER_EVERY_EVENTS, scenario)
        lesson.now_ms += 99_999
        for _ in range(5):
            lesson.school.turn(lesson.now_ms)
        assert len(towers()) == len(made), "an adapter has half of the time"
        lesson.now_ms += 1
    assert made == ["a", "b", "c", "default"] * 2


def test_who_waits_for_the_newest_events_hears_that_the_program_ends() -> None:
    with pytest.raises(Cancelled):
        Latest(lambda: True).ask()
