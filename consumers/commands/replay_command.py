"""`stream-rec replay`: the same engine over files, without a broker, beside honest baselines.

Loads files and language model, runs `stream_rec/replay.py` once for each policy, and prints what it
measured. Same files, same seed: same digest. Knows files and the terminal, not how lists are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from consumers import terminal
from consumers.commands.policy_commands import check_scenario
from consumers.commands.recent_stream import recent
from consumers.commands.replay_results import Segments, show
from consumers.processes.broker_jars import default_cache_dir
from consumers.settings import Settings, model_path
from stream_rec import recorded
from stream_rec.baselines import Baselines, gain
from stream_rec.errors import ConfigurationError
from stream_rec.items import Item, item_text, text_hash
from stream_rec.policy import Policies, parse_policy
from stream_rec.policy_comparison import Standing
from stream_rec.replay import Options, Report, erasures_in, event_of_arrival, replay
from stream_rec.replica import Replica
from stream_rec.step import Arrival

Vectors = dict[str, NDArray[np.float32] | None]
"""Of every text; None for the empty one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """What to replay: files, or the last `since_s` seconds of the topics that `settings` name.

    `policies` are files, or LIVE for what is in force, one run each; none means LIVE for topics,
    else the defaults. A file takes the place of the layer of `scenario`, as if it were set.

    `model` None leaves the language model out.
    """

    items: Path | None = None
    events: Path | None = None
    since_s: float | None = None  # the last of the topics instead of files
    settings: Settings | None = None
    erasures: Path | None = None
    limit: int | None = None
    policies: Sequence[Path] = ()
    scenario: str = "*"
    model: str | None = "minilm"
    device: str = "auto"
    baselines: bool = True
    options: Options = Options()  # noqa: RUF009 - frozen


