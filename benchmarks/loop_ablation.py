"""What learning is worth in published lists: a stream replayed with towers and adapters swapped in.

    python -m benchmarks loop_ablation [--stream amazon_games] [--events 40000] [--json]
        [--tower-every 2000] [--adapter-every 0] [--methods proximal] [--cache FOLDER]

The product's own rounds train on the past only, and what they accept serves as late as under a
stream of 40 events a second: a tower 500 events after the newest it has seen, an adapter 4,000.
Lists are judged as published at the user's previous event; the first fifth is not scored. With
`--cache` bundles are kept, so that ways of ranking can be compared with the same towers.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: replays are single-threaded

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.ablation import best_baseline, replica_of
from benchmarks.encoded_stream import Stream, read_stream
from benchmarks.printed import show
from benchmarks.update_cycle import job
from consumers.settings import Settings
from consumers.training.feedback import feedback_of
from consumers.training.memory import Memory
from consumers.training.rounds import Rounds
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.adapters.life import AdapterVersion
from stream_rec.errors import InvalidRecord
from stream_rec.events import Event, parse_event
from stream_rec.language_model.gate import paired_by_user
from stream_rec.policy import AdapterPolicy, Signals
from stream_rec.replay import Options, gain, replay
from stream_rec.replica import Replica
from stream_rec.step import Arrival
from stream_rec.toplist import TopList

FEWEST = 800  # events before the first tower, as in `consumers.training.due`
TOWER_LATE, ADAPTER_LATE = 500, 4000  # events until what was trained serves


@dataclass(slots=True)
class Judged:
    """What a replay gained, event by event."""

    gains: list[float] = field(default_factory=list)
    new: list[bool] = field(default_factory=list)  # never-seen item
    users: list[str] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def standing(self, event: Event, toplist: TopList | None) -> None:
        """Score one event by the list that stood."""
        self.gains.append(gain(toplist, event))
        self.users.append(event.user_id)
        self.new.append(event.item_id not in self._taken)

    def took(self, arrivals: Sequence[Arrival]) -> None:
        """Note items that were taken; called after their batch was scored."""
        self._taken.update(json.loads(arrival.value)["item_id"] for arrival in arrivals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A version that serves from an event on."""

    serves_from: int
    record: AdapterVersion


class Loop:
    """Trains on the past of a stream, once for each moment, and keeps the bundles."""

    def __init__(self, stream: Stream, folder: Path, policy: AdapterPolicy) -> None:
        self.stream, self.policy = stream, policy
        self._settings = Settings(data_dir=folder)
        self._rounds = Rounds(self._settings, cancelled=lambda: False)
        self._memory, self._read = Memory(), 0
        self._kept = folder / "records"
        self._kept.mkdir(parents=True, exist_ok=True)

    def versions(self, tower_every: int, adapter_every: int) -> list[Made]:
        """Train all versions of a run, oldest first, as their triggers fall due."""
        events, made = len(self.stream.arrivals), list[Made]()
        serving: AdapterVersion | None = None  # the adapter that rounds go on from
        waiting = list[Made]()
        last = max(0, events - ADAPTER_LATE)  # later ones would never serve
        adapters = set(range(adapter_every, last, adapter_every)) if adapter_every else set()
        for at in sorted({*range(FEWEST, events - TOWER_LATE, tower_every), *adapters}):
            for ready in [one for one in waiting if one.serves_from <= at]:
                waiting.remove(ready)
                serving = ready.record
            tower = self.train(at, "tower", serving)
            if tower is not None:
                made.append(Made(serves_from=at + TOWER_LATE, record=tower))
                serving = tower
            if at in adapters:
                adapter = self.train(at, "adapter", serving)
                if adapter is not None:
                    waiting.append(Made(serves_from=at + ADAPTER_LATE, record=adapter))
                    made.append(waiting[-1])
        return sorted(made, key=lambda one: one.serves_from)

    def train(self, at: int, kind: str, start: AdapterVersion | None) -> AdapterVersion | None:
        """Run a round on the first `at` events; None where the gate refuses what it made."""
        version = 2 * at + (kind == "adapter")
        kept = self._kept / f"{version}.json"
        if not kept.exists():
            self._remember(at)
            one = job(self._memory, self.policy, self.stream.texts, kind, version=version)
            one = replace(one, start=start, champion=start)
            outcome = self._rounds.run(one)
            body = b"null" if outcome.record is None else msgspec.json.encode(outcome.record)
            kept.write_bytes(body)
            print(f"{at} {kind}: {outcome.reason} {outcome.seconds:.0f} s", file=sys.stderr)
        record = msgspec.json.decode(kept.read_bytes(), type=AdapterVersion | None)
        return None if record is None or record.state != "shadow" else record

    def load(self, replica: Replica, record: AdapterVersion) -> None:
        """Let a version serve from the next batch on."""
        bundle = read_checkpoint(
            self._settings.checkpoint_root,
            record.scenario,
            record.version,
            base_model_hash=record.base_model_hash,
        )
        loading = replica.spaces.begin(
            record.version, record.text_version, replica.items, replica.frozen_texts()
        )
        loading.pause = lambda _: None
        replica.spaces.finish(loading.build(bundle))
        replica.spaces.serve({"default": record.version})
        replica.spaces.keep_only({record.version})

    def _remember(self, at: int) -> None:
        for arrival in self.stream.arrivals[self._read : at]:
            event = _event(arrival)
            feedback = None if event is None else feedback_of(event, Signals())
            if event is not None and feedback is not None:
                self._memory.take(event.scenario, feedback)
        self._read = max(self._read, at)


