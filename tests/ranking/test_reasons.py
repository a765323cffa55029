import pytest

from stream_rec.items import Item
from stream_rec.policy import Signals
from stream_rec.ranking import reasons
from stream_rec.ranking.alternatives import Complaint
from stream_rec.ranking.reasons import (
    EVIDENCE,
    KINDS,
    Listed,
    Past,
    Support,
    alternative_reason,
    name_of,
    past_of,
    reason,
    supports,
)
from stream_rec.replica import Replica
from tests.ranking.shop import busy_shop, happened, profile_of, shop

NOTHING = Support(-1, 0.0, -1, 0.0, -1, -1, -1)


@pytest.fixture(scope="module")
def replica() -> Replica:
    return busy_shop()


def past(replica: Replica, *did: dict[str, object]) -> Past:
    return past_of(profile_of(*did), Signals(), replica.items.row)


def listed(replica: Replica, item_id: str, **facts: float) -> Listed:
    known = {"behaviour": 0.0, "words": 0.0, "popular": 0.0, "age_ms": None, "seen": 0} | facts
    return Listed(row=replica.items.row(item_id), **known)  # type: ignore[arg-type]


def test_the_past_is_what_the_user_took_and_did_not_dislike_newest_first(
    replica: Replica,
) -> None:
    found = past(
        replica,
        happened("novel-1"),
        happened("novel-2", "review", rating=1),
        happened("novel-3", "dislike"),
        happened("novel-4", "review", rating=5),
        happened("unheard-of"),
        happened("novel-1", "purchase"),
    )
    names = [(did.item_id, did.event_type) for did in found.interactions]
    assert names == [("novel-1", "purchase"), ("novel-4", "review")]
    assert found.rows == [replica.items.row("novel-1"), replica.items.row("novel-4")]


def test_only_the_newest_items_are_looked_at(replica: Replica) -> None:
    found = past(replica, *(happened(f"novel-{number}") for number in range(12)))
    assert len(found.rows) == EVIDENCE
    assert found.interactions[0].item_id == "novel-11"


def test_nobodys_past_is_empty(replica: Replica) -> None:
    assert past_of(None, Signals(), replica.items.row) == Past([], [])


def test_support_finds_the_strongest_link_the_nearest_text_and_the_rarest_label(
    replica: Replica,
) -> None:
    found = past(replica, happened("kettle-0"), happened("monitor-3"), happened("novel-1"))
    rows = replica.items.rows(["monitor-4", "kettle-8"]).tolist()
    [[monitor, kettle]] = supports([rows], [found], replica)
    assert found.interactions[monitor.linked].item_id == "monitor-3"
    assert monitor.links >= 1.0
    assert found.interactions[monitor.alike].item_id == "monitor-3"
    assert monitor.likeness > 0.7
    assert found.interactions[kettle.alike].item_id == "kettle-0"
    kinds = (replica.catalogue.categories, replica.catalogue.tags, replica.catalogue.brands)
    assert kinds[kettle.kind].names[kettle.code] == "quiet"  # nine items; a kind has twelve
    assert found.interactions[kettle.akin].item_id == "kettle-0"


def test_links_and_likeness_agree_with_the_tables(replica: Replica) -> None:
    found = past(replica, happened("novel-2"), happened("kettle-4"))
    rows = list(range(36))
    [support] = supports([rows], [found], replica)
    matrix = replica.vectors["text"].matrix
    for row, entry in zip(rows, support, strict=True):
        links = [replica.statistics.links.row(source).get(row, 0) / 2048 for source in found.rows]
        assert entry.links == pytest.approx(max(*links, 0.0))
        cosines = [float(matrix[source] @ matrix[row]) for source in found.rows]
        assert entry.likeness == pytest.approx(max(*cosines, 0.0), abs=1e-5)


def test_lists_of_different_lengths_keep_their_own_evidence(replica: Replica) -> None:
    first, second = past(replica, happened("novel-2")), past(replica, happened("kettle-4"))
    nobody = past_of(None, Signals(), replica.items.row)
    rows = [[1, 2, 3], [], [30], [5, 6]]
    found = supports(rows, [first, second, nobody, second], replica)
    assert [len(part) for part in found] == [3, 0, 1, 2]
    assert found[0] == supports([rows[0]], [first], replica)[0]
    assert found[2][0] == NOTHING
    assert found[3] == supports([rows[3]], [second], replica)[0]


def test_a_shop_without_vectors_or_labels_has_no_support() -> None:
    replica = Replica()
    for name in ("a", "b"):
        replica.put_item(Item(item_id=name))
    replica.statistics.reserve()
    [[support]] = supports([[1]], [past(replica, happened("a"))], replica)
    assert support == NOTHING


@pytest.mark.parametrize(
    ("event_type", "kind", "verb"),
    [
        ("review", "because_you_reviewed", "reviewed"),
        ("purchase", "because_you_purchased", "purchased"),
        ("cart", "because_you_carted", "put in your cart"),
        ("like", "because_you_liked", "liked"),
        ("bookmark", "because_you_bookmarked", "bookmarked"),
        ("view", "because_you_viewed", "viewed"),
        ("click", "because_you_viewed", "looked at"),
        ("played", "because_you_chose", "chose"),
    ],
)
def test_a_link_is_told_by_what_the_user_did_with_the_other_item(
    replica: Replica, event_type: str, kind: str, verb: str
) -> None:
    did = past(replica, happened("novel-2", event_type))
    support = NOTHING._replace(linked=0, links=3.0)
    found = reason(listed(replica, "novel-3", behaviour=0.9), did, support, replica.catalogue)
    assert found.kind == kind
    said = f'Often chosen by those who chose "Plain novel 2", which you {verb}'
    assert (found.text, found.evidence) == (said, ("novel-2",))


