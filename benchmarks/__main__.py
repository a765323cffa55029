"""Runs benchmarks by name, each in a process of its own: `python -m benchmarks [NAME…] [--json]`.

Without a name it runs all of them. Ends with 1 when one of them misses its target or fails.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"__init__", "__main__", "printed"}


def main() -> int:
    """Run what the command line names; options go to every one of them."""
    given = sys.argv[1:]
    first_option = next((n for n, word in enumerate(given) if word.startswith("-")), len(given))
    asked, options = given[:first_option], given[first_option:]
    known = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in NOT_BENCHMARKS)
    if unknown := [name for name in asked if name not in known]:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    missed = []
    for name in asked or known:
        print(f"--- {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *options]
        if subprocess.run(command, cwd=FOLDER.parent, check=False).returncode:
            missed.append(name)
    if missed:
        print(f"missed or failed: {', '.join(missed)}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
