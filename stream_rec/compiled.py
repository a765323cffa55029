"""How kernels are compiled, and where the machine code is kept between two starts.

numba keeps compiled code by the file of the outermost function and does not see that a function it
inlined, or the layout of a tuple it reads, has changed in another file. Such stale code computes
wrong results or crashes, so here the folder is named by a digest of all sources that hold kernels.
It lies where `NUMBA_CACHE_DIR` says, beside the sources, or, where those may only be read, in the
user's cache: numba refuses to start without a folder it can write.
"""

import hashlib
import os
from pathlib import Path

from numba import config, njit


def _digest() -> str:
    found = hashlib.blake2b(digest_size=8)
    for folder in _FOLDERS:
        for path in sorted((_HERE / folder).glob("*.py")):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _kept(named: str, here: Path) -> Path:
    if named:
        return Path(named)
    beside = here / "__pycache__"
    if os.access(beside if beside.is_dir() else here, os.W_OK):
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "stream-rec"


_HERE = Path(__file__).parent
_FOLDERS = ("profiles", "statistics", "catalogue", "experts", "ranking")
config.CACHE_DIR = str(_kept(config.CACHE_DIR, _HERE) / f"kernels-{_digest()}")

# Kernels run on one thread and let go of the interpreter's lock; none of them may raise.
kernel = njit(cache=True, nogil=True)
# Sums may be reassociated, which lets them use a whole lane; there must be no NaN.
lane_kernel = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
