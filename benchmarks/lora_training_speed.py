"""Texts a second of a LoRA step: this loop against a plain Hugging Face Trainer with peft.

    python benchmarks/lora_training_speed.py --items 3000 --steps 12 --rounds 3

Both train the same adapter (rank, layers) of the packaged MiniLM on batches of 128 titles with the
same objective over the same catalogue. The plain loop is what its documentation shows: a data set,
the padding collator, `compute_loss`. Preparation (cached lower states, first vectors of the
catalogue) is counted apart and once more within the total, since a short run pays for it too. On a
machine that others use, `--clock processor` counts processor seconds instead of wall seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import kl_div, log_softmax, normalize, softmax
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from stream_rec.language_model.adapter import attach_adapter
from stream_rec.language_model.backbone import Backbone, load_backbone, pool
from stream_rec.language_model.encoding import MAX_TOKENS
from stream_rec.language_model.lesson import Lesson, LoraSettings
from stream_rec.language_model.lora import train_adapter

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH = 128
RANK = 16


def main() -> None:
    """Alternate both loops and print the median rates."""
    options = _options()
    global _CLOCK
    _CLOCK = _CLOCKS[options.clock]
    torch.set_num_threads(options.threads)
    texts = _titles(options.items)
    teacher = np.random.default_rng(1).normal(size=(len(texts), 384)).astype(np.float32)
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    lesson = Lesson(texts=texts, teacher=teacher, weight=np.ones(len(texts), np.float32))
    backbone = load_backbone(device="cpu", precision="float32")
    count = options.steps * BATCH
    print(f"{options.threads} threads, {options.clock} clock, {len(texts)} items")
    print(f"{options.steps} steps of {BATCH}")
    print("| loop | texts/s in steps | texts/s with preparation | ratio in steps (median) |")
    print("|---|---|---|---|")
    plain: list[float] = []
    ours: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for _ in range(options.rounds):
        plain.append(count / train_plainly(backbone, lesson, options.steps))
        for autocast in ours:
            ours[autocast].append(_train_here(backbone, lesson, options.steps, autocast=autocast))
    rate = statistics.median(plain)
    print(f"| Trainer + peft, float32 | {rate:.0f} | {rate:.0f} | 1 |")
    for autocast, rates in ours.items():
        ratio = statistics.median(here[0] / there for here, there in zip(rates, plain, strict=True))
        name = "bfloat16 products" if autocast else "float32"
        medians = [statistics.median(column) for column in zip(*rates, strict=True)]
        print(f"| here, {name} | {medians[0]:.0f} | {medians[1]:.0f} | {ratio:.2f} |")


def train_plainly(backbone: Backbone, lesson: Lesson, steps: int) -> float:
    """Train as the documentation of peft and Trainer shows; return the seconds of its steps."""
    model = attach_adapter(backbone, rank=RANK, dropout=0.05)
    tokens = backbone.tokenizer(list(lesson.texts), truncation=True, max_length=MAX_TOKENS)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": row}
        for row, (ids, mask) in enumerate(
            zip(tokens["input_ids"], tokens["attention_mask"], strict=True)
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = _NeighbourTrainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                max_steps=steps,
                learning_rate=1e-3,
                warmup_steps=2,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                remove_unused_columns=False,
                label_names=["labels"],
            ),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(backbone.tokenizer),
        )
        trainer.teacher = torch.from_numpy(lesson.teacher)
        trainer.memory = torch.from_numpy(lesson.teacher.copy())
        start = _CLOCK()
        trainer.train()
        return _CLOCK() - start


class _NeighbourTrainer(Trainer):
    """A Trainer with the objective of `stream_rec.language_model.lora`."""

    teacher: torch.Tensor
    memory: torch.Tensor

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        rows = inputs.pop("labels")
        hidden = model(**inputs).last_hidden_state
        vectors = normalize(pool(hidden, inputs["attention_mask"], "mean"), dim=1)
        memory = self.memory.index_copy(0, rows, vectors)
        scores = 20.0 * vectors @ memory.T
        wanted = 25.0 * self.teacher[rows] @ self.teacher.T
        self.memory[rows] = vectors.detach()
        return kl_div(log_softmax(scores, dim=1), softmax(wanted, dim=1), reduction="batchmean")


def _train_here(
    backbone: Backbone, lesson: Lesson, steps: int, *, autocast: bool
) -> tuple[float, float]:
    """Return texts a second in steps, and with preparation."""
    start = _CLOCK()
    trained = train_adapter(
        backbone,
        lesson,
        LoraSettings(
            method="fine_tune",
            rank=RANK,
            batch=BATCH,
            micro_batch=BATCH,
            max_steps=steps,
            check_every=steps + 1,
            patience=10,
            held_out=1e-9,
            autocast=autocast,
        ),
        seed=1,
        monotonic=_CLOCK,
    )
    return trained.texts_per_s, steps * BATCH / (_CLOCK() - start)


def _titles(count: int) -> list[str]:
    path = DATA / "amazon_games/items.jsonl.gz"
    if not path.is_file():
        sys.exit(f"{path.name} is not here: this benchmark reads ../shared/data")
    with gzip.open(path) as lines:
        titles = [json.loads(line).get("title") for line in lines]
    return list(dict.fromkeys(title for title in titles if title))[:count]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", default="wall", choices=sorted(_CLOCKS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


_CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
_CLOCK = time.perf_counter

if __name__ == "__main__":
    main()
