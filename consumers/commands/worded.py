"""The reasons of a list in a language model's words, where these hold against what is on record."""

from collections.abc import Mapping, Sequence

import msgspec

from stream_rec.items import Item
from stream_rec.profiles.profile import Profile
from stream_rec.ranking.wording import Worder, worded
from stream_rec.toplist import Reason, TopList


def worded_reasons(
    toplist: TopList, profile: Profile | None, items: Mapping[str, Item], say: Worder
) -> dict[str, str]:
    """Return the words by listed item; one whose words do not hold is not in it."""
    found = {}
    for entry in toplist.items:
        words = worded(_facts(entry.reason, profile, items), _named(entry.reason, items), say)
        if words is not None:
            found[entry.item_id] = words
    return found


def in_other_words(toplist: TopList, words: Mapping[str, str]) -> TopList:
    """Return a list whose reasons are worded where there are words; evidence and kinds stay."""
    entries = [
        msgspec.structs.replace(
            entry, reason=msgspec.structs.replace(entry.reason, text=words[entry.item_id])
        )
        if entry.item_id in words
        else entry
        for entry in toplist.items
    ]
    return msgspec.structs.replace(toplist, items=tuple(entries))


def _facts(reason: Reason, profile: Profile | None, items: Mapping[str, Item]) -> list[str]:
    """The reason as it stands, and what catalogue and profile hold of its evidence."""
    facts = [reason.text]
    for item_id in reason.evidence:
        if (item := items.get(item_id)) is not None:
            labels = ", ".join((*item.categories, *item.tags, *filter(None, (item.brand,))))
            facts.append(f'"{item.title or item_id}": {labels}')
        for past in profile.history if profile is not None else ():
            if past.item_id == item_id and past.phrase:
                facts.append(f'you wrote "{past.phrase}"')
    return facts


def _named(reason: Reason, items: Mapping[str, Item]) -> Sequence[str]:
    found = [items[item_id].title or item_id for item_id in reason.evidence if item_id in items]
    return found or list(reason.evidence)
