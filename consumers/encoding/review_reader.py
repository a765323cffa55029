"""What the language model reads in reviews: sentiment, what it is worth in stars, aspects and tags.

    take    the words of new reviews, the newest kept where they come faster than they are read
    read    a few, newest first, with the adapter that serves their scenario; predict, then learn
    send    a refinement each, on `internal.refinements`, in the partition of the review

The fast path has reacted long before; whatever is lost or late here, lists stay right. A restart
reads what was waiting again, so a refinement may be written twice, and has one effect. Reviews that
have waited for `REFINED_WITHIN_MS` are passed over: so traces of a forgotten user end in time.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kafka import TopicPartition
from numpy.typing import NDArray

from consumers.encoding.reader_state import ReaderState, read_state, write_state
from consumers.encoding.vocabulary import Vocabulary, nearest_labels
from consumers.kafka_io.policy_history import is_history
from consumers.kafka_io.topics import REFINED_WITHIN_MS
from consumers.kafka_io.wire import decode_accepted_policy, encode_refinement
from stream_rec.errors import InvalidPolicy, InvalidRecord, StateRejected
from stream_rec.events import Event, parse_events
from stream_rec.policy import Policies, Policy
from stream_rec.profiles.aspects import ASPECTS, Clause, nearest_aspect, telling_clauses
from stream_rec.profiles.history import Understood
from stream_rec.profiles.refinement import Refinement
from stream_rec.profiles.review_head import ReviewHead, Verdict
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.pseudonyms import Pseudonyms

Vectors = NDArray[np.float32]


class Waiting(NamedTuple):
    """A review to be read."""

    partition: int
    offset: int
    append_ms: int
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """One way of reading: an adapter's version, and texts to unit vectors, (texts, dimension)."""

    version: int
    encoded: Callable[[Sequence[str]], Vectors]


class Written(NamedTuple):
    """A refinement as a record."""

    partition: int
    key: bytes
    value: bytes


