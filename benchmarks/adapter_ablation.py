"""What the tower and the LoRA adapter add to frozen text vectors, on later events of a real stream.

    python benchmarks/adapter_ablation.py --events 150000 --max-s 400 [--methods fine_tune] [--rank
    16]

Some items are withheld from everything that learns: test events on them stand for never-seen items.
Users are decayed means of their last ten items; the whole catalogue is ranked; what the user has is
left out. Prints NDCG@10 with standard errors clustered by user and the paired gain over frozen
text.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rec.items import item_of, item_text
from stream_rec.language_model.adapter import merge_adapter
from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.encoding import encode, unit
from stream_rec.language_model.gate import Space, discounted_gain, paired_by_user, rank_next_items
from stream_rec.language_model.lesson import Lesson, LoraSettings, Step
from stream_rec.language_model.lora import train_adapter
from stream_rec.language_model.next_item_examples import NextItems, decayed_recency, next_items
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.language_model.tower_training import (
    Tower,
    TowerSettings,
    tower_vectors,
    train_tower,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    """Train a tower and an adapter of each method on the past; print what they add later."""
    options = _options()
    torch.set_num_threads(options.threads)
    texts, examples = _stream(options.stream, options.events)
    past, later = examples.split_newest(0.25)
    rng = np.random.default_rng(options.seed)
    withheld = rng.random(len(texts)) < options.withheld
    fit = past.select(~withheld[past.target])
    fit = _without(fit, withheld)
    known = np.zeros(len(texts), np.bool_)
    known[fit.target] = True
    known[fit.context[fit.context >= 0]] = True
    test = later.select(np.arange(min(options.test, len(later))))
    print(
        f"{len(texts)} items, {len(fit)} past examples, {len(test)} later ones, "
        f"{int((~known[test.target]).sum())} of them on items never seen in the fit"
    )

    start = time.perf_counter()
    frozen = encode(load_backbone(device="cpu"), texts)
    print(
        f"encoded in {time.perf_counter() - start:.0f} s, {time.process_time():.0f} s of processor"
    )
    table = _Table(test, known, len(texts))
    recency = decayed_recency(10)
    table.row("frozen text", Space(vectors=_centred(frozen), recency=recency))

    def tower_on(text: NDArray[np.float32]) -> Tower:
        settings = TowerSettings(max_s=options.max_s, max_steps=options.tower_steps)
        return train_tower(text, fit, settings, seed=options.seed, monotonic=time.perf_counter)

    clock = time.process_time()
    tower = tower_on(frozen)
    placed = tower_vectors(tower, frozen)
    spent = time.process_time() - clock
    table.row(
        f"+ tower ({tower.steps} steps, {spent:.0f} s of processor)",
        Space(vectors=placed, recency=tower.recency),
    )
    counts = np.bincount(fit.target, minlength=len(texts))
    rows = np.flatnonzero(known & np.array([bool(text) for text in texts]))
    lesson = Lesson(
        texts=[texts[i] for i in rows],
        teacher=placed[rows],
        weight=np.sqrt(counts[rows] + 1).astype(np.float32),
    )
    full = load_backbone(device="cpu", precision="float32")  # adapters learn on exact weights
    for method in options.methods:
        clock = time.process_time()
        trained = train_adapter(
            full,
            lesson,
            LoraSettings(
                method=method,
                rank=options.rank,
                learning_rate=options.learning_rate,
                sharpness=options.sharpness,
                batch=options.batch,
                max_s=options.max_s,
                max_steps=options.max_steps,
            ),
            seed=options.seed,
            monotonic=time.perf_counter,
            progress=_say,
        )
        spent = time.process_time() - clock
        print(
            f"{method}: held-out divergence {trained.loss_before:.4f} -> {trained.loss:.4f}, "
            f"{trained.texts_per_s:.0f} texts/s",
            file=sys.stderr,
        )
        adapted = encode(merge_adapter(full, trained.arrays), texts)
        table.row(
            f"+ LoRA `{method}`, text alone ({trained.steps} steps, {spent:.0f} s of processor)",
            Space(vectors=_centred(adapted), recency=recency),
        )
        tower = tower_on(adapted)
        table.row(
            f"+ LoRA `{method}` + tower on it ({tower.steps} steps): what is served",
            Space(vectors=tower_vectors(tower, adapted), recency=tower.recency),
        )


class _Table:
    """Prints one markdown row for each space, paired with the first."""

    def __init__(self, test: NextItems, known: NDArray[np.bool_], items: int) -> None:
        self.test = test
        self.groups = {
            "all": np.ones(len(test), np.bool_),
            "known": known[test.target],
            "never-seen": ~known[test.target],
        }
        self.nothing = np.zeros(items, np.bool_)
        self.first: NDArray[np.float64] | None = None
        print("| representation | all | known items | never-seen items |")
        print("|---|---|---|---|", flush=True)

    def row(self, name: str, space: Space) -> None:
        """Rank the later events and print NDCG@10, its error and the gain over the first row."""
        ndcg = discounted_gain(rank_next_items(space, self.test, self.nothing).rank)
        cells = []
        for chosen in self.groups.values():
            mean = paired_by_user(ndcg[chosen], self.test.user[chosen])
            cell = f"{mean.mean:.4f} ± {mean.error:.4f}"
            if self.first is not None:
                gain = paired_by_user((ndcg - self.first)[chosen], self.test.user[chosen])
                before = float(self.first[chosen].mean())
                cell += f" (× {mean.mean / before:.2f}, z {gain.z:.1f})"
            cells.append(cell)
        if self.first is None:
            self.first = ndcg
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _stream(name: str, limit: int) -> tuple[list[str], NextItems]:
    """Read texts of all items and next-item examples of the first events."""
    rows: dict[str, int] = {}
    texts: list[str] = []
    with gzip.open(_path(f"{name}/items")) as lines:
        for line in lines:
            item = item_of(json.loads(line))
            rows[item.item_id] = len(texts)
            texts.append(item_text(item))
    histories: dict[str, list[Feedback]] = defaultdict(list)
    with gzip.open(_path(f"{name}/events")) as lines:
        for _, line in zip(range(limit), lines, strict=False):
            event = json.loads(line)
            histories[event["user_id"]].append(
                Feedback(
                    user_id=event["user_id"],
                    item_id=event["item_id"],
                    timestamp=int(event["ts"] * 1000),
                )
            )
    return texts, next_items(histories, rows)


def _without(examples: NextItems, withheld: NDArray[np.bool_]) -> NextItems:
    """Take withheld items out of the contexts; examples left without any go."""
    context = np.where((examples.context >= 0) & ~withheld[examples.context], examples.context, -1)
    kept = NextItems(
        target=examples.target,
        context=context,
        user=examples.user,
        timestamp=examples.timestamp,
        weight=examples.weight,
    )
    return kept.select((context >= 0).any(axis=1))


def _centred(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    written = vectors.any(axis=1, keepdims=True)
    return unit(np.where(written, vectors - vectors[written[:, 0]].mean(axis=0), 0).astype("f4"))


def _say(step: Step) -> None:
    if step.step % 20 == 0:
        print(f"step {step.step}: loss {step.loss:.4f}, {step.seconds:.0f} s", file=sys.stderr)


def _path(name: str) -> Path:
    path = DATA / f"{name}.jsonl.gz"
    if not path.is_file():
        sys.exit(f"{path.name} is not here: this benchmark reads ../shared/data")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stream", default="amazon_games")
    parser.add_argument("--events", type=int, default=150_000)
    parser.add_argument("--test", type=int, default=9000)
    parser.add_argument("--withheld", type=float, default=0.2)
    parser.add_argument("--methods", nargs="*", default=["fine_tune", "proximal", "long_short"])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--sharpness", type=float, default=25.0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--max-s", type=float, default=400)
    parser.add_argument("--max-steps", type=int, default=400)
    parser.add_argument("--tower-steps", type=int, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
