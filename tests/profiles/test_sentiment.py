"""Review texts: sane before learning, better than a lexicon after, the same in every worker."""

import importlib.util
import math
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.errors import StateRejected
from stream_rec.profiles.sentiment import BITS, TEXT_WORDS, Sentiment, text_features

ROOT = Path(__file__).resolve().parents[2]


def benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "sentiment_quality.py"
    spec = importlib.util.spec_from_file_location("sentiment_quality", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("stream", "least_auc", "least_gain"),
    [("amazon_musical5", 0.92, 0.02), ("steam_au", 0.86, 0.05)],
)
def test_learned_judge_beats_prior_and_fixed_lexicon(
    stream: str, least_auc: float, least_gain: float
) -> None:
    bench = benchmark()
    if not (bench.DATA / stream / "events.jsonl.gz").exists():
        pytest.skip(f"../shared/data/{stream} is not here")
    reviews = list(islice(bench.rated_reviews(stream), 12_000))
    learned = bench.prequential(reviews, bench.Learner())
    lexicon = bench.prequential(reviews, bench.FixedLexicon())
    prior = bench.prequential(reviews, bench.Prior())
    assert learned.auc >= max(least_auc, lexicon.auc + least_gain)
    assert learned.log_loss < min(prior.log_loss, lexicon.log_loss) - 0.04
    assert learned.balanced_accuracy >= lexicon.balanced_accuracy + 0.05


def test_three_workers_merged_come_near_one_that_saw_everything() -> None:
    bench = benchmark()
    if not (bench.DATA / "amazon_musical5" / "events.jsonl.gz").exists():
        pytest.skip("../shared/data/amazon_musical5 is not here")
    reviews = list(islice(bench.rated_reviews("amazon_musical5"), 2500))
    alone = bench.prequential(reviews, bench.Learner())
    merged = bench.prequential(reviews, bench.ThreeLearners())
    lexicon = bench.prequential(reviews, bench.FixedLexicon())
    assert merged.auc >= alone.auc - 0.02
    assert merged.auc >= lexicon.auc + 0.01


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Great picture and a quiet fan, I love it", 1),
        ("It broke after a week. Terrible.", -1),
        ("Not good", -1),
        ("no complaints at all", 1),
        ("The fan isn\u2019t quiet", -1),
        ("\U0001f44d\U0001f44d", 1),
    ],
)
def test_everyday_words_are_understood_before_anything_is_learned(text: str, side: int) -> None:
    verdict = Sentiment().predict(text)
    assert verdict is not None
    assert verdict * side > 0.2


def test_words_of_the_stream_are_learned_in_any_language() -> None:
    sentiment = Sentiment()
    for _ in range(20):
        sentiment.learn("sehr gut verarbeitet", 5, neutral=3)
        sentiment.learn("völlig unbrauchbar", 1, neutral=3)
        sentiment.learn("音质很好", 5, neutral=3)
        sentiment.learn("音质很差", 1, neutral=3)
    assert (sentiment.predict("gut") or 0) > 0.3 > -0.3 > (sentiment.predict("unbrauchbar") or 0)
    assert (sentiment.predict("很好") or 0) > 0 > (sentiment.predict("很差") or 0)


def test_what_follows_a_negation_is_told_apart() -> None:
    sentiment = Sentiment()
    for _ in range(30):
        sentiment.learn("it is zorgy", 5, neutral=3)
        sentiment.learn("it is not zorgy", 1, neutral=3)
    assert (sentiment.predict("zorgy") or 0) > 0 > (sentiment.predict("never very zorgy") or 0)


def test_neutral_rating_and_empty_text_teach_nothing() -> None:
    sentiment = Sentiment()
    before = sentiment.to_bytes()
    sentiment.learn("great", 3, neutral=3)
    sentiment.learn("great", math.nan, neutral=3)
    sentiment.learn(" ... \n", 5, neutral=3)
    assert sentiment.to_bytes() == before
    assert sentiment.observations == 0