def judged(
    stream: Stream, replica: Replica, loop: Loop | None, versions: Sequence[Made] = ()
) -> Judged:
    """Replay a stream, each version serving from its event on."""
    out, waiting, done_before = Judged(), list(versions), 0

    def progress(done: int) -> None:
        nonlocal done_before
        out.took(stream.arrivals[done_before:done])
        done_before = done
        while loop is not None and waiting and waiting[0].serves_from <= done:
            made = waiting.pop(0)
            if not waiting or waiting[0].serves_from > done:
                loop.load(replica, made.record)

    options = Options(warm_up=_WARM_UP)
    replay(replica, stream.arrivals, options, progress=progress, standing=out.standing)
    return out


def rows_of(
    one: Judged, beside: Mapping[str, Judged], best: float, names: tuple[str, str]
) -> list[dict[str, object]]:
    """Return what one variant gained, by group of events, beside others of the same stream."""
    gains = np.array(one.gains)
    _, users = np.unique(one.users, return_inverse=True)
    new = np.array(one.new, np.bool_)
    newest = np.arange(len(gains)) >= len(gains) // 2
    groups = {
        "all": np.ones(len(gains), np.bool_), "known": ~new, "never-seen": new, "last half": newest,
    }  # fmt: skip
    out = []
    for group, chosen in groups.items():
        mean = float(gains[chosen].mean())
        row = {"stream": names[0], "variant": names[1], "events": group, "n": int(chosen.sum())}
        row["ndcg"] = round(mean, 5)
        for name in ("frozen", "tower"):
            row |= {f"to {name}": "", f"z to {name}": ""}
            if name in beside:
                before = np.array(beside[name].gains)[chosen]
                paired, was = paired_by_user(gains[chosen] - before, users[chosen]), before.mean()
                row[f"to {name}"] = round(mean / was, 4) if was else 0.0
                row[f"z to {name}"] = round(paired.z, 2)
        # the baseline is known for all events together
        out.append(row | {"to best": round(mean / best, 3) if group == "all" else ""})
    return out


def main() -> int:
    """Replay one stream frozen and with what it learns, print, return the exit status."""
    given = _options()
    with tempfile.TemporaryDirectory() as folder:
        cache = given.cache or Path(folder)
        stream = read_stream(given.stream, given.events, cache)
        best = best_baseline(stream.items, stream.arrivals)
        frozen = judged(stream, replica_of(stream.items, stream.vectors, None), None)
        counted = judged(stream, replica_of(stream.items, None, None), None)
        beside = {"frozen": frozen}
        rows = rows_of(counted, beside, best, (given.stream, "statistics, no text"))
        rows += rows_of(frozen, beside, best, (given.stream, "frozen text"))
        variants = [("tower", 0, given.methods[0])]
        if given.adapter_every:
            variants += [
                (f"tower and {method}", given.adapter_every, method) for method in given.methods
            ]
        for name, adapter_every, method in variants:
            # each starts from nothing, or the next would learn from the last one's future
            own = cache / given.stream / name.replace(" ", "-")
            loop = Loop(stream, own, AdapterPolicy(method=method, max_s=given.max_s))
            versions = loop.versions(given.tower_every, adapter_every)
            one = judged(stream, replica_of(stream.items, stream.vectors, None), loop, versions)
            rows += rows_of(one, beside, best, (given.stream, f"{name}, {len(versions)} versions"))
            beside.setdefault("tower", one)
    show(f"published lists, {given.events:,} events", rows, as_json=given.json)
    return 0


def _event(arrival: Arrival) -> Event | None:
    try:
        return parse_event(arrival.value, key=arrival.key, kind=arrival.kind, source="recorded")
    except InvalidRecord:
        return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stream", default="amazon_games")
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--tower-every", type=int, default=2000)
    parser.add_argument("--adapter-every", type=int, default=0, help="0: no adapters")
    parser.add_argument("--methods", nargs="+", default=["proximal"], help="of adapters")
    parser.add_argument("--max-s", type=float, default=120.0, help="of one adapter round")
    parser.add_argument("--cache", type=Path, help="a folder that keeps vectors and bundles")
    return parser.parse_args()


_WARM_UP = 0.2


if __name__ == "__main__":
    sys.exit(main())
