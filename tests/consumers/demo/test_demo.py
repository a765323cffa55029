"""The demo as a stranger runs it, and what it shows."""

import gzip
import io
import json
import re
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from consumers.demo.feed import ALTERNATIVE, recorded, reply, simulated
from consumers.demo.scoreboard import Freshness, Quality
from consumers.demo.view import Snapshot, Spotlight, plain_line, plain_spotlight, view
from consumers.processes.installation import own_command
from stream_rec.errors import ConfigurationError
from stream_rec.events import parse_event
from stream_rec.items import parse_item
from stream_rec.ranking.reasons import KINDS
from stream_rec.toplist import Lineage, ListedItem, Reason, TopList

NOW_MS = 1_763_790_285_000


@pytest.mark.broker
def test_the_demo_serves_every_event_shows_what_a_review_changes_and_leaves_nothing():
    before = set(Path(tempfile.gettempdir()).glob("stream-rec-demo-*"))
    done = subprocess.run(
        [*own_command(), "demo", "--seconds", "20"], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every event got its list" in done.stdout
    assert "the bad review changed" in done.stdout
    assert "An alternative to" in done.stdout
    assert "NDCG@10 stream-rec" in done.stdout
    assert set(Path(tempfile.gettempdir()).glob("stream-rec-demo-*")) <= before


@pytest.mark.broker
@pytest.mark.slow
def test_in_a_longer_demo_what_the_trainer_learned_serves():
    done = subprocess.run(
        [*own_command(), "demo", "--seconds", "120"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if "language model: version" in line]
    assert told, done.stdout
    assert re.search(r"version [1-9]\d* serves", told[-1]), told[-1]


def test_the_simulated_feed_speaks_the_contract():
    feed = simulated(300, now_ms=NOW_MS)
    assert len(feed.catalogue) >= 500
    for row in feed.catalogue:
        parse_item(json.dumps(row).encode(), key=row["item_id"].encode())
    acts = [*feed.acts, *feed.scenes]
    assert {act.topic for act in acts} == {"items", "clicks", "reviews"}
    for act in acts:
        if act.topic != "items":
            value, key = json.dumps(act.record).encode(), act.record["user_id"].encode()
            event = parse_event(value, key=key, kind="click", source="s", append_ms=NOW_MS)
            assert event.item_id in feed.item_ids
    assert any(act.record.get("rating") == 2 for act in feed.scenes)


def test_files_are_played_in_order_and_their_busiest_user_is_followed(tmp_path):
    items, events = tmp_path / "items.jsonl.gz", tmp_path / "events.jsonl"
    with gzip.open(items, "wt") as out:
        out.writelines(json.dumps({"item_id": f"i{n}"}) + "\n" for n in range(12))
    rows = [
        {"type": "click", "user_id": "ann", "item_id": "i1", "ts": 1.0},
        {"type": "review", "user_id": "bob", "item_id": "i2", "ts": 2.0, "rating": 1.0},
        {"type": "click", "user_id": "bob", "item_id": "i3", "ts": 3.0},
        {"type": "click", "user_id": "ann", "item_id": "gone", "ts": 4.0},
    ]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    feed = recorded(items, events, most=10)
    assert feed.protagonist == "bob"
    acts = [(act.topic, act.record["item_id"], act.record["timestamp"]) for act in feed.acts]
    assert acts == [("clicks", "i1", 1000), ("reviews", "i2", 2000), ("clicks", "i3", 3000)]
    events.write_text(json.dumps(rows[-1]))
    with pytest.raises(ConfigurationError, match="no event"):
        recorded(items, events, most=10)


def test_the_protagonist_answers_an_alternative_first():
    assert ALTERNATIVE in KINDS
    act = reply(toplist(("i1", "popular_now"), ("i2", ALTERNATIVE)), 1, NOW_MS)
    assert act is not None
    assert act.record["item_id"] == "i2"
    assert reply(toplist(), 1, NOW_MS) is None


def test_the_view_marks_what_is_new_and_gives_its_reason():
    console = Console(width=120, record=True, force_terminal=True, file=io.StringIO())
    console.print(view(snapshot()))
    shown = console.export_text()
    assert "Loud monitor" in shown
    assert "NDCG@10 so far" in shown
    assert "0.1750" in shown
    lines = plain_spotlight(snapshot().spotlight, {"i2": "Quiet monitor"})
    assert lines[0] == "  Nora writes"
    assert lines[1].startswith("     1. i1")
    assert lines[2].startswith("   + 2. Quiet monitor")


def test_a_line_of_figures_stands_for_the_view_without_a_terminal():
    line = plain_line(snapshot())
    assert "p50 41 ms p99 120 ms" in line
    assert "stream-rec 0.1750 co-visitation 0.1200 popularity 0.0200" in line
    nothing_yet = replace(snapshot(), freshness=Freshness(p50=float("nan"), p99=float("nan")))
    assert "p50 – p99 –" in plain_line(nothing_yet)


def toplist(*entries):
    return TopList(
        recommendation_id="r",
        user_id="nora",
        scenario="default",
        version=7,
        generated_at=NOW_MS,
        tier="lm",
        items=tuple(
            ListedItem(
                item_id=item_id,
                rank=rank,
                score=1.0,
                sources={},
                reason=Reason(kind=kind, text=f"because {kind}"),
            )
            for rank, (item_id, kind) in enumerate(entries, 1)
        ),
        lineage=Lineage(
            last_event_id=None,
            events_applied=1,
            offsets={},
            adapter_version=0,
            policy_version=-1,
            catalogue_items=2,
            encoded_items=2,
        ),
    )


def snapshot():
    return Snapshot(
        elapsed=34.0,
        seconds=90.0,
        events=3120,
        lists=9000,
        rate=87.0,
        lag=3,
        learning="version 2 serves",
        freshness=Freshness(p50=41.0, p99=120.0),
        quality=Quality(events=2000, engine=0.175, popularity=0.02, co_visitation=0.12),
        spotlight=Spotlight(
            user_id="nora",
            toplist=toplist(("i1", "popular_now"), ("i2", ALTERNATIVE)),
            before=frozenset({"i1"}),
            captions=("Nora writes",),
            answered=1,
        ),
        titles={"i1": "Loud monitor"},
    )