def test_neutral_point_is_the_callers() -> None:
    sentiment = Sentiment()
    for _ in range(10):
        sentiment.learn("plimf", 7, neutral=5.5)
        sentiment.learn("brask", 4, neutral=5.5)
    assert (sentiment.predict("plimf") or 0) > 0 > (sentiment.predict("brask") or 0)


def test_predicting_writes_nothing() -> None:
    sentiment = Sentiment()
    sentiment.learn("great fan", 5, neutral=3)
    before = (dict(sentiment.weights), dict(sentiment.seen))
    sentiment.predict("words never seen before", "nor these")
    sentiment.probability("others")
    sentiment.word_weight("unheard")
    assert (dict(sentiment.weights), dict(sentiment.seen)) == before


def test_verdict_leaves_out_what_the_stream_is_like_and_probability_keeps_it() -> None:
    sentiment = Sentiment()
    for number in range(200):
        sentiment.learn(f"item number{number}", 5, neutral=3)
    assert sentiment.probability("") > 0.98
    assert abs(sentiment.predict("entirely different words") or 0) < 0.1


def test_state_survives_writing_and_reading() -> None:
    sentiment = Sentiment()
    for number in range(50):
        sentiment.learn(f"good thing {number}", 5, neutral=3, title="Fine")
        sentiment.learn(f"bad thing {number}", 1, neutral=3)
    again = Sentiment.from_bytes(sentiment.to_bytes())
    assert again.to_bytes() == sentiment.to_bytes()
    assert again.observations == 100
    assert again.probability("good 7") == pytest.approx(sentiment.probability("good 7"), abs=1e-6)


def test_damaged_state_is_rejected() -> None:
    sentiment = Sentiment()
    sentiment.learn("good thing", 5, neutral=3)
    state = sentiment.to_bytes()
    for broken in (b"", state[:-3], b"\x00" + state, b"{}"):
        with pytest.raises(StateRejected):
            Sentiment.from_bytes(broken)


def test_memory_is_bounded_whatever_the_stream_says() -> None:
    sentiment = Sentiment()
    for number in range(1500):
        sentiment.learn(" ".join(f"w{number}x{i}" for i in range(60)), number % 2, neutral=0.5)
    assert len(sentiment.weights) <= (1 << BITS) + 2
    assert len(sentiment.to_bytes()) < 350_000
    features = text_features("endless " * 200_000 + "x" * 1_000_000)
    assert features is not None
    assert len(features.hashed) <= 3 * TEXT_WORDS


def test_merging_weighs_by_evidence_and_leaves_the_parts_alone() -> None:
    much, little = Sentiment(), Sentiment()
    for _ in range(40):
        much.learn("zorgy", 5, neutral=3)
    little.learn("zorgy", 1, neutral=3)
    little.learn("brask", 1, neutral=3)
    parts = [much.to_bytes(), little.to_bytes()]
    merged = Sentiment.merged([much, little])
    assert [much.to_bytes(), little.to_bytes()] == parts
    assert merged.observations == 42
    assert merged.word_weight("zorgy") > 0.8 * much.word_weight("zorgy")
    assert merged.word_weight("brask") == pytest.approx(little.word_weight("brask"))
    assert Sentiment.merged([much]).to_bytes() == much.to_bytes()
    assert Sentiment.merged([little, much]).to_bytes() == merged.to_bytes()


def test_hashes_are_the_same_in_every_process() -> None:
    code = (
        "from stream_rec.profiles.sentiment import text_features;"
        "print(sorted(text_features('not a good fan', 'Loud').hashed))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    features = text_features("not a good fan", "Loud")
    assert features is not None
    assert said.strip() == str(sorted(features.hashed))


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=300), st.text(max_size=40))
def test_any_text_gets_a_verdict_in_range_or_none(text: str, title: str) -> None:
    sentiment = Sentiment()
    sentiment.learn(text, 1, neutral=3, title=title)
    verdict = sentiment.predict(text, title)
    assert verdict is None or -1 <= verdict <= 1
    assert 0 <= sentiment.probability(text, title) <= 1


def test_lone_surrogates_do_no_harm() -> None:
    assert Sentiment().predict("good \ud800 fan") is not None
