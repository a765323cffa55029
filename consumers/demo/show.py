"""The demo's stream: paces the events, follows one user, and gives a picture of each moment.

Knows the feed and the observer; neither the installation nor the terminal.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumers.demo.feed import ALTERNATIVE, EVENTS_PER_S, Act, Feed, reply
from consumers.demo.gauges import Gauges
from consumers.demo.observer import Observer
from consumers.demo.scoreboard import Scoreboard
from consumers.demo.view import Snapshot, Spotlight
from stream_rec.toplist import ListedItem, TopList


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the show went: the last picture, whether every event was served, and remarks."""

    last: Snapshot
    served: bool
    remarks: Sequence[str]


class Show:
    """One showing of a feed; iterate `play` to its end, then ask for the `outcome`."""

    def __init__(self, feed: Feed, observer: Observer, *, metrics: str, seconds: float) -> None:
        self._feed, self._observer, self._seconds = feed, observer, seconds
        self._board = Scoreboard(feed.item_ids, warm_up=WARM_UP)
        self._gauges = Gauges(metrics)
        self._titles = {
            str(row["item_id"]): str(row["title"]) for row in feed.catalogue if row.get("title")
        }
        self._scenes = deque(feed.scenes)
        self._held: Act | None = None
        self._replies = 0
        self._stream_ms = 0
        self._captions: list[str] = []
        self._toplist: TopList | None = None
        self._before: tuple[str, ...] = ()
        self._remarks: list[str] = []
        self._reviewed = False
        self._answered = 0
        self._began = time.monotonic()

    def play(self) -> Iterator[Snapshot]:
        """Send and read until the time is over, then wait for the last lists."""
        self._began = time.monotonic()
        self._look()
        drawn, ended = 0.0, False
        while not ended or self._board.waiting:
            now = time.monotonic()
            elapsed = now - self._began
            ended = ended or elapsed >= self._seconds
            if not ended:
                ended = not self._send_what_is_due(elapsed)
            self._look()
            if self._board.longest_wait(now=now) > PATIENCE_S:
                break
            if now - drawn >= DRAW_EVERY_S:
                drawn = now
                yield self._snapshot()
        yield self._snapshot()

    def outcome(self) -> Outcome:
        """Say how it went, after `play` has ended."""
        self._gauges.stop()
        board = self._board
        lost, wrong = len(board.waiting), board.version_errors
        remarks = self._remarks[-REMARKS:]
        if lost:
            remarks.append(f"{lost} events got no list within {PATIENCE_S:.0f} s")
        if wrong:
            remarks.append(f"{wrong} list versions did not rise")
        served = not lost and not wrong and board.sent > 0
        return Outcome(last=self._snapshot(), served=served, remarks=remarks)

    def _send_what_is_due(self, elapsed: float) -> bool:
        """Send events while pace and window allow it; False when the feed is at its end."""
        self._play_scene(elapsed)
        due = elapsed * EVENTS_PER_S
        while self._board.sent < due and len(self._board.waiting) < WINDOW:
            act = self._held or next(self._feed.acts, None)
            self._held = None
            if act is None:
                return False
            if act.topic != "items" and str(act.record["user_id"]) in self._board.waiting:
                self._held = act  # the order of the stream is kept
                return True
            self._send(act)
        return True

    def _play_scene(self, elapsed: float) -> None:
        """Let the protagonist act, at even distances in the middle of the show."""
        if not self._feed.scenes or self._feed.protagonist in self._board.waiting:
            return
        share = elapsed / self._seconds
        played = len(self._feed.scenes) - len(self._scenes)
        if self._scenes:
            if share >= FIRST_SCENE + (LAST_SCENE - FIRST_SCENE) * played / len(self._feed.scenes):
                self._send(self._scenes.popleft())
        elif share >= LAST_SCENE + REPLY_EVERY * (self._replies + 1) and self._toplist is not None:
            self._replies += 1
            if (act := reply(self._toplist, self._replies, self._stream_ms)) is not None:
                self._send(act)

    def _send(self, act: Act) -> None:
        record = act.record
        if act.topic == "items":
            self._titles[record["item_id"]] = record.get("title") or record["item_id"]
            self._observer.send("items", record)
            return
        if act.caption:  # a scene happens at the stream's own time
            record = {**record, "timestamp": max(self._stream_ms, record["timestamp"])}
        self._stream_ms = max(self._stream_ms, record["timestamp"])
        user_id, item_id = str(record["user_id"]), str(record["item_id"])
        if user_id == self._feed.protagonist:
            self._captions.append(self._worded(act))
            self._reviewed = act.topic == "reviews" and (record.get("rating") or 0) < NEUTRAL
            self._before = tuple(entry.item_id for entry in self._listed())
        self._board.sending(user_id, item_id, now=time.monotonic())
        self._observer.send(act.topic, record)

    def _worded(self, act: Act) -> str:
        record = act.record
        title = self._titles.get(str(record["item_id"]), record["item_id"])
        rating = f", {record['rating']:g} stars" if record.get("rating") is not None else ""
        words = f': "{record["text"][:80]}"' if record.get("text") else ""
        return f"{act.caption or record['event_type']} – {title}{rating}{words}"

    def _look(self) -> None:
        for toplist in self._observer.lists(POLL_S):
            took = self._board.arrived(toplist, now=time.monotonic())
            if toplist.user_id == self._feed.protagonist:
                self._follow(toplist, took)

    def _follow(self, toplist: TopList, took: float | None) -> None:
        self._toplist = toplist
        if took is None:
            return
        self._answered += 1
        if self._reviewed:
            self._reviewed = False
            self._remark(toplist, took)

    def _listed(self) -> Sequence[ListedItem]:
        return () if self._toplist is None else self._toplist.items

    def _remark(self, toplist: TopList, took: float) -> None:
        """Say what a review has changed."""
        items = toplist.items
        moved = sum(
            before != entry.item_id for before, entry in zip(self._before, items, strict=False)
        )
        offered = [entry for entry in items if entry.reason.kind == ALTERNATIVE]
        said = (
            f"the bad review changed {moved} of {len(items)} places of "
            f"{toplist.user_id}'s list within {took * 1000:.0f} ms"
        )
        if offered:
            title = self._titles.get(offered[0].item_id, offered[0].item_id)
            said += (
                f"; {len(offered)} are alternatives now, rank {offered[0].rank} is {title}: "
                f"{offered[0].reason.text}"
            )
        self._remarks.append(said)
        self._captions.append(said)

    def _snapshot(self) -> Snapshot:
        now, board = time.monotonic(), self._board
        return Snapshot(
            elapsed=now - self._began,
            seconds=self._seconds,
            events=board.sent,
            lists=board.lists,
            rate=board.rate(now=now),
            lag=self._gauges.lag,
            learning=self._gauges.learning,
            freshness=board.freshness(),
            quality=board.quality(),
            spotlight=Spotlight(
                user_id=self._feed.protagonist,
                toplist=self._toplist,
                before=frozenset(self._before),
                captions=tuple(self._captions),
                answered=self._answered,
            ),
            titles=self._titles,
        )


WINDOW = 8
WARM_UP = 500
"""Events that teach all methods before any of them is scored."""
POLL_S = 0.01
DRAW_EVERY_S = 0.25
PATIENCE_S = 30.0
NEUTRAL = 3.0
REMARKS = 3
FIRST_SCENE, LAST_SCENE, REPLY_EVERY = 0.25, 0.6, 0.08
"""Shares of the show: the protagonist's scenes begin and end, then a reply every now and then."""
