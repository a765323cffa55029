"""The same step over a recorded stream, without a broker: prequential metrics and a digest.

Test-then-train: an event is first scored against the newest list published for its user in its
scenario, for a user without one the default list there, and only then folded. Same files, same
seed, same digest.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
import numpy as np

from stream_rec.erasure import Erased, Erasure, Marker, parse_erasure
from stream_rec.errors import InvalidRecord
from stream_rec.events import Event, parse_events
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.publish import Due, publish
from stream_rec.replica import Replica
from stream_rec.staleness import Place, Staleness
from stream_rec.step import Arrival, Context, step
from stream_rec.toplist import DEFAULT_USER, TopList

CUT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a stream is replayed.

    `batch` events at most are folded together, none of them of one user. The first `warm_up` share
    of the stream is not scored. `refresh` lists are made again for each event, as spare capacity
    would. `repeats`: users consume an item again, so second consumptions are scored too.
    """

    batch: int = 16
    warm_up: float = 0.2
    refresh: float = 0.0
    repeats: bool = False
    examples: int = 64
    seed: int = 0


Newest = dict[tuple[str, str], TopList]
"""The newest lists by scenario and user."""


@dataclass(slots=True, kw_only=True)
class Scores:
    """Gains of one method, one entry per scored event, and which segments each belongs to."""

    gains: list[float] = field(default_factory=list)

    def summary(self, mask: np.ndarray | None = None) -> dict[str, float]:
        """Return count, hit rate and NDCG at 10 of the events of a mask, bool (events,)."""
        gains = np.asarray(self.gains)[mask] if mask is not None else np.asarray(self.gains)
        if not len(gains):
            return {"n": 0, "hr": 0.0, "ndcg": 0.0}
        return {"n": len(gains), "hr": float((gains > 0).mean()), "ndcg": float(gains.mean())}


@dataclass(slots=True, kw_only=True)
class Report:
    """What a replay measured; `digest` covers every published list byte for byte."""

    events: int = 0
    lists: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    segments: dict[str, dict[str, float]] = field(default_factory=dict)
    coverage: float = 0.0
    digest: str = ""


class Replay:
    """One replay in progress: profiles in memory, a replica, and the newest list of everyone."""

    def __init__(self, replica: Replica, options: Options) -> None:
        self.replica, self.options = replica, options
        self.profiles: dict[str, Profile] = {}
        self.newest: Newest = {}
        self.ledgers: dict[int, Ledger] = {}
        self.marks: dict[str, Marker] = {}
        self.outcomes: dict[str, int] = defaultdict(int)
        self.shown: set[str] = set()
        self.lists = 0
        self._digest = sha256()
        self._rng = np.random.default_rng(options.seed)
        self._staleness = Staleness(earned=options.refresh)

    def get(self, partition: int, user_id: str) -> Profile | None:
        """Return a user's profile; the replay is its own store."""
        return self.profiles.get(user_id)

    def marker(self, partition: int, user_id: str) -> Marker | None:
        """Return the mark of a user who was forgotten."""
        return self.marks.get(user_id)

    def is_erased(self, event: Event) -> bool:
        """Whether an event has no effect because its user was forgotten since."""
        mark = self.marks.get(event.user_id)
        return mark is not None and event.timestamp <= mark.timestamp

    def take(self, batch: Sequence[Arrival], now_ms: int) -> None:
        """Fold one batch, publish what it touched, the default lists and what spare time allows."""
        context = Context(
            worker="replay",
            now_ms=now_ms,
            rng=self._rng,
            examples=self.options.examples,
            erased=self.marker,
        )
        result = step(self.replica, self, self.ledgers, batch, context)
        self.ledgers = result.ledgers
        for (_, outcome), count in result.outcomes.items():
            self.outcomes[outcome] += count
        for (_, user_id), erased in result.erased.items():
            self._forget(user_id, erased)
        self._keep(result.profiles.values(), [made for _, made in result.lists])
        self._staleness.grant(len(batch))
        places = self._staleness.stalest(4 * len(batch), stream_ms=now_ms, overdue_ms=0)
        self.publish(places, now_ms)

    def publish(self, places: Iterable[Place], now_ms: int) -> None:
        """Make the default list of every scenario and the lists of some users again."""
        scenarios = sorted(self.replica.scenarios)
        defaults = [Place(0, DEFAULT_USER, scenario) for scenario in scenarios]
        due = [
            Due(
                partition=0,
                profile=self.profiles.get(place.user_id) or Profile(place.user_id),
                scenario=place.scenario,
            )
            for place in (*defaults, *places)
        ]
        made = publish(self.replica, due, self.ledgers, now_ms=now_ms, rng=self._rng)
        self._keep(made.profiles.values(), [toplist for _, toplist in made.lists])

    def hexdigest(self) -> str:
        """Return the digest of all lists published so far."""
        return self._digest.hexdigest()

    def _forget(self, user_id: str, erased: Erased) -> None:
        self.marks[user_id] = erased.marker
        self.profiles.pop(user_id, None)
        for scenario in erased.scenarios:
            self.newest.pop((scenario, user_id), None)
            self._staleness.forget(Place(0, user_id, scenario))
        self._digest.update(msgspec.json.encode((user_id, erased.marker)))

    def _keep(self, profiles: Iterable[Profile], lists: Sequence[TopList]) -> None:
        for profile in profiles:
            self.profiles[profile.user_id] = profile
        for toplist in lists:
            self.newest[toplist.scenario, toplist.user_id] = toplist
            self._digest.update(msgspec.json.encode(toplist))
            self.shown.update(item.item_id for item in toplist.items)
            if toplist.user_id != DEFAULT_USER:
                place = Place(0, toplist.user_id, toplist.scenario)
                newest_ms = self.profiles[toplist.user_id].newest_ms
                self._staleness.published(
                    place, generated_ms=toplist.generated_at, active_ms=newest_ms
                )
        self.lists += len(lists)