def test_text_speaks_where_it_has_the_larger_share(replica: Replica) -> None:
    did = past(replica, happened("novel-2"))
    support = NOTHING._replace(linked=0, links=3.0, alike=0, likeness=0.8)
    item = listed(replica, "novel-3", behaviour=0.2, words=0.7)
    found = reason(item, did, support, replica.catalogue)
    assert found.text == 'Similar to "Plain novel 2", which you looked at'
    code = replica.catalogue.categories.code("novel")
    labelled = support._replace(akin=0, kind=0, code=code)
    found = reason(item, did, labelled, replica.catalogue)
    assert found.text == 'Also in "novel", similar to "Plain novel 2", which you looked at'


def test_a_weak_link_or_a_weak_likeness_is_no_reason(replica: Replica) -> None:
    did = past(replica, happened("novel-2"))
    support = NOTHING._replace(linked=0, links=0.4, alike=0, likeness=0.2)
    item = listed(replica, "novel-3", behaviour=0.5, words=0.4, popular=0.1, seen=9)
    assert reason(item, did, support, replica.catalogue) == reasons.POPULAR


def test_a_shared_label_speaks_unless_the_item_is_there_for_its_popularity(
    replica: Replica,
) -> None:
    did = past(replica, happened("novel-2"))
    support = NOTHING._replace(akin=0, kind=0, code=replica.catalogue.categories.code("novel"))
    item = listed(replica, "novel-3", popular=0.3, seen=9)
    found = reason(item, did, support, replica.catalogue)
    assert found.text == 'Also in "novel": "Plain novel 2", which you looked at'
    crowded = item._replace(popular=0.9)
    assert reason(crowded, did, support, replica.catalogue) == reasons.POPULAR


def test_an_item_taken_before_says_so(replica: Replica) -> None:
    did = past(replica, happened("novel-2", "purchase"))
    found = reason(listed(replica, "novel-2"), did, NOTHING, replica.catalogue)
    assert (found.kind, found.evidence) == ("again", ("novel-2",))
    assert found.text == "You purchased it before"


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"popular": 0.5, "seen": 3}, "popular_now"),
        ({"popular": 0.5, "seen": 1, "age_ms": 5}, "new_in_catalogue"),
        ({"popular": 0.5, "seen": 1}, "popular_now"),
        ({"popular": 0.5, "seen": 0}, "from_catalogue"),
        ({"age_ms": 86_400_000}, "new_in_catalogue"),
        ({"age_ms": -5}, "from_catalogue"),
        ({"age_ms": 31 * 86_400_000}, "from_catalogue"),
        ({}, "from_catalogue"),
    ],
)
def test_without_evidence_a_reason_claims_no_more_than_is_counted(
    replica: Replica, facts: dict[str, float], kind: str
) -> None:
    nobody = past_of(None, Signals(), replica.items.row)
    found = reason(listed(replica, "novel-3", **facts), nobody, NOTHING, replica.catalogue)
    assert (found.kind, found.evidence) == (kind, ())


@pytest.mark.parametrize(
    ("did", "why"),
    [
        (
            happened("novel-1", "review", rating=1, phrase="the end is missing"),
            'you wrote "the end is missing"',
        ),
        (happened("novel-1", "review", rating=1.5), "you rated it 1.5"),
        (happened("novel-1", "review", sentiment=-0.5), "your review of it was not a good one"),
        (happened("novel-1", "dislike"), "you disliked it"),
        (happened("novel-1", "hide"), "you hid it"),
        (happened("novel-1", "returned"), "you did not want it"),
    ],
)
def test_an_alternative_says_what_was_wrong_in_the_users_own_words(
    replica: Replica, did: dict[str, object], why: str
) -> None:
    row = replica.items.row("novel-1")
    complaint = Complaint(row, profile_of(did).history[0], 0)
    found = alternative_reason(complaint, name_of(row, replica.catalogue))
    assert found.text == f'An alternative to "Loud novel 1": {why}'
    assert (found.kind, found.evidence) == ("alternative_after_bad_review", ("novel-1",))


def test_an_item_is_called_by_its_title_shortened_or_by_its_id() -> None:
    replica = shop(1)
    row = replica.catalogue.put(Item(item_id="long", title="word " * 40))
    name = name_of(row, replica.catalogue)
    assert len(name) <= 60
    assert name.endswith("…")
    assert name_of(replica.catalogue.put(Item(item_id="i7")), replica.catalogue) == "i7"


def test_the_kinds_are_a_closed_set() -> None:
    fixed = (reasons.POPULAR, reasons.NEW, reasons.PINNED, reasons.FROM_CATALOGUE, reasons.EXPLORED)
    assert {found.kind for found in fixed} <= set(KINDS)
    assert {kind for kind, _ in reasons._ACTS.values()} <= set(KINDS)
    assert reasons._OTHER_ACT[0] in KINDS
