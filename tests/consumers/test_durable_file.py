from pathlib import Path

import pytest

from consumers.durable_file import replace_durably


def test_a_crash_before_the_new_name_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state"
    replace_durably(path, b"old")

    def crash() -> None:
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_durably(path, b"new", written=crash)
    assert path.read_bytes() == b"old"


def test_what_a_crash_left_beside_it_does_not_stand_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.with_suffix(".new").write_bytes(b"torn, and longer than the next one")
    replace_durably(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("state", b"new")]
