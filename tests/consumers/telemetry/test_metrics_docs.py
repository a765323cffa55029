"""docs/metrics.md names every metric in the words of the programs.

`python tests/consumers/telemetry/test_metrics_docs.py` writes it anew.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY))

from tests.described_metrics import described  # noqa: E402

DOCUMENT = REPOSITORY / "docs" / "metrics.md"
HEADER = """# Metrics

Every program serves `/metrics` in Prometheus' text format; `stream-rec up` serves those of all its
programs at one address, each sample labelled with its `program`. Labels never hold a user, an item
or a text. This page is written from what the programs register: `python
tests/consumers/telemetry/test_metrics_docs.py`.

What is counted from a sample says so: ratios of such counts are sound, sums are not those of the
stream. `docker/grafana/dashboards/stream-rec.json` shows all of it, and
`docker/prometheus/alerts.yml` says when to wake somebody.

Counts reconcile: for every topic, `stream_rec_records_read_total` is the sum of
`stream_rec_events_total` over its outcomes (`applied`, `duplicate`, `late`, `erased`,
`dead_lettered`), and both count a record when its transaction has committed.

| segment | means |
|---|---|
| `user_segment` `new`, `light`, `heavy` | no event before; 1 to 19; 20 and more |
| `item_segment` `new`, `head`, `tail` | nobody took it before; most taken, half of all; the rest |

| metric | kind | labels | of | what |
|---|---|---|---|---|
"""


def text() -> str:
    """What the page should say."""
    rows = []
    for metric in described().values():
        labels = ", ".join(f"`{name}`" for name in metric.labels)
        name = f"`{metric.name}{'_total' if metric.kind == 'counter' else ''}`"
        programs = ", ".join(metric.programs)
        rows.append(f"| {name} | {metric.kind} | {labels} | {programs} | {metric.documentation} |")
    return HEADER + "\n".join(rows) + "\n"


def test_the_page_names_every_metric_in_the_words_of_the_program() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text()


def test_names_stand_under_one_prefix_with_base_units() -> None:
    for metric in described().values():
        assert metric.name.startswith("stream_rec_"), metric.name
        assert metric.documentation, metric.name
        for scaled in ("_ms", "_milliseconds", "_minutes", "_percent", "_kb", "_mb"):
            assert not metric.name.endswith(scaled), metric.name


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
