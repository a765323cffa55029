"""What the trainer remembers outlives a kill, and forgets whom it must."""

import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from consumers.training.memory import (
    FORMAT,
    MOST_SCENARIOS,
    Memory,
    Pupils,
    read_memory,
    user_hash,
    user_hashes,
)
from stream_rec.errors import NewerFormat, StateRejected
from stream_rec.language_model.replay_buffer import Feedback

IDS = {"clicks": "a", "reviews": "b"}


def feedback(user: str, at: int, item: str = "i1") -> Feedback:
    return Feedback(user_id=user, item_id=item, timestamp=at)


def filled() -> Memory:
    memory = Memory()
    for user in range(20):
        for at in range(3):
            memory.take("kitchen" if user % 2 else "default", feedback(f"u{user}", at, f"i{at}"))
    memory.offsets = {"clicks-0": 60}
    return memory


def test_default_learns_from_every_scenario_and_a_scenario_from_its_own() -> None:
    memory = filled()
    assert len(memory.buffers["default"]) == 60
    assert len(memory.buffers["kitchen"]) == 30
    assert memory.clock("default", "adapter").events == 60
    assert memory.clock("kitchen", "tower").events == 30


def test_scenarios_without_end_do_not_fill_the_memory() -> None:
    memory = Memory()
    for number in range(3 * MOST_SCENARIOS):
        memory.take(f"s{number}", feedback("u", number))
    assert len(memory.buffers) == MOST_SCENARIOS
    assert len(memory.buffers["default"]) == 64, "newest of one user"


def test_saved_memory_is_read_back_whole(tmp_path: Path) -> None:
    memory = filled()
    memory.clock("default", "adapter").attempts = 2
    memory.erase("u3", 10)
    memory.learned(7, Pupils(scenario="default", start=0, users=user_hashes(["u1"]).tobytes()))
    memory.save(tmp_path / "memory", IDS)
    again = read_memory(tmp_path / "memory", IDS)
    assert again is not None
    assert again.buffers["default"].histories() == memory.buffers["default"].histories()
    assert again.offsets == {"clicks-0": 60}
    assert again.clock("default", "adapter") == memory.clock("default", "adapter")
    assert again.pupils == memory.pupils
    assert not again.take("default", feedback("u3", 10)), "erased stays erased"


def test_memory_of_topics_made_anew_is_no_memory(tmp_path: Path) -> None:
    assert read_memory(tmp_path / "memory", IDS) is None
    filled().save(tmp_path / "memory", IDS)
    assert read_memory(tmp_path / "memory", IDS | {"clicks": "other"}) is None


def test_every_torn_or_flipped_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    filled().save(file, IDS)
    whole = file.read_bytes()
    for position in range(0, len(whole), 97):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 8]) + whole[position + 1 :])
        with pytest.raises(StateRejected):
            read_memory(file, IDS)
    file.write_bytes(whole[:-3])
    with pytest.raises(StateRejected):
        read_memory(file, IDS)


def test_a_memory_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    body = msgspec.msgpack.encode({"format": FORMAT + 1, "writer": "7.1.0", "more": 1})
    file.write_bytes(zlib.crc32(body).to_bytes(4, "little") + body)
    with pytest.raises(NewerFormat, match=r"written by stream-rec 7\.1\.0.*remove the file"):
        read_memory(file, IDS)
    assert file.read_bytes()[4:] == body


def test_stars_of_format_1_are_read_as_shares(tmp_path: Path) -> None:
    file, memory = tmp_path / "memory", Memory()
    for stars in (1.0, 4.0, 5.0, 9.0):
        taken = Feedback(user_id="u", item_id="i", timestamp=int(stars), rating=stars)
        memory.take("default", taken)
    memory.save(file, IDS)
    body = msgspec.msgpack.encode(msgspec.msgpack.decode(file.read_bytes()[4:]) | {"format": 1})
    file.write_bytes(zlib.crc32(body).to_bytes(4, "little") + body)
    again = read_memory(file, IDS)
    assert again is not None
    assert [f.rating for f in again.buffers["default"]] == [0.0, 0.75, 1.0, 1.0]


@pytest.mark.parametrize("first", ["events", "erasure"])
def test_erased_user_is_forgotten_whatever_is_read_first(first: str) -> None:
    memory = Memory()
    if first == "erasure":
        memory.erase("u1", 10)
    for at in (5, 10, 11):
        memory.take("kitchen", feedback("u1", at))
    if first == "events":
        memory.erase("u1", 10)
    for scenario in ("default", "kitchen"):
        assert [f.timestamp for f in memory.buffers[scenario]] == [11]


def test_erasure_marks_the_adapters_that_learned_from_the_user() -> None:
    memory = Memory()
    memory.learned(1, Pupils(scenario="default", start=0, users=user_hashes(["u1"]).tobytes()))
    memory.learned(2, Pupils(scenario="default", start=1, users=user_hashes(["u2"]).tobytes()))
    memory.learned(3, Pupils(scenario="default", start=0, users=user_hashes(["u3"]).tobytes()))
    assert memory.erase("u1", 10) == [1, 2], "2 went on from 1"
    assert memory.erase("u1", 11) == [], "the hash is gone with the user"
    assert memory.pupils[2].erased == 1
    assert user_hash("u1") not in np.frombuffer(memory.pupils[2].users, np.uint64)
    memory.forget_versions({3})
    assert set(memory.pupils) == {3}


def test_the_file_holds_no_id_of_an_erased_user(tmp_path: Path) -> None:
    memory = filled()
    memory.take("default", feedback("user-3f9a1c7be2d8", 5))
    memory.save(tmp_path / "memory", IDS)
    assert b"3f9a1c7be2d8" in (tmp_path / "memory").read_bytes()
    memory.erase("user-3f9a1c7be2d8", 10)
    memory.save(tmp_path / "memory", IDS)
    assert b"3f9a1c7be2d8" not in (tmp_path / "memory").read_bytes()
    again = read_memory(tmp_path / "memory", IDS)
    assert again is not None
    assert not again.take("default", feedback("user-3f9a1c7be2d8", 9))
    assert again.take("default", feedback("user-3f9a1c7be2d8", 11))
