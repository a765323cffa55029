"""Seconds until no list shows what a new rule forbids, for users who do nothing meanwhile.

    python -m benchmarks sweep_time [--users 3000] [--items 3000] [--json]

One worker makes a list for every user; then the item that most lists show is blocked, a second one
withdrawn, and nobody clicks. Once for the lists that show the item, once for all that may be wrong
(made before the change). Ends with 1 when the lists that show it need more than 60 s.
"""

import json
import sys
import time
from collections import Counter
from typing import Any

from benchmarks.printed import installation, options, show
from consumers.kafka_io.topics import Topics
from consumers.processes.installation import make_topics
from consumers.settings import Settings
from tests.guarantees import topic_log
from tests.guarantees.fleet import Fleet
from tests.guarantees.traffic import send_catalogue, set_policy

MOST_S = 60.0


def main() -> int:
    """Forbid twice, print, return the exit status."""
    chosen = options(__doc__, users=3_000, items=3_000)
    rows = []
    with installation() as settings:
        make_topics(settings)
        send_catalogue(settings, chosen.items)
        with Fleet(settings) as fleet:
            fleet.wait_ready(600)
            click(settings, chosen.users, chosen.items)
            fleet.wait(lambda: len(newest(settings)) > chosen.users, 300, "no lists")
            for what, forbid in (("a rule", block), ("a withdrawal", withdraw)):
                item = commonest(settings)
                started_ms = time.time_ns() // 1_000_000
                forbid(settings, item)
                shown, whole = until_gone(settings, item, since_ms=started_ms)
                rows.append({"what": what, "shown until s": shown, "all made again s": whole})
    title = f"a sweep over {chosen.users:,} users, {chosen.items:,} items, one worker"
    show(title, rows, as_json=chosen.json)
    return 0 if all(float(str(row["shown until s"])) <= MOST_S for row in rows) else 1


def click(settings: Settings, users: int, items: int) -> None:
    """Let every user click once, just now."""
    client, topic = topic_log.producer(settings), Topics(settings.prefix).clicks
    for number in range(users):
        event = {
            "event_id": f"e{number}",
            "user_id": f"u{number}",
            "item_id": f"i{number * 7 % min(items, 400)}",
            "timestamp": time.time_ns() // 1_000_000,
        }
        client.send(topic, key=f"u{number}".encode(), value=json.dumps(event).encode())
    client.flush(timeout=60)
    client.close()


def newest(settings: Settings) -> dict[bytes, Any]:
    """Return the newest list of everybody."""
    topic = Topics(settings.prefix).recommendations
    return {
        record.key: json.loads(record.value)
        for record in topic_log.records(settings, topic)
        if record.value is not None
    }


def commonest(settings: Settings) -> str:
    """Return the item that most lists show."""
    lists = newest(settings).values()
    return Counter(item["item_id"] for made in lists for item in made["items"]).most_common(1)[0][0]


def block(settings: Settings, item: str) -> None:
    """Forbid an item by a rule."""
    set_policy(settings, {"rules": [{"do": "block", "where": {"item_id": item}}]})


def withdraw(settings: Settings, item: str) -> None:
    """Take an item out of the catalogue."""
    client = topic_log.producer(settings)
    client.send(Topics(settings.prefix).items, key=item.encode(), value=None)
    client.flush(timeout=60)
    client.close()


def until_gone(settings: Settings, item: str, *, since_ms: int) -> tuple[float, float]:
    """Return after how many seconds no list showed the item, and all had been made again."""
    shown = 0.0
    started = time.monotonic()
    while time.monotonic() - started < 300:
        lists = newest(settings).values()
        took = (time.time_ns() // 1_000_000 - since_ms) / 1000
        showing = sum(item in [place["item_id"] for place in made["items"]] for made in lists)
        if not showing and not shown:
            shown = took
        if shown and all(made["generated_at"] >= since_ms for made in lists):
            return shown, took
        time.sleep(0.2)
    return shown or float("inf"), float("inf")


if __name__ == "__main__":
    sys.exit(main())
