"""`stream-rec replay`: the same engine over files, without a broker, beside honest baselines.

Loads files and language model, runs `stream_rec/replay.py` once for each policy, and prints what it
measured. Same files, same seed: same digest. Knows files and the terminal, not how lists are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from consumers import terminal
from consumers.processes.broker_jars import default_cache_dir
from stream_rec import recorded
from stream_rec.baselines import Baselines, gain
from stream_rec.errors import ConfigurationError, InvalidRecord
from stream_rec.events import Event, parse_event
from stream_rec.items import Item, item_text, text_hash
from stream_rec.policy import parse_policy
from stream_rec.replay import Options, Report, replay
from stream_rec.replica import Replica
from stream_rec.step import Arrival

Vectors = dict[str, NDArray[np.float32] | None]
"""Of every text; None for the empty one."""
Segments = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """What to replay; `policies` are files, one run each, and none means the defaults.

    `model` None leaves the language model out.
    """

    items: Path
    events: Path
    limit: int | None = None
    policies: Sequence[Path] = ()
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
    patches = {file.name: parse_policy(_read(file)) for file in plan.policies}
    catalogue = list(recorded.items(plan.items))
    arrivals = list(recorded.arrivals(plan.events, plan.limit))
    if not catalogue or not arrivals:
        msg = f"nothing to replay: {len(catalogue)} items, {len(arrivals)} events"
        raise ConfigurationError(msg)
    vectors = _vectors(plan, catalogue)
    reports: dict[str, Report] = {}
    for name, patch in patches.items() or {"stream-rec": {}}.items():
        with terminal.progress_bar(f"replaying, {name}, events") as advance:
            replica = _replica(catalogue, vectors, patch)
            reports[name] = replay(
                replica,
                arrivals,
                plan.options,
                progress=lambda done, tell=advance: tell(done, len(arrivals)),  # type: ignore[misc]
            )
    beside = _baselines(catalogue, arrivals, plan.options) if plan.baselines else {}
    if as_json:
        found = {"runs": reports, "baselines": beside}
        terminal.results.print_json(msgspec.json.encode(found).decode())
    else:
        _print(reports, beside)


def _replica(catalogue: Sequence[Item], vectors: Vectors, patch: dict[str, object]) -> Replica:
    replica = Replica()
    for item in catalogue:
        replica.put_item(item)
        if (text := item_text(item)) in vectors:
            replica.put_text_vector(item.item_id, text_hash(text), vectors[text])
    if patch:
        replica.put_policy("*", 0, patch)
    return replica


def _vectors(plan: ReplayPlan, catalogue: Sequence[Item]) -> Vectors:
    """Encode the catalogue, reading from a cache by text what earlier replays have encoded."""
    if plan.model is None:
        return {}
    from stream_rec.language_model.backbone import load_backbone
    from stream_rec.language_model.encoding import encode
    from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint

    name = None if plan.model == "minilm" else plan.model
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
    with terminal.progress_bar("baselines, events") as advance:
        for number, arrival in enumerate(arrivals):
            event = _event(arrival)
            if event is None:
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


def _print(reports: dict[str, Report], beside: dict[str, Segments]) -> None:
    segments = ("all", "warm", "new item", "new user")
    table = Table("NDCG@10 (hit rate)", *segments, "coverage", "lists", box=None)
    for name, report in reports.items():
        cells = [_cell(report.segments.get(segment)) for segment in segments]
        table.add_row(name, *cells, f"{report.coverage:.1%}", f"{report.lists:,}", style="bold")
    for name, measured in _best_popularity(beside).items():
        table.add_row(name, *(_cell(measured.get(segment)) for segment in segments), "", "")
    terminal.results.print(table)
    scored = {name: report.segments["all"]["n"] for name, report in reports.items()}
    for name, report in reports.items():
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items())
        best = max((run["all"]["ndcg"] for run in beside.values()), default=0.0)
        ratio = f", {report.segments['all']['ndcg'] / best:.2f} x the best baseline" if best else ""
        terminal.results.print(
            f"{name}: {scored[name]} events scored{ratio}; {outcomes}; digest {report.digest[:16]}",
            highlight=False,
        )


def _best_popularity(beside: dict[str, Segments]) -> dict[str, Segments]:
    """Keep the best of the half-lives, which is chosen in hindsight."""
    popular = [name for name in beside if name.startswith("popularity")]
    best = max(popular, key=lambda name: beside[name]["all"]["ndcg"], default=None)
    return {name: run for name, run in beside.items() if name not in popular or name == best}


def _cell(measured: dict[str, float] | None) -> str:
    if not measured or not measured["n"]:
        return "–"
    return f"{measured['ndcg']:.4f} ({measured['hr']:.4f})"


def _event(arrival: Arrival) -> Event | None:
    try:
        return parse_event(arrival.value, key=arrival.key, kind=arrival.kind, source="replay")
    except InvalidRecord:
        return None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise ConfigurationError(msg) from error


TEXTS_AT_ONCE = 256
