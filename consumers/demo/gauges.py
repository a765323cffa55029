"""What the engine says of itself over HTTP while the demo runs: its lag, and what its model learns.

Asked every two seconds on a thread of its own; silence is no error. Knows metric names, no topics.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException

from prometheus_client.parser import text_string_to_metric_families

from consumers.settings import host_and_port

Labels = tuple[tuple[str, str], ...]


class Gauges:
    """The newest answers; `lag` None and `learning` empty while nothing is known."""

    def __init__(self, address: str) -> None:
        self.lag: int | None = None
        self.learning = ""
        self._address = address
        self._stopped = threading.Event()
        threading.Thread(target=self._ask, name="gauges", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def _ask(self) -> None:
        while not self._stopped.wait(EVERY_S):
            connection = HTTPConnection(*host_and_port(self._address), timeout=EVERY_S)
            try:
                connection.request("GET", "/metrics")
                read(self, connection.getresponse().read().decode())
            except (OSError, HTTPException, ValueError):
                self.lag = None
            finally:
                connection.close()


def read(gauges: Gauges, exposition: str) -> None:
    """Take what an exposition of all programs says.

    Raises:
        ValueError: it is none.
    """
    found: dict[str, dict[Labels, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
    lag = found.get("stream_rec_lag_records")
    gauges.lag = None if lag is None else round(sum(lag.values()))
    gauges.learning = "; ".join(_learning(found))


def _learning(found: dict[str, dict[Labels, float]]) -> Iterable[str]:
    """Say which version serves, what is being trained, what is on trial, and what became of it."""
    serves = {round(value) for value in found["stream_rec_adapter_version"].values()}
    version = max(serves, default=0)
    yield f"version {version} serves" if version else "the frozen model serves"
    for labels, value in found["stream_rec_training_running"].items():
        if value:
            yield f"learning {_THE[dict(labels)['kind']]} from the stream"
    trials = found["stream_rec_shadow_mean"]
    for labels, events in found["stream_rec_shadow_events"].items():
        named = dict(labels)
        what = "on trial" if named["kind"] == "shadow" else "watched"
        ahead = f", {trials[labels]:+.3f} in log-rank" if labels in trials else ""
        yield f"version {named['version']} {what}: {events:.0f} live events{ahead}"
    rounds: dict[str, int] = defaultdict(int)
    for labels, count in found["stream_rec_training_rounds_total"].items():
        rounds[f"{dict(labels)['kind']} {_BECAME.get(dict(labels)['outcome'], 'failed')}"] += round(
            count
        )
    if rounds:
        yield ", ".join(f"{count} {name}" for name, count in sorted(rounds.items()) if count)


EVERY_S = 2.0
_THE = {"adapter": "a LoRA adapter", "tower": "where behaviour puts items"}
_BECAME = {
    "shadow": "put on trial",
    "refused": "refused by the gate",
    "promoted": "serving at once",
}
