"""The metrics of several programs as one exposition, each sample labelled with its program.

Each program serves its own on a loopback port; this asks them all when it is asked, so that one
scrape sees one installation. Knows addresses, not what is measured.
"""

from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from consumers.settings import host_and_port
from consumers.telemetry.http_guard import bearer


def registry_of(addresses: Mapping[str, str], token: str | None = None) -> CollectorRegistry:
    """Return a registry that asks the programs, by name -> HOST:PORT, at each exposition."""
    registry = CollectorRegistry()
    registry.register(_Programs(addresses, token))
    return registry


def merge(texts: Mapping[str, str]) -> Iterable[Metric]:
    r"""Return the metric families of expositions by name of program.

    >>> [family] = merge({"encoder-0": "# TYPE a gauge\na 1.0\n"})
    >>> family.samples[0].labels
    {'program': 'encoder-0'}
    """
    families: dict[str, Metric] = {}
    for program, text in texts.items():
        for family in text_string_to_metric_families(text):
            merged = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                labels = {**sample.labels, "program": program}
                merged.samples.append(sample._replace(labels=labels))
    return families.values()


class _Programs(Collector):
    def __init__(self, addresses: Mapping[str, str], token: str | None) -> None:
        self._addresses = addresses
        self._token = token

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is becomes known only by asking."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Ask every program; one that does not answer is left out, and `up` says so."""
        asked = {name: _scraped(address, self._token) for name, address in self._addresses.items()}
        up = Metric("stream_rec_program_up", "1 when the program answered", "gauge")
        for name, text in asked.items():
            up.add_sample("stream_rec_program_up", {"program": name}, float(text is not None))
        yield up
        yield from merge({name: text for name, text in asked.items() if text is not None})


def _scraped(address: str, token: str | None) -> str | None:
    connection = HTTPConnection(*host_and_port(address), timeout=SCRAPE_S)
    try:
        connection.request("GET", "/metrics", headers=bearer(token))
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


SCRAPE_S = 1.0
