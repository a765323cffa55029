"""What reading reviews with the language model adds: to sentiment, to ratings, to published lists.

    python -m benchmarks review_reading [--events 4000] [--cache FOLDER] [--json]

Sentiment: predict each rated review of a stream, then learn from it, in log order; the hashed-word
model alone, the head on review vectors alone, and both together as the encoder uses them. Lists:
NDCG@10 of replays under the judge's condition with ratings alone, with the hashed model's verdicts,
and with refinements one batch after their reviews. User vector: NDCG@10 of the text alone, where
the vectors of a user's reviews are mixed into those of the items reviewed. Tags: how many of those
given to a review are the reviewed item's own.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: replays are single-threaded

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.ablation import DATA, replica_of
from benchmarks.printed import show
from benchmarks.sentiment_quality import NEUTRAL, area_under_curve
from consumers.encoding.vocabulary import Vocabulary, nearest_labels
from stream_rec import recorded
from stream_rec.events import Event, parse_event
from stream_rec.items import Item, item_text
from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.encoding import encode
from stream_rec.language_model.vector_cache import VectorCache, cache_fingerprint
from stream_rec.policy import Policy
from stream_rec.profiles.history import Understood
from stream_rec.profiles.refinement import Refinement
from stream_rec.profiles.review_head import ReviewHead
from stream_rec.profiles.sentiment import Sentiment
from stream_rec.replay import Options, Replay, batches, gain, list_of
from stream_rec.step import Arrival

STREAMS = ("amazon_musical5", "steam_au")
JUDGES = ("hashed words", "vector", "both")
TOKENS, CHARACTERS = 96, 600
ALMOST = 1.0 - 1e-12


class Read:
    """A stream with the vectors of its reviews: arrivals, events, and event number -> vector."""

    def __init__(self, stream: str, events: int, cache: Path) -> None:
        self.items = list(recorded.items(DATA / stream / "items.jsonl.gz"))
        self.arrivals = list(recorded.arrivals(DATA / stream / "events.jsonl.gz", events))
        self.events = [event_of(arrival) for arrival in self.arrivals]
        self.backbone = load_backbone()
        name = cache_fingerprint(self.backbone.model_hash, self.backbone.pooling, "review", TOKENS)
        with VectorCache(cache, name, self.backbone.dimension) as kept:

            def encoded(texts: Sequence[str]) -> NDArray[np.float32]:
                return kept.fill(
                    texts, lambda missing: encode(self.backbone, missing, max_tokens=TOKENS)
                )

            worded = [n for n, event in enumerate(self.events) if event.words]
            vectors = encoded([self.events[n].words[:CHARACTERS] for n in worded])
            self.vectors = dict(zip(worded, vectors, strict=True))
            self.item_vectors = encoded([item_text(item) for item in self.items])

    def verdicts(self, judge: str) -> Iterator[tuple[int, float, float, float | None]]:
        """Yield (event number, sentiment, probability, estimated rating); then learn."""
        words, head = Sentiment(), ReviewHead(self.backbone.dimension)
        for number, vector in self.vectors.items():
            event = self.events[number]
            text, title = event.text or "", event.title or ""
            hashed = words.predict(text, title)
            made = head.predict(vector, None if judge == "vector" else hashed)
            if judge == "hashed words":
                yield number, hashed or 0.0, words.probability(text, title), None
            else:
                yield number, *made
            if event.rating is not None:
                words.learn(text, event.rating, neutral=NEUTRAL, title=title)
                of_words = None if judge == "vector" else hashed
                head.learn(vector, of_words, event.rating, neutral=NEUTRAL)


def event_of(arrival: Arrival) -> Event:
    """Read an event of a recorded stream."""
    return parse_event(arrival.value, key=arrival.key, kind=arrival.kind, source="recorded")  # type: ignore[arg-type]


def sentiment_rows(stream: str, read: Read) -> Iterator[dict[str, object]]:
    """Yield one row a judge."""
    for judge in JUDGES:
        rows = [row for row in read.verdicts(judge) if read.events[row[0]].rating is not None]
        ratings = np.array([read.events[row[0]].rating for row in rows])
        sided = ratings != NEUTRAL
        favourable = ratings[sided] > NEUTRAL
        chance = np.clip(np.array([row[2] for row in rows]), 1e-9, ALMOST)[sided]
        right = np.array([row[1] for row in rows])[sided] > 0
        said = np.where(favourable, chance, 1.0 - chance)
        row = {
            "stream": stream,
            "judge": judge,
            "reviews": len(said),
            "AUC": round(area_under_curve(chance, favourable), 4),
            "log-loss": round(float(-np.log(said).mean()), 4),
            "balanced": round(
                float(right[favourable].mean() + (~right[~favourable]).mean()) / 2, 4
            ),
        }
        yield row | _rating_errors(rows, ratings)


def _rating_errors(rows: list[tuple[int, float, float, float | None]], ratings: NDArray) -> dict:  # type: ignore[type-arg]
    """The root mean square error of estimated ratings, and that of the running mean."""
    mean = (np.concatenate([[0.0], np.cumsum(ratings)[:-1]]) + NEUTRAL) / (np.arange(len(rows)) + 1)
    estimated = np.array([np.nan if row[3] is None else row[3] for row in rows])
    estimated = np.where(np.isnan(estimated), mean, estimated)
    spread = {name: float(np.sqrt(((guess - ratings) ** 2).mean())) for name, guess in
              (("rating error", estimated), ("of the mean", mean))}  # fmt: skip
    return {name: round(value, 4) for name, value in spread.items()}


def list_rows(stream: str, read: Read) -> Iterator[dict[str, object]]:
    """Yield NDCG@10 of published lists by what is known of reviews."""
    refined = {number: verdict for number, verdict, _, _ in read.verdicts("both")}
    tagged = [_with_tags(item, read) for item in read.items]
    for name, patch, refinements, items in (
        ("ratings alone", {"review_text": False}, {}, read.items),
        ("+ hashed words", {}, {}, read.items),
        ("+ refinements", {}, refined, read.items),
        ("+ automatic tags, of all reviews", {}, refined, tagged),
    ):
        replica = replica_of(items, read.item_vectors, None)
        replica.put_policy("*", 0, {"signals": patch})
        score = _replayed(Replay(replica, Options()), read, refinements)
        yield {"stream": stream, "known of reviews": name, "NDCG@10": round(score, 4)}


def _replayed(run: Replay, read: Read, refined: dict[int, float]) -> float:
    gains, consumed, done = [], set[tuple[str, str]](), 0
    for batch in batches(read.arrivals, run.options.batch):
        numbers = range(done, done + len(batch))
        now_ms = max(read.events[number].timestamp for number in numbers)
        if not done:
            run.publish((), now_ms)
        for number in numbers:
            event = read.events[number]
            pair = (event.user_id, event.item_id)
            if number >= run.options.warm_up * len(read.arrivals) and pair not in consumed:
                gains.append(gain(list_of(run.newest, event), event))
            consumed.add(pair)
        run.take(batch, now_ms)
        later = [_refinement(read, number, refined[number]) for number in numbers
                 if number in refined]  # fmt: skip
        if later:
            run.take(later, now_ms)
        done += len(batch)
    return float(np.mean(gains))


def _refinement(read: Read, number: int, sentiment: float) -> Arrival:
    event, arrival = read.events[number], read.arrivals[number]
    refinement = Refinement(
        user_id=event.user_id,
        item_id=event.item_id,
        offset=arrival.offset,
        text_version=0,
        sentiment=sentiment,
        understood=Understood(),
    )
    return msgspec.structs.replace(
        arrival, kind="refinement", topic="refinements", refinement=refinement
    )


def _with_tags(item: Item, read: Read) -> Item:
    """Give an item without labels those nearest to the mean of all its reviews: an upper bound."""
    if item.tags or item.categories:
        return item
    labels, vectors, centre = _labels(read)
    own = [read.vectors[n] for n in read.vectors if read.events[n].item_id == item.item_id]
    if not own or len(labels) < 3:
        return item
    mean = np.mean(own, 0) - centre
    tags = nearest_labels(mean / max(float(np.linalg.norm(mean)), 1e-6), labels, vectors)
    return msgspec.structs.replace(item, tags=tags)


def _labels(read: Read) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float32]]:
    found = getattr(read, "labels", None)
    if found is None:
        vocabulary = Vocabulary()
        for item in read.items:
            vocabulary.take(item.item_id, frozenset((*item.tags, *item.categories)))
        labels = vocabulary.labels(Policy())
        vectors = np.zeros((0, read.backbone.dimension), np.float32)
        if labels:
            vectors = vocabulary.vectors(labels, 0, lambda texts: encode(read.backbone, texts))
        centre = np.mean(list(read.vectors.values()), 0)
        found = read.labels = (labels, vectors, centre)  # type: ignore[attr-defined]
    return found


def tag_rows(stream: str, read: Read) -> Iterator[dict[str, object]]:
    """Yield how many tags of reviews are labels of the item, and how many would be by chance."""
    labels, vectors, centre = _labels(read)
    if len(labels) < 3:
        return
    of = {item.item_id: {*item.tags, *item.categories} for item in read.items}
    given = right = reviews = chance = 0.0
    for number, vector in read.vectors.items():
        own = of.get(read.events[number].item_id, set())
        if own:
            centred = vector - centre
            tags = nearest_labels(centred / np.linalg.norm(centred), labels, vectors)
            reviews += 1
            given += len(tags)
            right += sum(tag in own for tag in tags)
            chance += len(own & set(labels)) / len(labels)
    yield {
        "stream": stream,
        "reviews": int(reviews),
        "labels": len(labels),
        "tags a review": round(given / reviews, 3),
        "right": round(right / max(given, 1), 3),
        "by chance": round(chance / reviews, 3),
    }


def user_vector_rows(stream: str, read: Read) -> Iterator[dict[str, object]]:
    """Yield NDCG@10 of the text alone, by how much of a review's vector is in the user's."""
    own = stream != "amazon_musical5"  # items without words stand at the mean of their reviews
    for share in (0.0, 0.25, 0.5, 1.0):
        yield {
            "stream": stream,
            "review's share": share,
            "NDCG@10": round(_by_text(read, share, own), 4),
        }


def _by_text(read: Read, share: float, own_text: bool) -> float:
    rows = {item.item_id: row for row, item in enumerate(read.items)}
    table = read.item_vectors.copy() if own_text else np.zeros_like(read.item_vectors)
    table -= table.mean(0) if own_text else 0.0
    centre = np.mean(list(read.vectors.values()), 0)
    users: dict[str, NDArray[np.float32]] = {}
    taken: dict[str, set[int]] = {}
    gains = []
    for number, event in enumerate(read.events):
        row = rows[event.item_id]
        user = users.get(event.user_id)
        if number >= 0.2 * len(read.events) and user is not None:
            norms = np.linalg.norm(table, axis=1)
            scores = table @ user / np.maximum(norms, 1e-6)
            scores[list(taken[event.user_id])] = -np.inf
            rank = int((scores >= scores[row]).sum())  # of equals it comes last
            gains.append(1.0 / np.log2(rank + 1) if rank <= 10 else 0.0)
        said = read.vectors.get(number)
        said = np.zeros_like(centre) if said is None else said - centre
        if not own_text:
            table[row] += said
        of_item = table[row] / max(float(np.linalg.norm(table[row])), 1e-6)
        liked = 1.0 if event.rating is None else (event.rating - NEUTRAL) / 2.0
        before = np.zeros_like(centre) if user is None else user
        users[event.user_id] = 0.9 * before + liked * ((1 - share) * of_item + share * said)
        taken.setdefault(event.user_id, set()).add(row)
    return float(np.mean(gains))


def main() -> None:
    """Read both streams and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=4000)
    parser.add_argument("--cache", type=Path, help="where vectors are kept between two runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for stream in STREAMS:
            read = Read(stream, given.events, given.cache or Path(folder))
            for title, rows in (
                ("sentiment and ratings", sentiment_rows),
                ("tags of reviews", tag_rows),
                ("user vector, text alone", user_vector_rows),
                ("published lists", list_rows),
            ):
                found = list(rows(stream, read))
                if found:
                    show(f"{title}, {given.events} events", found, as_json=given.json)


if __name__ == "__main__":
    main()
