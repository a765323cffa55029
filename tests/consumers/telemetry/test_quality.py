import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from consumers.telemetry.quality import Quality
from stream_rec.erasure import Erased, Marker
from stream_rec.events import Event
from stream_rec.items import Item
from stream_rec.policy import policy_of
from stream_rec.profiles.profile import Profile, fold
from stream_rec.ranking.reranker import Reranker
from stream_rec.replica import Replica
from stream_rec.step import Step
from stream_rec.toplist import Lineage, ListedItem, Reason, TopList

POLICY = policy_of({})


class Watched:
    """A replica of eight items, of which i0 to i3 are taken often, and its figures."""

    def __init__(self, *, slow_s: float = 15.0) -> None:
        self.replica = Replica()
        for number in range(8):
            self.replica.put_item(Item(item_id=f"i{number}"))
        self.replica.statistics.reserve()
        self.replica.statistics.counts[:4] = (40, 10, 5, 5)
        self.registry = CollectorRegistry()
        self.quality = Quality(self.replica, self.registry, slow_s=slow_s)
        self.quality.look({}, 0)

    def publish(self, user: str, *items: str, events: int = 1, result: Step | None = None) -> None:
        listed = tuple(
            ListedItem(
                item_id=item,
                rank=rank,
                score=0.1,
                sources={"text": 0.75, "popularity": 0.25},
                reason=Reason(kind="popular", text="…"),
            )
            for rank, item in enumerate(items, 1)
        )
        lineage = Lineage(
            last_event_id=None,
            events_applied=events,
            offsets={},
            adapter_version=0,
            policy_version=-1,
            catalogue_items=8,
            encoded_items=8,
        )
        made = TopList(
            recommendation_id="r",
            user_id=user,
            scenario="default",
            version=1,
            generated_at=0,
            tier="popular",
            items=listed,
            lineage=lineage,
        )
        self.quality.committed([(0, made)] if items else [], result)

    def take(self, user: str, item: str, profile: Profile | None = None) -> Step:
        """Say what a batch with one event came to; its facts are folded already."""
        row = self.replica.items.add(item)
        self.replica.statistics.reserve()
        self.replica.statistics.counts[row] += 1
        event = Event(event_id="e", event_type="click", user_id=user, item_id=item, timestamp=1)
        return Step(taken=[(profile, event, POLICY)])

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def profile_with(item: str) -> Profile:
    event = Event(event_id="x", event_type="click", user_id="u", item_id=item, timestamp=1)
    return fold(Profile("u"), event, topic=0, offset=0).profile


def test_an_event_is_judged_by_the_list_before_it_and_not_by_its_own(watched: Watched) -> None:
    watched.publish("u", "i0", "i5")
    taken = watched.take("u", "i0", profile_with("i7"))
    watched.publish("u", "i1", result=taken)
    assert watched.value("stream_rec_judged_events_total", user_segment="light") == 1
    assert watched.value("stream_rec_hits_total", user_segment="light") == 1
    assert watched.value("stream_rec_hits_by_item_total", item_segment="head") == 1
    watched.publish("u", result=watched.take("u", "i0", profile_with("i7")))
    assert watched.value("stream_rec_hits_total", user_segment="light") == 1


def test_an_item_counts_as_new_when_nobody_took_it_before_this_batch(watched: Watched) -> None:
    watched.publish("*", "i6", events=0)
    watched.publish("u", result=watched.take("u", "i6"))
    assert watched.value("stream_rec_judged_events_by_item_total", item_segment="new") == 1
    assert watched.value("stream_rec_hits_total", user_segment="new") == 1
    assert watched.value("stream_rec_drift_mean_ratio", signal="new_item_share") == 1.0


def test_what_the_list_may_not_show_again_is_not_judged(watched: Watched) -> None:
    watched.publish("u", "i1")
    watched.publish("u", result=watched.take("u", "i0", profile_with("i0")))
    assert watched.value("stream_rec_judged_events_total", user_segment="light") == 0


def test_places_and_experts_are_counted(watched: Watched) -> None:
    watched.publish("u", "i0", "i2", "i6", events=30)
    watched.quality.look({"oldest": 1_000, "middle": 4_000}, 5_000)
    assert watched.value("stream_rec_exposures_total", user_segment="heavy") == 3
    assert watched.value("stream_rec_exposures_by_item_total", item_segment="new") == 1
    assert watched.value("stream_rec_expert_share_ratio", expert="text") == 0.75


def test_spread_and_ages_are_looked_at_in_their_own_time() -> None:
    watched = Watched(slow_s=0.0)
    watched.publish("u", "i0", "i2")
    watched.quality.look({"oldest": 1_000, "middle": 4_000}, 5_000)
    assert watched.value("stream_rec_coverage_ratio") == 0.25
    assert watched.value("stream_rec_exposure_gini_ratio") == 0.75
    assert watched.value("stream_rec_list_age_seconds", which="oldest") == 4.0
    assert watched.value("stream_rec_list_age_seconds", which="middle") == 1.0


def test_an_event_of_a_user_who_was_forgotten_is_not_judged(watched: Watched) -> None:
    watched.publish("u", "i0")
    gone = Erased(marker=Marker(timestamp=1), scenarios=("default",))
    watched.quality.committed([], Step(erased={(0, "u"): gone}))
    watched.publish("u", result=watched.take("u", "i0", profile_with("i7")))
    assert watched.value("stream_rec_judged_events_total", user_segment="light") == 0


def test_rerankers_tell_what_they_weigh_and_how_far_they_went(watched: Watched) -> None:
    learned = Reranker()
    learned.weights = learned.weights * np.float32(1.5)
    learned.evidence = 12
    watched.replica.rerankers["default"] = learned
    watched.quality.look({}, 0)
    value = watched.value("stream_rec_reranker_learned_ratio", scenario="default")
    assert value == pytest.approx(0.5, abs=1e-4)
    assert watched.value("stream_rec_reranker_evidence_events", scenario="default") == 12
    weight = watched.value("stream_rec_reranker_weight", scenario="default", feature="linked")
    assert weight is not None
    assert watched.value("stream_rec_policy_version", scenario="default") == -1
    assert watched.value("stream_rec_adapter_version", scenario="default") == 0
