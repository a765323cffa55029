"""How fast the ranker is beside the least that any ranker must do: one product and a top-k.

    python benchmarks/ranking_speed.py [--items 17000] [--batch 64] [--learn 0.25]

One BLAS thread. A synthetic catalogue with realistic statistics: popularity by Zipf's law, users
with up to 64 items, links from 60,000 events. The two are measured in turns in the same process, in
time of the processor, so the ratio holds where absolute figures drift or others share the machine.
`--learn` is the share of each batch's users who come back in the next one and are learned from, by
the features of the list that they were shown. Ends with 1 when the ratio at the given batch is
below
40 %.
"""

import argparse
import os
import sys
import time

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

from consumers.processes.collecting import Collecting  # noqa: E402
from stream_rec.events import Event  # noqa: E402
from stream_rec.items import Item  # noqa: E402
from stream_rec.policy import Policy  # noqa: E402
from stream_rec.profiles.profile import Profile, fold  # noqa: E402
from stream_rec.ranking.scoring import Example, Request, learn, score  # noqa: E402
from stream_rec.replica import Replica  # noqa: E402
from stream_rec.statistics.facts import FactsBuilder  # noqa: E402

DIMENSION = 384
NEWCOMER_MS = 30_000_000  # 6,000 events, one in five seconds
LEAST = 0.40


def main() -> int:
    """Print one row per batch size; return the exit status."""
    options = _options()
    replica, profiles = build(options.items, options.events)
    now_ms = replica.statistics.newest_ms
    names = list(profiles)
    Collecting()  # as a worker does
    print(
        f"{options.items} items x {DIMENSION}, one BLAS thread, learning from {options.learn:.0%}"
    )
    print(f"{'batch':>5} {'product + top-k':>16} {'ranker':>10} {'of it':>7}   (ms a list)")
    ratio = 0.0
    for batch in sorted({1, 8, options.batch}):
        bare, ranker = [], []
        back: list[tuple[Profile, str]] = []
        for turn in range(options.turns):
            picked = [names[(turn * batch + place) % len(names)] for place in range(batch)]
            work = [profiles[name] for name in picked]
            bare.append(_timed(lambda: product(replica, batch)) / batch)  # noqa: B023
            ranker.append(
                _timed(lambda: rank(replica, back, work, now_ms)) / batch  # noqa: B023
            )
            back = work[: round(batch * options.learn)]
        ratio = float(np.median(bare) / np.median(ranker))
        print(
            f"{batch:>5} {np.median(bare) * 1e3:>16.3f} {np.median(ranker) * 1e3:>10.3f}"
            f" {ratio:>7.0%}"
        )
    return 0 if ratio >= LEAST else 1


def product(replica: Replica, batch: int) -> None:
    """Do what cannot be avoided: users times catalogue, and the best ten of each."""
    matrix = replica.vectors["text"].matrix[: len(replica.items)]
    scores = matrix[:batch] @ matrix.T
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    np.take_along_axis(best, order, axis=1)


def rank(
    replica: Replica, back: list[tuple[Profile, str]], work: list[tuple[Profile, str]], now_ms: int
) -> None:
    """Learn from what users took who came back, and score a list for everybody of this batch."""
    policy = Policy()
    examples = [
        Example(profile=profile, scenario="default", policy=policy, item_id=item, timestamp=now_ms)
        for profile, item in back
    ]
    learn(replica, examples, now_ms=now_ms)
    requests = [Request(profile=profile, scenario="default", policy=policy) for profile, _ in work]
    score(replica, requests, now_ms=now_ms)


def build(
    items: int, events: int, *, followed: int | None = None
) -> tuple[Replica, dict[str, tuple[Profile, str]]]:
    """Return a replica with statistics, and profiles with the item each user takes next.

    The neighbours of the first `followed` items are found, which are the ones taken most; of all
    unless given.
    """
    generator = np.random.default_rng(0)
    topics = generator.normal(size=(40, DIMENSION)).astype(np.float32)
    topic = generator.integers(0, len(topics), items)
    replica = Replica()
    for row in range(items):
        replica.put_item(
            Item(item_id=str(row), title=f"Item {row}", categories=(f"Topic {topic[row]}",))
        )
        noise = generator.normal(size=DIMENSION).astype(np.float32)
        replica.put_text_vector(str(row), 0, topics[topic[row]] + noise)
    weights = 1.0 / np.arange(1, items + 1) ** 0.8
    members = [np.flatnonzero(topic == number) for number in range(len(topics))]
    members.append(np.arange(items))
    odds = [np.cumsum(weights[among]) for among in members]
    profiles: dict[str, Profile] = {}
    users = max(events // 12, 1)
    facts, taken = FactsBuilder(), {}
    for number in range(events):
        user = int(users * generator.random() ** 2)
        among = user % len(topics) if generator.random() < 0.7 else -1
        place = np.searchsorted(odds[among], generator.random() * odds[among][-1])
        item = str(members[among][place])
        event = Event(
            event_id=f"e{number}",
            event_type="click",
            user_id=f"u{user}",
            item_id=item,
            timestamp=1_700_000_000_000 + number * 5_000,
        )
        before = profiles.get(event.user_id) or Profile(user_id=event.user_id)
        tenure_ms = before.tenure_ms(event.timestamp)
        newcomer = tenure_ms < NEWCOMER_MS
        folded = fold(before, event, topic=0, offset=number, newcomer=newcomer)
        facts.count(item, event.timestamp, None, not before.history, tenure_ms=tenure_ms)
        facts.link(folded.links)
        profiles[event.user_id] = folded.profile
        taken[event.user_id] = (before, item)
    replica.statistics.fold(facts.build("benchmark"))
    for _ in range(0, items if followed is None else min(items, followed), 256):
        replica.views.catch_up(replica, most=256)
    active = sorted(profiles, key=lambda name: -profiles[name].events_applied)
    return replica, {name: taken[name] for name in active[: users // 2]}


def _timed(work: object) -> float:
    start = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=17_000)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--learn", type=float, default=0.25, help="share of lists learned from")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
