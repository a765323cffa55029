"""Where compiled code is kept."""

from pathlib import Path

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
