"""`/api/…` of an installation: what the commands do, asked over HTTP, answered with their JSON.

Thin: a route calls what its command calls, and that is imported only then, so that the process that
keeps everything running stays small. `telemetry/http_guard.py` has decided who may ask.
"""

import json
import logging
import platform
import threading
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumers.settings import Settings
from stream_rec.errors import (
    AccessDenied,
    BrokerUnavailable,
    CheckpointRejected,
    ConfigurationError,
    InvalidPolicy,
    InvalidRecord,
    StreamRecError,
)

Asked = dict[str, str]
"""What a request says: path and query by name, and its body under `body`."""
Answering = Callable[[Settings, Asked], Any]


class NotAsked(StreamRecError):
    """A request that says too little or too much; nothing was looked up."""


def routes(settings: Settings) -> list[Route]:
    """Return the routes; each opens its own connection to the brokers, a few at a time."""
    turns = threading.BoundedSemaphore(MOST_AT_ONCE)

    def route(path: str, method: str, answer: Answering) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                asked = await _asked(request)
                if not turns.acquire(blocking=False):
                    return JSONResponse({"error": "busy: ask again"}, status_code=503)
                try:
                    found = await run_in_threadpool(answer, settings, asked)
                finally:
                    turns.release()
            except Exception as error:
                return _told(error, method)
            return Response(msgspec.json.encode(found), media_type="application/json")

        return Route(path, endpoint, methods=[method])

    return [route(path, method, answer) for (path, method), answer in ANSWERS.items()]


def policies(settings: Settings, _: Asked) -> Any:
    """Return every layer in force, by scenario."""
    from consumers.commands.policy_commands import accepted

    layers = accepted(settings).layers()
    return {
        name: {"version": version, "policy": patch} for name, (patch, version) in layers.items()
    }


def policy(settings: Settings, asked: Asked) -> Any:
    """Return the effective policy of a scenario, as `policy get`."""
    from consumers.commands.policy_commands import accepted, check_scenario, shown

    check_scenario(asked["scenario"])
    return shown(accepted(settings).effective(asked["scenario"]))


def set_policy(settings: Settings, asked: Asked) -> Any:
    """Publish a layer and return the verdict, as `policy set`; `null` takes the layer away."""
    from consumers.commands.policy_commands import check_scenario, publish
    from stream_rec.policy import parse_policy

    check_scenario(asked["scenario"])
    patch = None if asked["body"].strip() == "null" else asked["body"].encode()
    if patch is not None:
        parse_policy(patch)
    return _verdict(publish(settings, asked["scenario"], patch, by=WHO))


def history(settings: Settings, asked: Asked) -> Any:
    """Return who asked for which policy and what became of it, as `policy history`."""
    from consumers.commands.policy_commands import audited

    lines = audited(settings)
    return [line for line in lines if asked.get("scenario") in (None, line.scenario)]


def rollback(settings: Settings, asked: Asked) -> Any:
    """Set an earlier layer again, as `policy rollback`; `version` and `scenario` say which."""
    from consumers.commands.policy_commands import earlier, publish

    scenario, version = asked.get("scenario", "default"), asked.get("version")
    patch = earlier(settings, scenario, None if version is None else _number(version))
    return _verdict(publish(settings, scenario, patch, by=WHO))


def newest_list(settings: Settings, asked: Asked) -> Any:
    """Return a user's newest list as it was published; that of `*` for a user who has none."""
    from consumers.commands.explain import list_of

    return msgspec.Raw(list_of(settings, asked["scenario"], asked["user"]))


def explanation(settings: Settings, asked: Asked) -> Any:
    """Say why each item stands in a list, or one does not, as `explain`."""
    from consumers.commands.explain import Question, answered

    scenario = asked.get("scenario", "default")
    question = Question(user_id=asked["user"], item_id=asked.get("item"), scenario=scenario)
    return answered(settings, question)


def dead_letters(settings: Settings, asked: Asked) -> Any:
    """Return the newest open dead letters, as `dlq list`."""
    from consumers.commands.dead_letter_commands import newest_letters
    from consumers.commands.dead_letters_found import Wanted, as_record

    wanted = Wanted(
        topic=asked.get("topic"),
        stage=asked.get("stage"),
        reason=asked.get("reason"),
        key=asked.get("key"),
    )
    limit = _number(asked.get("limit", "20"))
    found = newest_letters(settings, limit=max(1, limit), wanted=wanted)
    return [as_record(letter) for letter in found]


def adapters(settings: Settings, asked: Asked) -> Any:
    """Return what serves each scenario and every version, as `adapter list`."""
    from consumers.commands.adapter_commands import known

    found, scenario = known(settings), asked.get("scenario")
    live = [x for name, x in sorted(found.pointers.items()) if scenario in (None, name)]
    versions = [x for _, x in sorted(found.versions.items()) if scenario in (None, x.scenario)]
    return {"live": live, "versions": versions}


