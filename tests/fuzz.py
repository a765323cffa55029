"""Fuzz every decoder for longer than the tests do: `python -m tests.fuzz [SECONDS] [NAME…]`.

With atheris (`pip install -r requirements-fuzz.txt`) guided by coverage, each decoder in a process
of its own; without it by the same changes as the tests make. A finding is printed and ends with 1.
"""

# ruff: noqa: T201
import argparse
import importlib.util
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random, SystemRandom

GUIDED = importlib.util.find_spec("atheris") is not None


def main() -> int:
    """Fuzz what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seconds", nargs="?", type=int, default=30, help="for each decoder")
    parser.add_argument("names", nargs="*", help="decoders; all unless named")
    parser.add_argument("--plain", action="store_true", help="without coverage")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        _guided(given.one, given.seconds)
        return 0
    from tests.fuzzing import DECODERS

    names = given.names or [decoder.name for decoder in DECODERS]
    guided = {decoder.name for decoder in DECODERS if decoder.guided and GUIDED}
    broken = []
    for name in names:
        print(f"--- {name}", flush=True)
        if name in guided and not given.plain:
            command = [sys.executable, "-m", "tests.fuzz", str(given.seconds), "--one", name]
            if subprocess.run(command, check=False).returncode:
                broken.append(name)
        else:
            _plain(name, given.seconds)
    if broken:
        print(f"broken: {', '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


def _plain(name: str, seconds: int) -> None:
    from tests.fuzzing import DECODERS, judge, mutants

    decoder = next(one for one in DECODERS if one.name == name)
    seed, until = SystemRandom().getrandbits(48), time.monotonic() + seconds
    print(f"seed {seed}", flush=True)
    inputs = 0
    for number in itertools.count():
        for value in mutants(decoder, Random(f"{seed} {number}"), 1_000):
            judge(decoder, value)
            inputs += 1
        if time.monotonic() > until:
            break
    print(f"{inputs} inputs")


def _guided(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["stream_rec", "consumers.kafka_io"]):
        from tests.fuzzing import DECODERS, judge
    decoder = next(one for one in DECODERS if one.name == name)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(decoder.seeds()):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        found = f"-artifact_prefix={tempfile.gettempdir()}/stream-rec-fuzz-"
        options = [f"-max_total_time={seconds}", "-max_len=8192", found, folder]
        atheris.Setup([sys.argv[0], *options], lambda value: judge(decoder, bytes(value)) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
