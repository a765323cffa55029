"""How well review texts are judged: predict each rated review, then learn from it, in log order.

Prints one line per stream and judge: AUC, log-loss, balanced accuracy and microseconds a review
(predict and learn). Each judge gives a verdict from -1 to 1, read as log-odds on top of the running
share of favourable reviews; that share alone is the line `prior`. The fixed lexicon is the learner
before its first review. VADER, a published lexicon, is scored too where it is installed
(`pip install vaderSentiment`; the project does not need it).

    python benchmarks/sentiment_quality.py [STREAM ...]
"""

from __future__ import annotations

import gzip
import importlib
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from stream_rec.profiles.sentiment import Sentiment

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
STREAMS = ("amazon_musical5", "steam_au")
NEUTRAL = 3.0


class Review(NamedTuple):
    """A rated review with a text or a title."""

    text: str
    title: str
    rating: float


class Quality(NamedTuple):
    """How well verdicts agreed with ratings, prequentially."""

    auc: float
    log_loss: float
    balanced_accuracy: float
    microseconds: float


class Judge(Protocol):
    """Anything that says how favourable a review is, and may learn its rating afterwards."""

    def verdict(self, review: Review) -> float:
        """Say how favourable the review is, from -1 to 1."""

    def learn(self, review: Review) -> None:
        """See the rating."""


class Prior:
    """Says nothing: what is left is the running share of favourable reviews."""

    def verdict(self, review: Review) -> float:
        """Say nothing."""
        return 0.0

    def learn(self, review: Review) -> None:
        """Learn nothing."""


class FixedLexicon(Prior):
    """The learner's own lexicon, for ever before its first review."""

    def __init__(self) -> None:
        self.sentiment = Sentiment()

    def verdict(self, review: Review) -> float:
        """Judge by opinion words and negations alone."""
        return self.sentiment.predict(review.text, review.title) or 0.0


class Vader(Prior):
    """The lexicon and rules of Hutto and Gilbert (ICWSM 2014)."""

    def __init__(self) -> None:
        module = importlib.import_module("vaderSentiment.vaderSentiment")
        self.analyzer = module.SentimentIntensityAnalyzer()

    def verdict(self, review: Review) -> float:
        """Return VADER's compound score."""
        return float(self.analyzer.polarity_scores(f"{review.title}. {review.text}")["compound"])


class Learner(FixedLexicon):
    """The product's own."""

    def learn(self, review: Review) -> None:
        """Take one step."""
        self.sentiment.learn(review.text, review.rating, neutral=NEUTRAL, title=review.title)


class ThreeLearners(Learner):
    """Three workers that each see a third of the reviews and merge after every 300 of them."""

    def __init__(self) -> None:
        super().__init__()
        self.workers = [Sentiment() for _ in range(3)]
        self.seen = 0

    def learn(self, review: Review) -> None:
        """Let one of the three take a step."""
        worker = self.workers[self.seen % 3]
        worker.learn(review.text, review.rating, neutral=NEUTRAL, title=review.title)
        self.seen += 1
        if self.seen % 300 == 0:
            self.sentiment = Sentiment.merged(self.workers)


JUDGES = {
    "prior": Prior,
    "fixed lexicon": FixedLexicon,
    "VADER": Vader,
    "learned": Learner,
    "learned by 3 workers": ThreeLearners,
}


def rated_reviews(stream: str) -> Iterator[Review]:
    """Read the reviews of a stream that have words and a rating other than neutral."""
    with gzip.open(DATA / stream / "events.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            text, title = event.get("text") or "", event.get("title") or ""
            if (text or title) and event.get("rating") not in (None, NEUTRAL):
                yield Review(text, title, event["rating"])


def prequential(reviews: list[Review], judge: Judge) -> Quality:
    """Let a judge predict, then learn, review by review."""
    favourable = np.array([review.rating > NEUTRAL for review in reviews])
    verdicts = np.empty(len(reviews))
    began = time.process_time()
    for row, review in enumerate(reviews):
        verdicts[row] = judge.verdict(review)
        judge.learn(review)
    spent = time.process_time() - began
    before = np.concatenate([[0], np.cumsum(favourable)[:-1]])
    share = (before + 1) / (np.arange(len(reviews)) + 2)
    logits = np.log(share / (1 - share)) + 2 * np.arctanh(np.clip(verdicts, -ALMOST, ALMOST))
    chance = 1 / (1 + np.exp(-logits))
    right = verdicts > 0
    return Quality(
        auc=area_under_curve(chance, favourable),
        log_loss=float(-np.log(np.where(favourable, chance, 1 - chance)).mean()),
        balanced_accuracy=float((right[favourable].mean() + (~right[~favourable]).mean()) / 2),
        microseconds=spent / len(reviews) * 1e6,
    )


def area_under_curve(scores: np.ndarray, favourable: np.ndarray) -> float:
    """Return the chance that a favourable review is scored above an unfavourable one."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(favourable.sum())
    negatives = len(favourable) - positives
    below = ranks[favourable].sum() - positives * (positives + 1) / 2
    return float(below / (positives * negatives))


ALMOST = math.nextafter(1.0, 0.0)


def main(streams: list[str]) -> None:
    """Print the table."""
    print(f"{'stream':16} {'judge':22} {'reviews':>8} {'AUC':>6} {'log-loss':>9} {'bal.acc':>8} µs")
    for stream in streams or STREAMS:
        reviews = list(rated_reviews(stream))
        for name, make in JUDGES.items():
            try:
                found = prequential(reviews, make())
            except ModuleNotFoundError:
                continue
            print(
                f"{stream:16} {name:22} {len(reviews):8} {found.auc:6.3f} {found.log_loss:9.4f}"
                f" {found.balanced_accuracy:8.3f} {found.microseconds:.0f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