def adapter(settings: Settings, asked: Asked) -> Any:
    """Return all that is on record of one version, as `adapter show`."""
    from consumers.commands.adapter_commands import on_record

    record, serving = on_record(settings, _number(asked["version"]))
    return {"version": record, "serving": serving}


def promote_adapter(settings: Settings, asked: Asked) -> Any:
    """Let a version serve, as `adapter promote`; `force` and `reason` as there."""
    from consumers.commands import adapter_commands as adapters

    wish = adapters.Asked(
        reason=asked.get("reason", ""), force=_yes(asked.get("force", "no")), by=_who()
    )
    return adapters.turned(adapters.promote(settings, _number(asked["version"]), wish))


def roll_back_adapter(settings: Settings, asked: Asked) -> Any:
    """Let the version before serve a scenario again, as `adapter rollback`."""
    from consumers.commands import adapter_commands as adapters

    wish = adapters.Asked(reason=asked.get("reason", ""), by=_who())
    return adapters.turned(adapters.roll_back(settings, asked.get("scenario", "default"), wish))


def diagnosis(settings: Settings, _: Asked) -> Any:
    """Say what is silently wrong with the installation, as `doctor`; it takes some seconds."""
    from consumers.commands.doctor import examined

    return examined(settings)


def delete_user(settings: Settings, asked: Asked) -> Any:
    """Forget a user and return the receipt, as `user delete`."""
    from consumers.commands.user_commands import check, forgotten

    up_to = check(asked["user"], asked.get("up_to"))
    return forgotten(settings, asked["user"], up_to)


async def _asked(request: Request) -> Asked:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            msg = f"the body is larger than {LARGEST_BODY} bytes"
            raise NotAsked(msg)
    try:
        text = body.decode("utf-8")
        if request.method == "POST" and text.strip():
            given = json.loads(text)
            named = {name: str(value) for name, value in given.items() if value is not None}
        else:
            named = {}
    except (UnicodeDecodeError, ValueError, AttributeError, RecursionError) as error:
        msg = f"the body is not a JSON object: {type(error).__name__}"
        raise NotAsked(msg) from error
    return {"body": text, **request.query_params, **named, **request.path_params}


def _verdict(audit: Any) -> Any:
    if audit.verdict != "accepted":
        msg = f"refused by the engine: {audit.reason}"
        raise InvalidPolicy(msg)
    return audit


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        msg = f"{text!r} is not a whole number"
        raise NotAsked(msg) from error


def _yes(text: str) -> bool:
    if text.lower() not in {"true", "false", "yes", "no"}:
        msg = f"{text!r} is neither true nor false"
        raise NotAsked(msg)
    return text.lower() in {"true", "yes"}


def _who() -> str:
    return f"{WHO}@{platform.node()}"


def _told(error: Exception, method: str) -> Response:
    """Return what went wrong; what nobody foresaw is named, and its words stay here."""
    match error:
        case NotAsked():
            status = 400
        case InvalidPolicy() | InvalidRecord() | CheckpointRejected():
            status = 422
        case ConfigurationError():
            status = 404 if method == "GET" else 400
        case BrokerUnavailable() | AccessDenied():
            status = 503
        case StreamRecError():  # asked for, but nobody said in time what became of it
            status = 504
        case _:
            LOG.error("an answer to /api failed: %s", type(error).__name__)
            return JSONResponse({"error": f"failed: {type(error).__name__}"}, status_code=500)
    return JSONResponse({"error": str(error)}, status_code=status)


LOG = logging.getLogger(__name__)
MOST_AT_ONCE = 4
LARGEST_BODY = 1_048_576
WHO = "api"
ANSWERS: dict[tuple[str, str], Answering] = {
    ("/api/policies", "GET"): policies,
    ("/api/policies/history", "GET"): history,
    ("/api/policies/rollback", "POST"): rollback,
    ("/api/policies/{scenario}", "GET"): policy,
    ("/api/policies/{scenario}", "PUT"): set_policy,
    ("/api/lists/{scenario}/{user:path}", "GET"): newest_list,
    ("/api/explain/{user}", "GET"): explanation,
    ("/api/explain/{user}/{item:path}", "GET"): explanation,
    ("/api/dlq", "GET"): dead_letters,
    ("/api/adapters", "GET"): adapters,
    ("/api/adapters/rollback", "POST"): roll_back_adapter,
    ("/api/adapters/{version}", "GET"): adapter,
    ("/api/adapters/{version}/promote", "POST"): promote_adapter,
    ("/api/doctor", "GET"): diagnosis,
    ("/api/users/{user:path}", "DELETE"): delete_user,
}
