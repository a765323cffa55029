"""Seconds from the kill -9 of a recommender to its next list, with many profiles.

    python -m benchmarks restart_time [--users 100000] [--kills 3] [--json]

The supervisor starts it again; the list is that of a click sent right after the kill. From its own
disk, as after a crash, and on an empty disk, as on a new machine, where all profiles come from the
changelog. Ends with 1 when the slowest from its own disk takes more than 8 s, or from an empty one
more than 30 s.
"""

import contextlib
import sys
import time

import numpy as np

from benchmarks.printed import installation, options, show
from consumers.processes.installation import make_topics
from tests.guarantees.fleet import Fleet
from tests.guarantees.restarting import Customer, kill_and_wait, until_answered
from tests.guarantees.seeded_state import write_state
from tests.guarantees.traffic import send_catalogue

EVENTS_EACH, MOST_S, MOST_EMPTY_S = 20, 8.0, 30.0


def main() -> int:
    """Kill a few times, print, return the exit status."""
    chosen = options(__doc__, users=100_000, kills=3, items=2_000)
    with installation() as settings:
        make_topics(settings)
        written = write_state(
            settings, users=chosen.users, events_each=EVENTS_EACH, items=chosen.items
        )
        send_catalogue(settings, chosen.items)
        with Fleet(settings) as fleet:
            started = time.monotonic()
            fleet.wait_ready(600)
            first = time.monotonic() - started
            with contextlib.closing(Customer(settings)) as customer:
                until_answered(fleet, customer)
                from_disk = [kill_and_wait(fleet, customer) for _ in range(chosen.kills)]
                from_log = [kill_and_wait(fleet, customer, empty_disk=True)]
    rows = [
        {
            "what": name,
            "times": len(times),
            "median s": float(np.median(times)),
            "max s": max(times),
        }
        for name, times in (
            ("first start to ready, everything from the log", [first]),
            ("kill -9 to the next list, own disk", from_disk),
            ("kill -9 to the next list, empty disk", from_log),
        )
    ]
    title = f"restart with {chosen.users:,} profiles, {written / chosen.users:,.0f} bytes each"
    show(title, rows, as_json=chosen.json)
    return 0 if max(from_disk) <= MOST_S and max(from_log) <= MOST_EMPTY_S else 1


if __name__ == "__main__":
    sys.exit(main())
