import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumers.settings import Settings, host_and_port
from consumers.telemetry.health import Health
from consumers.telemetry.metrics import RecommenderMetrics

TOKEN = "0123456789abcdef-of-the-test"
Asked = Callable[..., tuple[int, dict[str, str], str]]


async def _changed(_: Request) -> Response:
    return JSONResponse({"changed": True})


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start servers as settings say, with one route that changes something."""
    started: list[Health] = []

    def run(**options: object) -> str:
        route = Route("/api/thing", _changed, methods=["GET", "PUT", "DELETE"])
        registry = RecommenderMetrics().registry
        health = Health(registry, ready=lambda: {"on": True}, alive=lambda: True, routes=[route])
        started.append(health)
        return health.start(Settings(**options))  # type: ignore[arg-type]

    yield run
    for health in started:
        health.stop()


def ask(
    address: str, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Make one real request; `headers` are laid over those a client sends by itself."""
    connection = HTTPConnection(*host_and_port(address), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, told, answer.read().decode()
    finally:
        connection.close()


def with_token(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_a_token_loopback_may_read_and_nobody_may_change(serve: Callable[..., str]) -> None:
    address = serve()
    for path in ("/livez", "/readyz", "/metrics", "/api/thing"):
        assert ask(address, path)[0] == 200
    for method in ("PUT", "DELETE", "POST", "OPTIONS"):
        status, _, body = ask(address, "/api/thing", method)
        assert status == 403
        assert "STREAM_REC_HTTP_TOKEN" in json.loads(body)["error"]
        assert ask(address, "/api/thing", method, **with_token())[0] == 403


def test_with_a_token_only_livez_answers_those_who_have_none(serve: Callable[..., str]) -> None:
    address = serve(http_token=TOKEN)
    assert ask(address, "/livez")[0] == 200
    for path in ("/readyz", "/metrics", "/api/thing", "/nowhere", "/livez/", "/livez/../metrics"):
        status, headers, _ = ask(address, path)
        assert status == 401
        assert headers["www-authenticate"] == "Bearer"
    for path in ("/readyz", "/metrics", "/api/thing"):
        assert ask(address, path, **with_token())[0] == 200
    assert ask(address, "/api/thing", "PUT", **with_token())[0] == 200


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN],
)
def test_what_is_not_exactly_the_token_is_refused_and_not_sent_back(
    serve: Callable[..., str], given: str
) -> None:
    status, _, body = ask(serve(http_token=TOKEN), "/metrics", Authorization=given)
    assert status == 401
    assert TOKEN not in body


def test_a_name_pointed_at_this_machine_is_not_answered(serve: Callable[..., str]) -> None:
    address = serve(http_token=TOKEN)
    for host in ("evil.example", "127.0.0.1.evil.example:80", "", "10.0.0.1", "localhost.evil:1"):
        for path in ("/livez", "/metrics"):
            assert ask(address, path, Host=host, **with_token())[0] == 421
    for host in ("localhost", "127.0.0.1:1", "LOCALHOST:80", "[::1]:80", "localhost."):
        assert ask(address, "/metrics", Host=host, **with_token())[0] == 200


def test_on_all_addresses_every_address_and_the_names_given_are_ours(
    serve: Callable[..., str],
) -> None:
    port = serve(
        http_host="0.0.0.0", http_token=TOKEN, http_names="stream-rec, recs.example"
    ).rpartition(":")[2]
    address = f"127.0.0.1:{port}"
    for host in ("10.0.0.1:9464", "stream-rec:9464", "RECS.example", "localhost", "[fe80::1]:1"):
        assert ask(address, "/metrics", Host=host, **with_token())[0] == 200
    for host in ("evil.example", "stream-rec.evil.example"):
        assert ask(address, "/metrics", Host=host, **with_token())[0] == 421
    assert ask(address, "/metrics")[0] == 401


def test_no_page_of_another_origin_may_ask(serve: Callable[..., str]) -> None:
    address = serve(http_token=TOKEN)
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "file://"):
        status, headers, _ = ask(address, "/metrics", Origin=origin, **with_token())
        assert status == 403
        assert not any(name.startswith("access-control") for name in headers)
    assert ask(address, "/metrics", Origin=f"http://{address}", **with_token())[0] == 200


def test_answers_are_not_kept_by_anybody_on_the_way(serve: Callable[..., str]) -> None:
    for path in ("/livez", "/metrics"):
        _, headers, _ = ask(serve(http_token=TOKEN), path)
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_an_ipv6_loopback_is_listened_on_and_named_in_brackets(serve: Callable[..., str]) -> None:
    address = serve(http_host="::1")
    assert address.startswith("[::1]:")
    assert ask(address, "/metrics")[0] == 200
