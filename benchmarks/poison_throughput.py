"""Events per second of one worker with and without one poisoned record in a hundred.

    python -m benchmarks poison_throughput [--events 10000] [--users 2000] [--rounds 2] [--json]

Bodies up to 2 KB, from the poison corpus, over both event topics; with and without in turns, on the
same broker. Ends with 1 when poison costs more than a tenth.
"""

import sys

import numpy as np

from benchmarks.printed import drain_rate, installation, options, show
from consumers.settings import Settings
from tests.guarantees.fleet import Fleet
from tests.guarantees.poison_traffic import poison_among
from tests.guarantees.traffic import Mix, send_catalogue, send_events, set_policy, traffic

LONGEST, MOST_LOST = 2_000, 0.10


def main() -> int:
    """Measure in turns, print, return the exit status."""
    chosen = options(__doc__, events=10_000, users=2_000, rounds=2)
    rates: dict[str, list[float]] = {"good records only": [], "1 poisoned in 100": []}
    with installation() as settings:
        with Fleet(settings) as fleet:
            send_catalogue(settings, 200)
            fleet.wait_ready()
            set_policy(settings, {"list": {"min_interval_ms": 60_000}})
        _round(settings, chosen.events, chosen.users, seed=0, poison=False)
        for number in range(chosen.rounds):
            for place, poison in enumerate((False, True) if number % 2 else (True, False)):
                seed = 1 + 2 * number + place
                rate = _round(settings, chosen.events, chosen.users, seed=seed, poison=poison)
                rates["1 poisoned in 100" if poison else "good records only"].append(rate)
    medians = {name: float(np.median(found)) for name, found in rates.items()}
    clean, spoiled = medians["good records only"], medians["1 poisoned in 100"]
    rows = [
        {"what": name, "records/s": rate, "of the clean run": f"{rate / clean:.0%}"}
        for name, rate in medians.items()
    ]
    show("poison throughput", rows, as_json=chosen.json)
    return 0 if spoiled >= (1 - MOST_LOST) * clean else 1


def _round(settings: Settings, events: int, users: int, *, seed: int, poison: bool) -> float:
    """Send a backlog and return how fast a worker takes it."""
    sent = list(traffic(Mix(events=events, users=users, bad=0.0), seed=seed, first=seed * events))
    send_events(settings, poison_among(sent, longest=LONGEST) if poison else sent)
    return drain_rate(settings)


if __name__ == "__main__":
    sys.exit(main())
