"""One batch of event records -> new profiles, lists, facts and dead letters. Start reading here.

    forget     the users that requests name, before anything else of the batch
    parse      bytes -> events, or a dead letter with its reason
    fold       each event into its user's profile: applied, duplicate, late or erased
    learn      the re-ranker, from profiles and statistics as they were before the batch
    refine     reviews folded earlier by what the encoder has read in them since
    count      the batch's facts into the item statistics
    rank       every touched user's lists, made from the state after the batch

Profiles are values: the caller keeps the new ones only when its transaction has committed. The
replica changes in place, because a failed transaction ends the process (crash-only).
Knows no Kafka and no clock: `now_ms` and the random generator come with the batch.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec
import numpy as np

from stream_rec.erasure import (
    Erased,
    Marker,
    erase,
    merged,
    new_profile,
    parse_erasure,
    scenarios_of,
)
from stream_rec.errors import InvalidRecord
from stream_rec.events import DAY_MS, Event, Kind, believed_ms, parse_events
from stream_rec.ledger import Ledger
from stream_rec.policy import Policy, Signals
from stream_rec.profiles.phrases import telling_phrase
from stream_rec.profiles.profile import MOST_AN_HOUR, NOTHING_READ, Listing, Profile, Reading, fold
from stream_rec.profiles.refinement import Refinement, refined
from stream_rec.publish import Due, publish
from stream_rec.replica import Replica
from stream_rec.statistics.facts import Facts, FactsBuilder
from stream_rec.taught import Taught, teach
from stream_rec.toplist import TopList

# Of events and erasures; the last two are of refinements.
Outcome = Literal["applied", "duplicate", "late", "erased", "dead_lettered", "refined", "unused"]


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record as it came: `append_ms` is when the broker took it."""

    kind: Kind | Literal["erasure", "refinement"]
    topic: str
    partition: int
    offset: int
    append_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    refinement: Refinement | None = None  # None: torn. Its review is in the batch or was before


class Profiles(Protocol):
    """Where profiles are looked up."""

    def get(self, partition: int, user_id: str) -> Profile | None:
        """Return the user's profile, or None for one never seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a batch needs from outside: time, chance, and the bounds of its learning.

    `worker` names the process in its facts. `partition_of` maps a user to the partition of their
    events (None: not checked); `erased` finds the mark of a user (partition, id) who was forgotten.
    At most `examples` events of a batch are learned from, uniformly sampled. `at_folded` is called
    between folding and ranking, for whoever times them. `form` is the dialect of events, one of
    `aliases.families.FORMATS`.
    """

    worker: str
    now_ms: int
    rng: np.random.Generator
    examples: int = 64
    form: str = "auto"
    partition_of: Callable[[str], int] | None = None
    erased: Callable[[int, str], Marker | None] | None = None
    at_folded: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that could not be used, and why."""

    arrival: Arrival
    error: InvalidRecord


@dataclass(slots=True, kw_only=True)
class Step:
    """What one batch came to; `profiles` and `ledgers` are new values for the caller to keep.

    A user in `erased` is to be forgotten first; one who is in `profiles` too has come back, or has
    done something since. `taken` are the consuming events applied, each with its user's profile
    before it and the policy of its scenario; `learned` of `learnable` taught the re-ranker.
    """

    profiles: dict[tuple[int, str], Profile] = field(default_factory=dict)
    erased: dict[tuple[int, str], Erased] = field(default_factory=dict)
    ledgers: dict[int, Ledger] = field(default_factory=dict)
    lists: list[tuple[int, TopList]] = field(default_factory=list)
    facts: Facts | None = None
    dead_letters: list[DeadLetter] = field(default_factory=list)
    outcomes: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    taken: list[tuple[Profile | None, Event, Policy]] = field(default_factory=list)
    learned: int = 0
    learnable: int = 0


def step(
    replica: Replica,
    profiles: Profiles,
    ledgers: Mapping[int, Ledger],
    batch: Sequence[Arrival],
    context: Context,
) -> Step:
    """Fold one batch and rank everyone it touched; records of one partition come in their order.

    Erasures are taken first: nobody waits to be forgotten for what is folded in the same batch;
    refinements last, so that they find their reviews.
    """
    folding = _Folding(replica, profiles, context, Step(ledgers=dict(ledgers)))
    for arrival in sorted(batch, key=lambda arrival: _TURN[arrival.kind]):
        folding.take(arrival)
    folding.close()
    result = folding.result
    result.taken = folding.examples
    result.learnable = len(folding.examples)
    result.learned = teach(
        replica, folding.examples, most=context.examples, rng=context.rng, now_ms=context.now_ms
    )
    if not folding.facts.empty:
        result.facts = folding.facts.build(context.worker)
        replica.statistics.fold(result.facts)
    if context.at_folded is not None:
        context.at_folded()
    due = _due(replica, folding.touched, context, result)
    made = publish(replica, due, result.ledgers, now_ms=context.now_ms, rng=context.rng)
    result.lists = made.lists
    result.profiles |= made.profiles
    return result


class _Counted:
    """A partition's ledger while a batch is folded."""

    def __init__(self, before: Ledger) -> None:
        self.before = before
        self.next_offsets = dict(before.next_offsets)
        self.newest_ms = before.newest_ms
        self.erased_at = before.erased_at
        self.outcomes: Counter[tuple[str, Outcome]] = Counter()

    def ledger(self) -> Ledger:
        """Return the ledger after the batch."""
        outcomes = {topic: dict(counts) for topic, counts in self.before.outcomes.items()}
        for (topic, outcome), count in self.outcomes.items():
            counts = outcomes.setdefault(topic, {})
            counts[outcome] = counts.get(outcome, 0) + count
        return Ledger(
            next_offsets=self.next_offsets,
            outcomes=outcomes,
            newest_ms=self.newest_ms,
            erased_at=self.erased_at,
        )