def run(plan: ReplayPlan, *, as_json: bool = False) -> None:
    """Replay and print the measurements.

    Raises:
        ConfigurationError: a file cannot be used.
        InvalidPolicy: a policy is not valid.
        ModelUnavailable: the language model cannot be loaded.
    """
    patches = _patches(plan)
    stream = _stream(plan)
    if not stream.items or not stream.arrivals:
        msg = f"nothing to replay: {len(stream.items)} items, {len(stream.arrivals)} events"
        raise ConfigurationError(msg)
    reports: dict[str, Report] = {}
    lists: dict[str, Standing] = {}
    for name, patch in patches.items():
        with terminal.progress_bar(f"replaying, {name}, events") as advance:
            replica = _replica(stream, plan.scenario, patch)
            lists[name] = Standing(replica)
            reports[name] = replay(
                replica,
                stream.arrivals,
                plan.options,
                progress=lambda done, tell=advance: tell(done, len(stream.arrivals)),  # type: ignore[misc]
                standing=lists[name],
            )
    beside = _baselines(stream.items, stream.arrivals, plan.options) if plan.baselines else {}
    show(reports, lists, beside, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What is replayed; `vectors` by text, `policies` those in force where there are any."""

    items: Sequence[Item]
    arrivals: Sequence[Arrival]
    vectors: Vectors
    policies: Policies


def _stream(plan: ReplayPlan) -> Stream:
    if plan.since_s is not None and plan.settings is not None:
        found = recent(plan.settings, plan.since_s)
        known = {item.item_id: item for item in found.items}
        vectors = {
            item_text(known[item_id]): stored.values
            for item_id, stored in found.vectors.items()
            if item_id in known and stored.text_hash == text_hash(item_text(known[item_id]))
        }
        arrivals = found.arrivals[-plan.limit :] if plan.limit else found.arrivals
        return Stream(
            items=found.items, arrivals=arrivals, vectors=vectors, policies=found.policies
        )
    if plan.items is None or plan.events is None:
        msg = "give --items and --events, or --since for the last hours of the topics"
        raise ConfigurationError(msg)
    items = list(recorded.items(plan.items))
    arrivals = list(recorded.arrivals(plan.events, plan.limit))
    if plan.erasures is not None:  # first of all: nothing of the forgotten must have an effect
        arrivals = [*recorded.erasures(plan.erasures), *arrivals]
    vectors = _vectors(plan, items) if items and arrivals else {}
    return Stream(items=items, arrivals=arrivals, vectors=vectors, policies=Policies())


def _patches(plan: ReplayPlan) -> dict[str, dict[str, object] | None]:
    """Return the policy layer of each run by a name of its own; None changes nothing."""
    check_scenario(plan.scenario)
    if not plan.policies:
        return {LIVE if plan.since_s is not None else "stream-rec": None}
    patches: dict[str, dict[str, object] | None] = {}
    for file in plan.policies:
        live = str(file) == LIVE
        if live and plan.since_s is None:
            msg = f"--policy {LIVE} means the policy in force: use it with --since"
            raise ConfigurationError(msg)
        name = file.name if file.name not in patches else str(file)
        patches[name] = None if live else parse_policy(_read(file))
    if len(patches) < len(plan.policies):
        msg = "the same policy is named twice"
        raise ConfigurationError(msg)
    return patches


def _replica(stream: Stream, scenario: str, patch: dict[str, object] | None) -> Replica:
    """Return a replica with the catalogue and the policies in force, one scenario's replaced."""
    replica = Replica()
    for item in stream.items:
        replica.put_item(item)
        if (text := item_text(item)) in stream.vectors:
            replica.put_text_vector(item.item_id, text_hash(text), stream.vectors[text])
    layers = stream.policies.layers()
    for name, (layer, offset) in layers.items():
        replica.put_policy(name, offset, layer)
    if patch is not None:
        newest = max((offset for _, offset in layers.values()), default=-1)
        replica.put_policy(scenario, newest + 1, patch)
    return replica


def _vectors(plan: ReplayPlan, catalogue: Sequence[Item]) -> Vectors:
    """Encode the catalogue, reading from a cache by text what earlier replays have encoded."""
    if plan.model is None:
        return {}
    from stream_rec.language_model.backbone import load_backbone
    from stream_rec.language_model.encoding import encode
    from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint

    name = model_path(plan.model)
    backbone = load_backbone(name, device=plan.device)  # type: ignore[arg-type]
    texts = list(dict.fromkeys(text for item in catalogue if (text := item_text(item))))
    vectors: Vectors = {"": None}
    fingerprint = cache_fingerprint(backbone.model_hash, backbone.pooling)
    folder = default_cache_dir() / "replay"
    with (
        VectorCache(folder, fingerprint, backbone.dimension) as cache,
        terminal.progress_bar("the language model reads the catalogue, texts") as advance,
    ):
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            part = texts[start : start + TEXTS_AT_ONCE]
            found = cache.fill(part, lambda missing: encode(backbone, missing))
            vectors |= dict(zip(part, found, strict=True))
            advance(start + len(part), len(texts))
    return vectors


def _baselines(
    catalogue: Sequence[Item], arrivals: Sequence[Arrival], options: Options
) -> dict[str, Segments]:
    """Score the baselines on the same events, under the same condition."""
    baselines = Baselines(
        [item.item_id for item in catalogue], exclude_consumed=not options.repeats
    )
    gains: dict[str, list[float]] = {name: [] for name in baselines.names}
    new_item, new_user = list[bool](), list[bool]()
    users, items = set[str](), set[str]()
    first_scored = int(len(arrivals) * options.warm_up)
    erased: dict[str, int] = {}
    with terminal.progress_bar("baselines, events") as advance:
        for number, arrival in enumerate(arrivals):
            for erasure in erasures_in([arrival]):
                if erasure.timestamp > erased.get(erasure.user_id, -1):
                    erased[erasure.user_id] = erasure.timestamp
                    baselines.forget(erasure.user_id)
                    users.discard(erasure.user_id)
            event = event_of_arrival(arrival)
            if event is None or event.timestamp <= erased.get(event.user_id, -1):
                continue
            known = baselines.consumed(event.user_id, event.item_id)
            if number >= first_scored and (options.repeats or not known):
                for name, rank in baselines.ranks(event.user_id, event.item_id).items():
                    gains[name].append(gain(rank))
                new_item.append(event.item_id not in items)
                new_user.append(event.user_id not in users)
            baselines.learn(event.user_id, event.item_id)
            users.add(event.user_id)
            items.add(event.item_id)
            if number % 100 == 99:
                advance(number + 1, len(arrivals))
    masks = {"new item": np.array(new_item, bool), "new user": np.array(new_user, bool)}
    masks = {"all": np.ones(len(new_item), bool), **masks}
    masks["warm"] = ~masks["new item"] & ~masks["new user"]
    return {
        name: {segment: _summary(np.array(values)[mask]) for segment, mask in masks.items()}
        for name, values in gains.items()
    }


def _summary(gains: NDArray[np.float64]) -> dict[str, float]:
    if not len(gains):
        return {"n": 0, "hr": 0.0, "ndcg": 0.0}
    return {"n": len(gains), "hr": float((gains > 0).mean()), "ndcg": float(gains.mean())}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise ConfigurationError(msg) from error


TEXTS_AT_ONCE = 256
LIVE = "live"
