"""Where compiled code is kept."""

from pathlib import Path

import pytest
from numba import config

import stream_rec
from stream_rec import compiled


def test_the_cache_is_named_by_the_sources_of_all_kernels() -> None:
    assert Path(config.CACHE_DIR).name == f"kernels-{compiled._digest()}"


def test_every_module_with_kernels_is_part_of_the_digest() -> None:
    root = Path(stream_rec.__file__).parent
    with_kernels = {
        path.parent.name
        for path in root.rglob("*.py")
        if path.name != "compiled.py" and "stream_rec.compiled import" in path.read_text()
    }
    assert with_kernels <= set(compiled._FOLDERS)
    assert not [
        path
        for path in root.rglob("*.py")
        if path.name != "compiled.py" and "njit" in path.read_text()
    ]


def test_code_is_kept_in_the_user_s_cache_where_the_sources_may_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda *_: False)
    assert compiled._kept("", tmp_path) == tmp_path / "cache" / "stream-rec"
    assert compiled._kept("/named", tmp_path) == Path("/named")
    monkeypatch.setattr("os.access", lambda *_: True)
    assert compiled._kept("", tmp_path) == tmp_path / "__pycache__"