class _Folding:
    """The first half of a step: records in, new profiles, facts and examples out."""

    def __init__(
        self, replica: Replica, profiles: Profiles, context: Context, result: Step
    ) -> None:
        self.replica, self.profiles, self.context, self.result = replica, profiles, context, result
        self.facts = FactsBuilder()
        self.newcomer_ms = replica.newcomer_ms
        self.examples: list[Taught] = []
        self.touched: dict[tuple[int, str], dict[str, None]] = {}
        self.counted: dict[int, _Counted] = {}

    def take(self, arrival: Arrival) -> None:
        """Give one record its outcome and count it for its partition."""
        counted = self.counted.get(arrival.partition)
        if counted is None:
            before = self.result.ledgers.get(arrival.partition, Ledger())
            counted = self.counted[arrival.partition] = _Counted(before)
        try:
            if arrival.kind == "erasure":
                outcome = self._forget(arrival, counted)
            elif arrival.kind == "refinement":
                outcome = self._refine(arrival)
            else:
                events = self._parsed(arrival)
                outcomes = [self._apply(event, arrival, counted.newest_ms) for event in events]
                outcome = "applied" if "applied" in outcomes else outcomes[0]
                newest_ms = max(believed_ms(event, arrival.append_ms) for event in events)
                counted.newest_ms = max(counted.newest_ms, newest_ms)
        except InvalidRecord as error:
            self.result.dead_letters.append(DeadLetter(arrival=arrival, error=error))
            outcome = "dead_lettered"
        counted.next_offsets[arrival.topic] = arrival.offset + 1
        counted.outcomes[arrival.topic, outcome] += 1

    def close(self) -> None:
        """Enter what was counted into the ledgers."""
        for number, counted in self.counted.items():
            self.result.ledgers[number] = counted.ledger()
            self.result.outcomes.update(counted.outcomes)

    def _parsed(self, arrival: Arrival) -> tuple[Event, ...]:
        return parse_events(
            arrival.value,
            key=arrival.key,
            kind="review" if arrival.kind == "review" else "click",
            source=f"{arrival.topic}-{arrival.partition}-{arrival.offset}",
            append_ms=arrival.append_ms,
            headers=arrival.headers,
            form=self.context.form,
        )

    def _forget(self, arrival: Arrival, counted: _Counted) -> Outcome:
        erasure = parse_erasure(arrival.value, key=arrival.key, append_ms=arrival.append_ms)
        place = (arrival.partition, erasure.user_id)
        self._check_partition(*place)
        done = erase(self._known(place), self._marker(place), erasure)
        if done is None:
            return "duplicate"
        before = self.result.erased.get(place)
        self.result.erased[place] = done if before is None else merged(before, done)
        self.result.profiles.pop(place, None)
        self.touched.pop(place, None)
        if done.profile is not None:
            self.result.profiles[place] = done.profile
            self.touched[place] = scenarios_of(done.profile.history)
        self.replica.forget_user(erasure.user_id, done.scenarios)
        counted.erased_at = max(counted.erased_at, self.context.now_ms)
        return "applied"

    def _refine(self, arrival: Arrival) -> Outcome:
        """Enter what the encoder read, and have the user's lists made again where it says more."""
        if (said := arrival.refinement) is None:
            return "unused"
        place = (arrival.partition, said.user_id)
        profile = self._known(place)
        after = None if profile is None else refined(profile, said)
        if after is None:
            return "unused"
        self.result.profiles[place] = after
        self.touched.setdefault(place, {})
        return "refined"

    def _known(self, place: tuple[int, str]) -> Profile | None:
        found = self.result.profiles.get(place)
        if found is None and place not in self.result.erased:
            found = self.profiles.get(*place)
        return found

    def _marker(self, place: tuple[int, str]) -> Marker | None:
        if (erased := self.result.erased.get(place)) is not None:
            return erased.marker
        return None if self.context.erased is None else self.context.erased(*place)

    def _apply(self, event: Event, arrival: Arrival, newest_ms: int) -> Outcome:
        place = (arrival.partition, event.user_id)
        profile = self._known(place)
        policy = self.replica.policies.effective(event.scenario).policy
        self._check_place(event, profile, place)
        known = profile or new_profile(event.user_id, self._marker(place))
        if known.erased_ms is not None and event.timestamp <= known.erased_ms:
            return "erased"
        if profile is not None and profile.knows(event.event_id):
            return "duplicate"
        late_days = policy.signals.late_days
        if late_days is not None and event.timestamp < newest_ms - late_days * DAY_MS:
            return "late"
        if event.consuming:
            self.examples.append((profile, event, policy))
        happened_ms = believed_ms(event, arrival.append_ms)
        tenure_ms = known.tenure_ms(happened_ms)
        folded = fold(
            known,
            event,
            topic=_TOPIC_ORDER[arrival.kind],
            offset=arrival.offset,
            reading=self._read(event, known, policy.signals),
            newcomer=tenure_ms < self.newcomer_ms,
        )
        self.result.profiles[place] = folded.profile
        if event.recommendation_id is not None:
            self.replica.exploration.learn(event)
        if folded.counted:
            said = (event.item_id, happened_ms, event.rating, profile is None)
            self.facts.count(*said, tenure_ms=tenure_ms)
        self.facts.link(folded.links)
        self.touched.setdefault(place, {})[event.scenario] = None
        if len(self.replica.scenarios) < MAX_SCENARIOS:
            self.replica.scenarios.add(event.scenario)
        return "applied"

    def _check_place(self, event: Event, profile: Profile | None, place: tuple[int, str]) -> None:
        """Refuse events of a user who belongs elsewhere, or who has lists in too many scenarios.

        A user with a profile here was checked at the first event. Lists that this batch will make
        count too, or what is refused would depend on where a batch ends.
        """
        if profile is None:
            self._check_partition(*place)
        elif event.scenario not in profile.lists:
            listed = profile.lists.keys() | self.touched.get(place, {}).keys()
            if event.scenario not in listed and len(listed) >= MAX_SCENARIOS_OF_A_USER:
                reason = f"the user has lists in {len(listed)} scenarios already"
                raise InvalidRecord(reason, stage="validate")

    def _check_partition(self, partition: int, user_id: str) -> None:
        partition_of = self.context.partition_of
        if partition_of is not None and partition_of(user_id) != partition:
            reason = f"the key belongs to partition {partition_of(user_id)}"
            raise InvalidRecord(reason, stage="partition")

    def _read(self, event: Event, known: Profile, signals: Signals) -> Reading:
        """Read the words of an event, then let its rating teach the reader.

        Who says the same of an item again, or more than anybody reads, teaches nothing.
        """
        neutral = signals.rating_neutral
        if event.text is None and event.title is None:
            return _AGAINST if event.rating is not None and event.rating < neutral else NOTHING_READ
        sentiment, text, title = self.replica.sentiment, event.text or "", event.title or ""
        opinion = sentiment.predict(text, title)
        news = known.said < MOST_AN_HOUR and not known.times(event.item_id)
        if event.rating is not None and news:
            sentiment.learn(text, event.rating, neutral=neutral, title=title)
        side = opinion or 0.0 if event.rating is None else event.rating - neutral
        heard = side if event.rating is not None or signals.review_text else 0.0
        against = heard < (0.0 if event.rating is not None else STRONGLY_AGAINST)
        return Reading(opinion, telling_phrase(text, side=side) if text else None, against)