class ReviewReader:
    """Reads reviews in the encoder's spare time; used by its loop alone."""

    def __init__(self, dimension: int, names: Pseudonyms, *, form: str = "auto") -> None:
        self.policies = Policies()
        self.vocabulary = Vocabulary()
        self.passed_over = 0
        self._dimension, self._names, self._form = dimension, names, form
        self._sentiment = Sentiment()
        self._heads: dict[int, ReviewHead] = {}
        self._waiting: deque[Waiting] = deque()
        self._next: dict[int, int] = {}
        self._taught: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._descriptions: dict[int, Vectors] = {}
        self._topic_id = ""

    def __len__(self) -> int:
        return len(self._waiting)

    def take_policy(self, record: Any) -> None:
        """Apply one record of the accepted policies."""
        if is_history(record.key):
            return
        scenario = (record.key or b"").decode("utf-8", "replace")
        try:
            accepted = decode_accepted_policy(record.value) if record.value is not None else None
            patch = None if accepted is None else accepted.patch
            self.policies.put(scenario, 0 if accepted is None else accepted.offset, patch)
        except (StateRejected, InvalidPolicy) as error:
            LOG.warning("policy at offset %d is skipped: %s", record.offset, error)

    def take_review(self, place: TopicPartition, record: Any) -> None:
        """Queue what is to be read of a record; the longest waiting gives way."""
        if record.offset < self._next.get(place.partition, 0):
            return
        self._next[place.partition] = record.offset + 1
        try:
            events = parse_events(
                record.value,
                key=record.key,
                kind="review",
                source=f"{place.topic}-{place.partition}-{record.offset}",
                headers=tuple(getattr(record, "headers", None) or ()),
                form=self._form,
            )
        except InvalidRecord:  # the recommender sends it to the dead letters
            return
        for event in events:
            if event.words and self._policy(event).signals.review_text:
                waiting = Waiting(place.partition, record.offset, record.timestamp, event)
                self._waiting.append(waiting)
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.passed_over += 1

    def read(self, most: int, eyes: Callable[[str], Eyes], now_ms: int) -> Iterator[Written]:
        """Read up to `most` reviews, the newest first; `eyes` says how a scenario is read."""
        batches: dict[int, tuple[Eyes, list[Waiting]]] = {}
        for _ in range(min(most, len(self._waiting))):
            waiting = self._waiting.pop()
            if now_ms - waiting.append_ms > REFINED_WITHIN_MS:
                self.passed_over += 1
                continue
            seen = eyes(waiting.event.scenario)
            batches.setdefault(seen.version, (seen, []))[1].append(waiting)
        for seen, batch in batches.values():
            yield from self._read(batch, seen)

    def restore(self, path: Path, topic_id: str) -> None:
        """Go on from a file.

        Raises:
            NewerFormat: a newer version wrote it.
        """
        state = read_state(path, topic_id)
        self._topic_id, self._next = topic_id, dict(state.positions)
        try:
            if state.sentiment:
                self._sentiment = Sentiment.from_bytes(state.sentiment)
            self._heads = {
                version: ReviewHead.from_bytes(head, self._dimension)
                for version, head in state.heads.items()
            }
        except StateRejected as error:  # of another model, or damaged
            LOG.warning("what was learned of reviews is learned anew: %s", error)

    def save(self, path: Path) -> None:
        """Write down what was learned, and from where to read on: what waits is read again."""
        positions = dict(self._next)
        for waiting in self._waiting:
            positions[waiting.partition] = min(positions[waiting.partition], waiting.offset)
        write_state(
            path,
            ReaderState(
                topic_id=self._topic_id,
                positions=positions,
                sentiment=self._sentiment.to_bytes(),
                heads={version: head.to_bytes() for version, head in self._heads.items()},
            ),
        )

    def _read(self, batch: Sequence[Waiting], eyes: Eyes) -> Iterator[Written]:
        clauses = [telling_clauses(waiting.event.words) for waiting in batch]
        texts = [waiting.event.words[:MOST_CHARACTERS] for waiting in batch]
        texts += [clause.text for found in clauses for clause in found]
        vectors = eyes.encoded(texts)
        head, place = self._head(eyes.version), len(batch)
        for waiting, found, vector in zip(batch, clauses, vectors, strict=False):
            said = dict(zip(found, vectors[place : place + len(found)], strict=True))
            place += len(found)
            verdict = self._judged(waiting.event, vector, head)
            rating = None if verdict.rating is None else round(verdict.rating, 2)
            refinement = Refinement(
                user_id=waiting.event.user_id,
                item_id=waiting.event.item_id,
                offset=waiting.offset,
                text_version=eyes.version,
                sentiment=round(verdict.sentiment, 3),
                understood=Understood(
                    rating=rating,
                    aspects=self._aspects(said, eyes),
                    tags=self._tags(waiting.event, head.centred(vector), eyes),
                ),
            )
            key = self._names.of(waiting.event.user_id).encode()
            yield Written(waiting.partition, key, encode_refinement(refinement, self._names))

    def _judged(self, event: Event, vector: Vectors, head: ReviewHead) -> Verdict:
        """Predict, then learn; who says the same of an item again teaches nothing."""
        text, title = event.text or "", event.title or ""
        hashed = self._sentiment.predict(text, title)
        verdict = head.predict(vector, hashed)
        pair = (event.user_id, event.item_id)
        if event.rating is not None and pair not in self._taught:
            neutral = self._policy(event).signals.rating_neutral
            head.learn(vector, hashed, event.rating, neutral=neutral)
            self._sentiment.learn(text, event.rating, neutral=neutral, title=title)
            self._taught[pair] = None
            if len(self._taught) > MOST_TAUGHT:
                self._taught.popitem(last=False)
        return verdict

    def _aspects(self, said: Mapping[Clause, Vectors], eyes: Eyes) -> tuple[tuple[str, float], ...]:
        descriptions = self._descriptions.get(eyes.version)
        if descriptions is None:
            descriptions = self._descriptions[eyes.version] = eyes.encoded(tuple(ASPECTS.values()))
        found = {}
        for clause, vector in said.items():
            named = nearest_aspect(vector, descriptions)
            if named is not None:
                found[named[0]] = round(named[1] * clause.side, 2)
        return tuple(found.items())

    def _tags(self, event: Event, vector: Vectors, eyes: Eyes) -> tuple[str, ...]:
        labels = self.vocabulary.labels(self._policy(event))
        if len(labels) < FEWEST_LABELS:
            return ()
        return nearest_labels(
            vector, labels, self.vocabulary.vectors(labels, eyes.version, eyes.encoded)
        )

    def _head(self, version: int) -> ReviewHead:
        """Return the head of an adapter; a new one goes on from the newest, in its own space."""
        head = self._heads.pop(version, None)
        if head is None:
            head = ReviewHead(self._dimension)
            if self._heads:
                newest = next(reversed(self._heads.values()))
                head = ReviewHead.from_bytes(newest.to_bytes(), self._dimension)
                head.move()
        self._heads[version] = head
        while len(self._heads) > MOST_HEADS:
            del self._heads[next(iter(self._heads))]
        return head

    def _policy(self, event: Event) -> Policy:
        return self.policies.effective(event.scenario).policy


LOG = logging.getLogger(__name__)
MOST_WAITING = 2_000
MOST_CHARACTERS = 600  # about the 96 tokens that the measurement used
MOST_TAUGHT = 20_000
MOST_HEADS = 3
FEWEST_LABELS = 3  # from fewer, their mean says nothing