def replay(
    replica: Replica,
    arrivals: Sequence[Arrival],
    options: Options,
    *,
    progress: Callable[[int], None] = lambda done: None,
    standing: Callable[[Event, TopList | None], None] = lambda event, toplist: None,
) -> Report:
    """Run a recorded stream through the engine and score every list before its event.

    Args:
        replica: With the catalogue, its vectors and policies already in it.
        arrivals: The whole stream, in time order.
        options: How to run and score.
        progress: Called with the number of events done, once a batch.
        standing: Called with each scored event and the list that it is scored by, if there is one.
    """
    run = Replay(replica, options)
    scores, segments = Scores(), defaultdict[str, list[bool]](list)
    consumed, seen = defaultdict[str, set[str]](set), set[str]()
    first_scored, done = int(len(arrivals) * options.warm_up), 0
    for batch in batches(arrivals, options.batch):
        events = [(number, event) for number, event in enumerate(_parsed(batch), done) if event]
        now_ms = max((event.timestamp for _, event in events), default=0)
        if not done:
            run.publish((), now_ms)
        for number, event in events:
            if run.is_erased(event):
                continue
            known = event.item_id in consumed[event.user_id]
            if number >= first_scored and (options.repeats or not known):
                toplist = list_of(run.newest, event)
                scores.gains.append(gain(toplist, event))
                standing(event, toplist)
                segments["new item"].append(event.item_id not in seen)
                segments["new user"].append(event.user_id not in run.profiles)
            consumed[event.user_id].add(event.item_id)
            seen.add(event.item_id)
        run.take(batch, now_ms)
        for erasure in erasures_in(batch):
            if run.marks[erasure.user_id].timestamp == erasure.timestamp:
                consumed.pop(erasure.user_id, None)
        done += len(batch)
        progress(done)
    return _report(run, scores, segments, done)


def batches(arrivals: Sequence[Arrival], size: int) -> Iterator[list[Arrival]]:
    """Split a stream into batches in which no user stands twice, as a closed loop would send it."""
    batch: list[Arrival] = []
    users: set[bytes | None] = set()
    for arrival in arrivals:
        if len(batch) == size or arrival.key in users:
            yield batch
            batch, users = [], set()
        batch.append(arrival)
        users.add(arrival.key)
    if batch:
        yield batch


def gain(toplist: TopList | None, event: Event) -> float:
    """Return 1 / log2(rank + 1) of the event's item in a list, 0 outside of ten or without one."""
    for item in toplist.items[:CUT] if toplist else ():
        if item.item_id == event.item_id:
            return float(1.0 / np.log2(item.rank + 1))
    return 0.0


def list_of(newest: Newest, event: Event) -> TopList | None:
    """Return what stands in the event's scenario: the user's list, else the default one.

    None where the scenario is new: nothing was published there.
    """
    own, everybody = (event.scenario, event.user_id), (event.scenario, DEFAULT_USER)
    return newest.get(own) or newest.get(everybody)


def _parsed(batch: Sequence[Arrival]) -> Iterator[Event | None]:
    for arrival in batch:
        yield event_of_arrival(arrival)


def event_of_arrival(arrival: Arrival) -> Event | None:
    """Return the first event of a record, in any dialect; None for what is none or unreadable."""
    if arrival.kind == "erasure" or arrival.kind == "refinement":
        return None
    try:
        return parse_events(
            arrival.value,
            key=arrival.key,
            kind=arrival.kind,
            source="replay",
            headers=arrival.headers,
        )[0]
    except InvalidRecord:
        return None


def erasures_in(batch: Sequence[Arrival]) -> Iterator[Erasure]:
    """Yield the requests of a batch that can be read."""
    for arrival in batch:
        if arrival.kind == "erasure":
            with suppress(InvalidRecord):
                yield parse_erasure(arrival.value, key=arrival.key)


def _report(run: Replay, scores: Scores, segments: dict[str, list[bool]], done: int) -> Report:
    masks = {name: np.array(flags, bool) for name, flags in segments.items()}
    if masks:
        masks["warm"] = ~masks["new item"] & ~masks["new user"]
    return Report(
        events=done,
        lists=run.lists,
        outcomes=dict(run.outcomes),
        segments={"all": scores.summary()}
        | {name: scores.summary(mask) for name, mask in masks.items()},
        coverage=len(run.shown) / max(1, run.replica.catalogue.count),
        digest=run.hexdigest(),
    )