def _due(
    replica: Replica,
    touched: Mapping[tuple[int, str], Mapping[str, None]],
    context: Context,
    result: Step,
) -> list[Due]:
    """Lists of touched users in every scenario they have one and in the event's own.

    One made less than `min_interval_ms` ago is owed instead, which its profile remembers; so is one
    in another scenario than the event's when there are too many for one batch.
    """
    due: list[tuple[tuple[int, str], str]] = []
    for place, scenarios in touched.items():
        profile = result.profiles[place]
        owed = {}
        for scenario in {**profile.lists, **scenarios}:
            listing = profile.lists.get(scenario)
            wait = replica.policies.effective(scenario).policy.toplist.min_interval_ms
            soon = listing is not None and context.now_ms - listing.generated_at < wait
            most = scenario not in scenarios and len(due) >= MAX_LISTS_AT_ONCE
            if listing is not None and (soon or most):
                owed[scenario] = Listing(listing.version, listing.generated_at, owed=True)
            else:
                due.append((place, scenario))
        if owed:
            profile = msgspec.structs.replace(profile, lists=profile.lists | owed)
            result.profiles[place] = profile
    return [
        Due(partition=place[0], profile=result.profiles[place], scenario=scenario)
        for place, scenario in due
    ]


# Bounds on what the names that producers invent may cost; more scenarios share the policy of `*`
# and the start weights, and have no default list.
MAX_SCENARIOS = 256
MAX_SCENARIOS_OF_A_USER = 64
MAX_LISTS_AT_ONCE = 1_024  # of one batch, or users with many scenarios hold everybody up
_TOPIC_ORDER: dict[str, int] = {"click": 0, "review": 1}
# Words alone, in [-1, 1], must be this plain to speak against an item: a model has read them.
STRONGLY_AGAINST = -0.5
_AGAINST = Reading(against=True)
_TURN: dict[str, int] = {"erasure": 0, "click": 1, "review": 1, "refinement": 2}
