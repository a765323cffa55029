"""What attackers come to: the target's share of honest users' lists, before and after an attack.

    python -m benchmarks shilling [--events 12000] [--users 1000] [--seeds 2] [--json]

A simulated shop, then the real streams, where they are; without texts, so that behaviour and
ratings alone decide. The attackers come in the last 30 % of the stream, so what is before it is
played once. `crowd` are as many new users who want nothing: what they change is what any 1 % of new
users change. The table is in docs/robustness.md.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: replays are single-threaded

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.printed import options, show
from stream_rec import recorded
from stream_rec.items import Item, item_of
from stream_rec.simulation.shilling import Attack, Profile, attacked
from stream_rec.simulation.shop import Shop
from tests.attacked import Harm, beginning, harm, last_lists, middling

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
STREAMS = ("amazon_musical5", "steam_au")
PROFILES: tuple[Profile, ...] = ("crowd", "random", "average", "bandwagon", "nuke", "flood")
SHARES = (0.01, 0.03, 0.05)
PLACES = {"popular": 0.1, "middling": 0.5}


def streams(events: int, users: int) -> Iterator[tuple[str, list[Item], list[dict[str, Any]]]]:
    """Yield the simulated shop and whichever real streams are there."""
    shop = Shop(3, items=600, users=users)
    items = [item_of(record) for record in shop.catalogue()]
    yield "shop", items, list(shop.events(events, 1_700_000_000_000, 5_000))
    for name in STREAMS:
        folder = DATA / name
        if folder.is_dir():
            found = recorded.rows(folder / "events.jsonl.gz", events)
            records = [recorded.event_record(row, number) for number, row in enumerate(found)]
            for record in records:
                record.pop("title", None)
                record.pop("text", None)
            yield name, list(recorded.items(folder / "items.jsonl.gz")), records


def measured(
    name: str,
    items: list[Item],
    stream: list[dict[str, Any]],
    *,
    seeds: int,
    said: Callable[[dict[str, object]], None] = lambda _: None,
) -> list[dict[str, object]]:
    """Return one row for each target, attack and share; `said` hears each as it is measured."""
    rows = []
    played = beginning(items, stream)
    before = last_lists(played, stream)
    for place, share_of_rank in PLACES.items():
        target = middling(stream, share_of_rank)
        for share, profile in product(SHARES, PROFILES):
            found = []
            for seed in range(seeds):
                one = Attack(profile=profile, target=target, share=share, seed=seed)
                found.append(harm(before, last_lists(played, attacked(stream, one)), target))
            rows.append({"stream": name, "target": place, **_row(profile, share, found)})
            said(rows[-1])
    return rows


def _row(profile: str, share: float, found: list[Harm]) -> dict[str, object]:
    return {
        "attack": profile,
        "attackers %": 100 * share,
        "shown before %": 100 * found[0].showed,
        "after %": 100 * mean(one.shows for one in found),
        "rise": mean(one.rise for one in found),
        "worst rise": max(one.rise for one in found),
        "target in or out %": 100 * mean(one.touched for one in found),
        "any change %": 100 * mean(one.changed for one in found),
    }


def main() -> None:
    """Measure and print."""
    given = options(__doc__, events=12_000, users=1_000, seeds=2)
    rows = [
        row
        for name, items, stream in streams(given.events, given.users)
        for row in measured(name, items, stream, seeds=given.seeds)
    ]
    show("shilling", rows, as_json=given.json)


if __name__ == "__main__":
    main()
