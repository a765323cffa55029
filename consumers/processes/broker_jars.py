"""Fetches the jars of Apache Kafka once, and trusts them only by their committed checksums.

`jars.sha256` names every jar by its repository path, as jgo resolved them for `ENDPOINT`. A jar
enters the folder that the broker runs from only after its checksum has been compared, so a
download that was cut short, or tampered with, never gets there. This file does not know how a
broker is configured or run.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import rich.console
import rich.progress

from stream_rec.errors import BrokerUnavailable

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA_VERSION = "4.1.0"
# slf4j-simple, not log4j: with log4j-slf4j-impl the resolver picks an old kafka-clients.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
CHECKSUMS = Path(__file__).with_name("jars.sha256")

Progress = Callable[[int, int, str], None]
"""Called with (jars done, jars in all, name of the jar just done)."""


def default_cache_dir() -> Path:
    """Return the folder for downloads: `STREAM_REC_CACHE_DIR`, or one under the user's cache."""
    chosen = os.environ.get("STREAM_REC_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "stream-rec"


def fetch_broker(
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    *,
    checksums: Path = CHECKSUMS,
) -> Path:
    """Return a folder with every jar of the broker, downloading what is not there yet.

    Every jar is compared with its checksum on every call (about 0.1 s); one that does not match
    is thrown away and fetched again. Needs no network once all are there.

    Raises:
        BrokerUnavailable: a jar cannot be had, or what was fetched does not match its checksum.
    """
    root = cache_dir or default_cache_dir()
    jars = root / f"kafka-{KAFKA_VERSION}"
    jars.mkdir(parents=True, exist_ok=True)
    wanted = read_checksums(checksums)
    with _locked(root / f"kafka-{KAFKA_VERSION}.lock"):
        missing = [path for path, sha256 in wanted.items() if not _matches(jars, path, sha256)]
        if missing:
            _download(missing, wanted, jars, progress)
    return jars


def read_checksums(file: Path) -> dict[str, str]:
    """Read lines of `sha256  group/path/artifact/version/file.jar` into path -> sha256."""
    lines = file.read_text(encoding="ascii").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return {path: sha256 for sha256, path in pairs}


def resolve_checksums(cache_dir: Path) -> str:
    """Resolve `ENDPOINT` anew and return the text of `jars.sha256`: for a change of version."""
    import jgo  # an installation without the extra `embedded` has none

    rows = []
    for artifact in jgo.resolve(ENDPOINT):
        artifact.context.repo_cache = cache_dir
        jar = artifact.resolve()
        rows.append((jar.relative_to(cache_dir).as_posix(), _sha256(jar)))
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(rows))


def _download(
    missing: list[str], wanted: dict[str, str], jars: Path, progress: Progress | None
) -> None:
    from jgo.maven import MavenContext, PythonResolver

    staging = jars.with_suffix(".incoming")
    shutil.rmtree(staging, ignore_errors=True)
    context = MavenContext(resolver=PythonResolver(), repo_cache=staging, timeout=60)

    def fetch(path: str) -> str:
        try:
            jar = _artifact_file(context, path)
        except Exception as cause:  # the resolver raises whatever its transport raises
            message = f"cannot fetch {Path(path).name}: {cause}"
            raise BrokerUnavailable(message) from cause
        found = _sha256(jar)
        if found != wanted[path]:
            message = f"{jar.name} has sha256 {found}, but {wanted[path]} is committed: not used"
            raise BrokerUnavailable(message)
        os.replace(jar, jars / jar.name)
        return jar.name

    have = len(wanted) - len(missing)
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done, name in enumerate(pool.map(fetch, missing), start=have + 1):
            if progress is not None:
                progress(done, len(wanted), name)
    shutil.rmtree(staging, ignore_errors=True)


def _artifact_file(context: "MavenContext", path: str) -> Path:
    *group, artifact, version, _file = path.split("/")
    component = context.project(".".join(group), artifact).at_version(version)
    return Path(component.artifact().resolve())


def _matches(jars: Path, path: str, sha256: str) -> bool:
    jar = jars / Path(path).name
    return jar.is_file() and _sha256(jar) == sha256


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one process at a time fetch into the same folder."""
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Fetch the broker with a progress bar: what `make setup` runs."""
    title = f"Apache Kafka {KAFKA_VERSION}"
    with rich.progress.Progress(console=rich.console.Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)

        def progress(done: int, total: int, _name: str) -> None:
            bar.update(task, completed=done, total=total)

        jars = fetch_broker(progress=progress)
        total = len(read_checksums(CHECKSUMS))
        bar.update(task, completed=total, total=total, description=f"{title} in {jars}")


if __name__ == "__main__":
    try:
        main()
    except BrokerUnavailable as failure:
        sys.exit(f"stream-rec: {failure}")
