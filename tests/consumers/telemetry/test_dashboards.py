"""Dashboard, alert rules and scrapes name what the programs serve, and nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.described_metrics import described

DOCKER = Path(__file__).resolve().parents[3] / "docker"
NAME = re.compile(r"\bstream_rec_[a-z_]+")
SELECTED = re.compile(r"\b(stream_rec_[a-z_]+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
OF_EVERY_SAMPLE = {"program", "job", "instance", "le"}


def dashboard() -> dict[str, Any]:
    text = (DOCKER / "grafana" / "dashboards" / "stream-rec.json").read_text(encoding="utf-8")
    board: dict[str, Any] = json.loads(text)
    return board


def alerts() -> list[dict[str, Any]]:
    found = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in alerts())


def test_every_name_in_a_query_is_served_by_a_program() -> None:
    served = {sample for metric in described().values() for sample in metric.samples}
    assert {name for query in expressions() for name in NAME.findall(query)} - served == set()


def test_every_label_in_a_query_is_one_of_its_metric() -> None:
    labels = {
        sample: {*metric.labels, *OF_EVERY_SAMPLE}
        for metric in described().values()
        for sample in metric.samples
    }
    for query in expressions():
        for name, selectors in SELECTED.findall(query):
            assert set(LABEL.findall(selectors)) <= labels[name], query
        known = set.union(*(labels[name] for name in NAME.findall(query)))
        for group in GROUPED.findall(query):
            assert {label.strip() for label in group.split(",")} <= known, query


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for query in expressions() for name in NAME.findall(query)}
    unseen = [m.name for m in described().values() if not shown & set(m.samples)]
    assert unseen == []


def test_brackets_of_queries_close() -> None:
    for query in expressions():
        for opening, closing in ("()", "{}", "[]"):
            assert query.count(opening) == query.count(closing), query


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_so_how_to_mend_it_and_whom_to_tell(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket", "note"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["mend"]


def test_panels_stand_beside_each_other_and_never_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_scrapes_name_programs_of_the_compose_file() -> None:
    scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    targets = {
        target.partition(":")[0]
        for job in scraped["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    services = yaml.safe_load((DOCKER / "compose.yml").read_text(encoding="utf-8"))["services"]
    assert targets - {"trainer"} <= services.keys()
    assert scraped["rule_files"] == ["/etc/prometheus/alerts.yml"]
