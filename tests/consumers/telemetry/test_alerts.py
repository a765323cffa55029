"""Alert rules, scrapes and every query, as Prometheus itself reads them.

`alerts_test.yml` says what each alert fires on; Prometheus' own tool runs it where it is installed
(Debian: `apt-get install prometheus`).
"""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.telemetry.metrics import RecommenderMetrics
from tests.consumers.telemetry.test_dashboards import DOCKER, alerts, expressions
from tests.described_metrics import registries

CASES = Path(__file__).with_name("alerts_test.yml")


def promtool(*arguments: str | Path) -> None:
    """Run Prometheus' own checks; skip where they are not installed."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed: Debian's package `prometheus` brings it")
    done = subprocess.run(
        [tool, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def expected(alert: str) -> Sequence[str]:
    """Return the labels that the cases expect of an alert, each time that it fires."""
    cases: dict[str, Any] = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return [
        sample["labels"]
        for case in cases["tests"]
        for check in case["promql_expr_test"]
        for sample in check["exp_samples"]
        if f'alertname="{alert}"' in sample["labels"]
    ]


def test_alerts_fire_on_what_they_are_for_and_on_nothing_else() -> None:
    promtool("test", "rules", CASES)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_case_with_the_labels_that_its_words_name(rule: dict[str, Any]) -> None:
    fired = expected(rule["alert"])
    assert fired, "no case in alerts_test.yml makes it fire"
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert all(f"{label}=" in labels for labels in fired), label


def test_rules_and_scrapes_are_read_by_prometheus(tmp_path: Path) -> None:
    config = (DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    token = tmp_path / "token"
    token.write_text("0" * 24)
    config = config.replace("/run/secrets/http_token", str(token))
    (tmp_path / "alerts.yml").write_bytes((DOCKER / "prometheus" / "alerts.yml").read_bytes())
    (tmp_path / "prometheus.yml").write_text(config.replace("/etc/prometheus/", f"{tmp_path}/"))
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"query{number}", "expr": query.replace("$program", ".*")}
        for number, query in enumerate(expressions())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


def test_counts_of_event_topics_start_at_0_so_that_the_first_of_a_kind_is_an_increase() -> None:
    metrics = RecommenderMetrics()
    metrics.expect(("p.erasures",))
    value = metrics.registry.get_sample_value
    for outcome in ("applied", "duplicate", "late", "erased", "dead_lettered"):
        labels = {"topic": "p.erasures", "outcome": outcome}
        assert value("stream_rec_events_total", labels) == 0, outcome
    assert value("stream_rec_records_read_total", {"topic": "p.erasures"}) == 0
    letters = {"topic": "p.erasures", "stage": "decode"}
    assert value("stream_rec_dead_letters_total", letters) == 0


@pytest.mark.parametrize(
    ("served", "name", "labels"),
    [
        ("recommender", "stream_rec_adapter_decisions_total", {"verdict": "rolled_back"}),
        ("trainer", "stream_rec_training_rounds_total", {"kind": "adapter", "outcome": "failed"}),
        ("trainer", "stream_rec_training_running", {"kind": "tower"}),
    ],
)
def test_what_has_not_happened_yet_is_0(served: str, name: str, labels: dict[str, str]) -> None:
    assert registries()[served].get_sample_value(name, labels) == 0
