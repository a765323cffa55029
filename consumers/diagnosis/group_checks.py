"""Does the recommenders' group get on?"""

from collections.abc import Iterator

from kafka import TopicPartition

from consumers.diagnosis.finding import Finding, few, note, wrong
from consumers.diagnosis.look import Look, Moment


def group_gets_on(look: Look) -> Iterator[Finding]:
    """Look twice at the members and the committed offsets of the group."""
    if not look.sources:
        return
    first, last = look.watched
    group, group_id = last.group, look.settings.group_id
    if group.get("error"):
        text = f"the group cannot be seen: {group['error']}"
        yield wrong("group_hidden", group_id, text, "give this user Describe on the group")
        return
    members, state = len(group["members"]), group.get("group_state") or group.get("state")
    lag = _lags(look, last)
    waiting = sum(lag.values())
    if not members:
        text = f"no recommender is in the group (state {state}); {waiting} events wait"
        mend = "start one: `stream-rec up` or `stream-rec recommender`; if one runs, read its log"
        yield wrong("no_recommender", group_id, text, mend)
        return
    partitions = max((look.counts[name] for name in look.sources), default=0)
    if members > partitions:
        text = f"{members} members for {partitions} partitions: {members - partitions} do nothing"
        mend = "run at most as many recommenders as there are partitions"
        yield note("idle_members", group_id, text, mend)
    before = _lags(look, first)
    stuck = [
        place
        for place, count in lag.items()
        if count
        and before.get(place)
        and last.committed.get(place, -1) == first.committed.get(place, -1)
        and look.has_record(place, last.committed.get(place, 0))
    ]
    if stuck and state not in RESTING:
        yield note("rebalancing", group_id, f"the group is in state {state}", "look again in 30 s")
    elif stuck:
        seconds = (last.at_ms - first.at_ms) / 1000
        grew = sum(last.ends[place] - first.ends[place] for place in stuck)
        text = (
            f"{members} members, but for {seconds:.0f} s nothing was committed of "
            f"{few([f'{place.topic}-{place.partition}' for place in stuck])}: "
            f"{sum(lag[place] for place in stuck)} events wait, {grew} came meanwhile"
        )
        mend = (
            "read the log of the worker that owns them; `/livez` tells whether its loop ticks; one "
            "that is stopped or hangs is replaced when it is killed; see also hanging transactions"
        )
        yield wrong("stuck_consumer", group_id, text, mend)


def _lags(look: Look, moment: Moment) -> dict[TopicPartition, int]:
    """Return how many records each event partition has beyond what is committed."""
    return {
        place: max(0, end - max(0, moment.committed.get(place, 0)))
        for place, end in moment.ends.items()
        if place.topic in look.sources
    }


RESTING = frozenset({"Stable", "STABLE", "stable"})
