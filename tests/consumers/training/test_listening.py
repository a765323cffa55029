"""What the trainer hears: every dialect of events, by pseudonym, and nobody who was erased."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.settings import Settings
from consumers.telemetry.trainer_metrics import TrainerMetrics
from consumers.training.listening import Listener
from consumers.training.memory import Memory
from stream_rec.aliases.families import FORMATS
from stream_rec.events import NOT_CONSUMING, parse_events
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.policy import Policies

EXAMPLES = Path(__file__).parents[2] / "aliases"
DIALECTS = sorted(set(FORMATS) - {"auto", "native"})
KEY, OLDER = "new:0123456789abcdef-new", "old:0123456789abcdef-old"


def record(value: bytes, user: str, at: int = 0, **more: Any) -> Any:
    stamped = {"topic": "t", "partition": 0, "offset": at, "timestamp": 10**13, "headers": ()}
    return SimpleNamespace(key=user.encode(), value=value, **stamped | more)


def click(user: str, item: str, at: int) -> Any:
    body = {"event_id": f"{user}{at}", "user_id": user, "item_id": item, "timestamp": at + 10**12}
    return record(json.dumps(body).encode(), user, at)


def erasure(user: str) -> Any:
    body = {"user_id": user, "timestamp": 2 * 10**12}
    return record(json.dumps(body).encode(), user)


def user_of(dialect: str) -> str:
    return "AGKHLEW2SOWHNMFQIJGBECAF7INQ" if dialect == "amazon_reviews" else "u1"


def heard(lines: list[bytes], user: str, settings: Settings) -> set[str]:
    memory, listener = Memory(), Listener(settings, TrainerMetrics())
    for at, line in enumerate(lines):
        listener.take_event(record(line, user, at), "click", memory, Policies())
    buffer = memory.buffers.get("default", ())
    return {feedback.item_id for feedback in buffer}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("by_name", [True, False], ids=["set", "auto"])
def test_what_a_shop_says_in_its_own_words_is_learned_from(dialect: str, by_name: bool) -> None:
    lines = (EXAMPLES / f"{dialect}.jsonl").read_bytes().splitlines()
    user = user_of(dialect)
    events = [
        event
        for line in lines
        for event in parse_events(line, key=user.encode(), kind="click", source="t-0-0")
    ]
    wanted = {event.item_id for event in events if event.event_type not in NOT_CONSUMING}
    assert wanted
    assert heard(lines, user, Settings(format=dialect if by_name else "auto")) == wanted


@pytest.mark.parametrize("dialect", DIALECTS)
def test_where_only_our_own_words_are_read_nothing_is_learned_of_others(dialect: str) -> None:
    lines = (EXAMPLES / f"{dialect}.jsonl").read_bytes().splitlines()
    assert heard(lines, user_of(dialect), Settings(format="native")) == set()


def test_nobody_is_remembered_by_their_id_where_there_is_a_key() -> None:
    memory = Memory()
    listener = Listener(Settings(pseudonym_key=KEY), TrainerMetrics())
    for at in range(3):
        listener.take_event(click("ann", f"i{at}", at), "click", memory, Policies())
    (name,) = {feedback.user_id for feedback in memory.buffers["default"]}
    assert "ann" not in name
    assert b"ann" not in memory.buffers["default"].to_bytes()


def test_an_erasure_finds_a_user_under_every_name_they_were_ever_remembered_by() -> None:
    memory = Memory()
    for at, keys in enumerate((None, OLDER, f"{KEY},{OLDER}")):
        listener = Listener(Settings(pseudonym_key=keys), TrainerMetrics())
        for user in ("ann", "bob"):
            listener.take_event(click(user, f"i{at}", at), "click", memory, Policies())
    assert len(memory) == 6
    listener.take_erasure(erasure("ann"), memory)
    assert len(memory) == 3
    listener.take_event(click("ann", "i9", 9), "click", memory, Policies())
    assert len(memory) == 3, "an event from before the erasure brings nobody back"


class Falling:
    """Lists that fit less than before, whatever was taken."""

    def take_event(self, *_: Any) -> tuple[str, bool]:
        return "no list", True


@pytest.mark.parametrize(("own", "asked"), [(998, "default"), (999, "tv")])
def test_scenario_with_too_little_of_its_own_asks_for_an_adapter_of_default(
    own: int, asked: str
) -> None:
    memory, listener = Memory(), Listener(Settings(), TrainerMetrics())
    for at in range(own):
        memory.take("tv", Feedback(user_id=f"u{at // 5}", item_id="i", timestamp=at))
    listener.join, listener.shown = True, Falling()  # type: ignore[assignment]
    body = {"event_id": "e", "user_id": "ann", "item_id": "i", "timestamp": 10**12}
    taken = record(json.dumps(body | {"scenario": "tv"}).encode(), "ann")
    listener.take_event(taken, "click", memory, Policies())
    drifted = {s for s in ("default", "tv") if memory.clock(s, "adapter").drifted}
    assert drifted == {asked}


def test_lists_that_stop_fitting_ask_for_an_adapter_of_their_scenario() -> None:
    memory, metrics = Memory(), TrainerMetrics()
    listener = Listener(Settings(), metrics)
    listener.join = True
    for at in range(6_000):
        good = at < 3_000
        shown = {"generated_at": at, "items": [{"item_id": f"n{at % 500}" if good else "never"}]}
        listener.shown.take_list(record(json.dumps(shown).encode(), "default/u"))
        item = f"n{at % 500}" if at % 3 == 0 else f"i{at}"
        taken = click("u", item, at)
        taken.timestamp = 10**13 + at
        listener.take_event(taken, "click", memory, Policies())
        assert not good or not memory.clock("default", "adapter").drifted
    assert memory.clock("default", "adapter").drifted
    assert not memory.clock("default", "tower").drifted
    (counted,) = (s.value for m in metrics.drifts.collect() for s in m.samples[:1])
    assert counted >= 1
