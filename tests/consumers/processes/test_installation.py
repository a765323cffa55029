"""What `up` does around its programs, tried with programs that only answer `/readyz`."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumers.kafka_io.clients import admin
from consumers.kafka_io.topics import Topics, partition_counts
from consumers.processes.broker_jars import fetch_broker
from consumers.processes.child_process import mark
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.installation import READY_FILE, Installation, Plan, Ready, read_ready
from consumers.settings import Settings
from stream_rec.errors import BrokerUnavailable, ConfigurationError

PROGRAM = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        if self.path == "/metrics":
            self.wfile.write(f"# TYPE pid gauge\\npid {os.getpid()}\\n".encode())
    def log_message(self, *_): pass
host, port = os.environ["STREAM_REC_HTTP"].split(":")
HTTPServer((host, int(port)), Answer).serve_forever()
"""
COMMAND = (sys.executable, "-c", PROGRAM)
SOON_S = 60.0


@dataclass
class Run:
    """One installation on a thread of its own."""

    installation: Installation
    thread: threading.Thread
    told: list[Ready]
    ended: list[object]

    def ready(self) -> Ready:
        until = time.monotonic() + SOON_S
        while not self.told and self.thread.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
        assert self.told, self.ended
        return self.told[0]

    def stop(self) -> float:
        started = time.monotonic()
        self.installation.request_stop()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return time.monotonic() - started


def start(plan: Plan) -> Run:
    installation, told, ended = Installation(plan), [], []

    def work():
        try:
            ended.append(installation.run(told.append))
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return Run(installation, thread, told, ended)


def plan_on(broker: EmbeddedBroker, folder: Path, prefix: str, **more: int) -> Plan:
    servers = broker.bootstrap_servers
    settings = Settings(bootstrap_servers=servers, data_dir=folder, prefix=prefix, **more)
    return Plan(settings=settings, command=COMMAND)


def got(ready: Ready, path: str) -> str:
    with urllib.request.urlopen(f"http://{ready.http}{path}", timeout=5) as answer:
        return answer.read().decode()


def test_ready_json_says_where_while_it_runs_and_goes_with_it(broker, tmp_path, prefix):
    run = start(plan_on(broker, tmp_path, prefix))
    try:
        ready = run.ready()
        written = json.loads((tmp_path / READY_FILE).read_text())
        assert written == {
            "bootstrap_servers": broker.bootstrap_servers,
            "http": ready.http,
            "pid": os.getpid(),
        }
        assert read_ready(tmp_path) == ready
        assert got(ready, "/livez")
        assert json.loads(got(ready, "/readyz"))["ready"] is True
    finally:
        assert run.stop() < 15
    assert run.ended == [0]
    assert not (tmp_path / READY_FILE).exists()


def test_missing_topics_are_made_before_the_programs_start(broker, tmp_path, prefix):
    run = start(plan_on(broker, tmp_path, prefix, partitions=3))
    try:
        ready = run.ready()
        client = admin(Settings(bootstrap_servers=ready.bootstrap_servers))
        topics = Topics(prefix)
        names = (topics.clicks, topics.recommendations, topics.policies)
        assert partition_counts(client, names) == dict(zip(names, (3, 3, 1), strict=True))
        client.close()
    finally:
        run.stop()


def test_one_scrape_sees_every_program_by_name(broker, tmp_path, prefix):
    plan = plan_on(broker, tmp_path, prefix)
    run = start(Plan(settings=plan.settings, command=COMMAND, workers=2))
    try:
        metrics = got(run.ready(), "/metrics")
        for name in ("recommender-0", "recommender-1", "encoder-0"):
            assert f'pid{{program="{name}"}}' in metrics
            assert f'stream_rec_program_up{{program="{name}"}} 1.0' in metrics
    finally:
        run.stop()


def test_a_second_start_on_the_same_folder_is_refused(broker, tmp_path, prefix):
    run = start(plan_on(broker, tmp_path, prefix))
    try:
        run.ready()
        second = start(plan_on(broker, tmp_path, prefix))
        second.thread.join(30)
        [error] = second.ended
        assert isinstance(error, ConfigurationError)
        assert "already runs" in str(error)
        assert read_ready(tmp_path) is not None
    finally:
        run.stop()


def test_an_address_that_is_taken_is_refused(broker, tmp_path, prefix):
    run = start(plan_on(broker, tmp_path / "first", prefix))
    try:
        port = int(run.ready().http.rpartition(":")[2])
        second = start(plan_on(broker, tmp_path / "second", prefix, http_port=port))
        second.thread.join(30)
        [error] = second.ended
        assert isinstance(error, ConfigurationError)
        assert str(port) in str(error)
    finally:
        run.stop()


def test_a_program_that_cannot_work_stops_everything_with_its_reason(broker, tmp_path, prefix):
    settings = plan_on(broker, tmp_path, prefix).settings
    failing = (sys.executable, "-c", "raise SystemExit(2)")
    run = start(Plan(settings=settings, command=failing))
    run.thread.join(30)
    assert run.ended == [2]
    assert "exit status 2" in (run.installation.reason() or "")
    assert not (tmp_path / READY_FILE).exists()


def test_a_broker_that_is_not_there_is_said_at_once(tmp_path):
    settings = Settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        Installation(Plan(settings=settings, command=COMMAND)).run()


def test_more_workers_than_partitions_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="5 workers"):
        Plan(settings=Settings(data_dir=tmp_path, partitions=4), workers=5)


@pytest.mark.broker
def test_an_embedded_broker_keeps_its_log_and_address_over_a_restart(tmp_path):
    plan = Plan(settings=Settings(data_dir=tmp_path), jars=fetch_broker(), command=COMMAND)
    first = start(plan)
    before = first.ready()
    assert first.stop() < 15
    second = start(plan)
    try:
        assert second.ready().bootstrap_servers == before.bootstrap_servers
        client = admin(Settings(bootstrap_servers=before.bootstrap_servers))
        assert partition_counts(client, (Topics("stream-rec").clicks,))
        client.close()
    finally:
        second.stop()


def test_nothing_outlives_a_killed_installation(broker, tmp_path, prefix):
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from pathlib import Path
from consumers.processes.installation import Installation, Plan
from consumers.settings import Settings
settings = Settings(
    bootstrap_servers={broker.bootstrap_servers!r}, data_dir=Path({str(tmp_path)!r}),
    prefix={prefix!r},
)
Installation(Plan(settings=settings, command={COMMAND!r})).run()
"""
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script])
    until = time.monotonic() + SOON_S
    while read_ready(tmp_path) is None and time.monotonic() < until:
        time.sleep(0.05)
    children = [json.loads(file.read_text())["pid"] for file in (tmp_path / "run").glob("*.pid")]
    assert len(children) == 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(mark(pid) for pid in children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(mark(pid) for pid in children)
    assert read_ready(tmp_path) is None
