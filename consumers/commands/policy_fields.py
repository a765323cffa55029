"""Every field of a policy: what it may hold, its default, and what it does, for `policy fields`.

Types, defaults and bounds are read from `stream_rec/policy.py`; the words are here, and a test
holds both together.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from msgspec import inspect as kinds
from rich.table import Table

from consumers import terminal
from stream_rec.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field; `path` as in a policy, `default` as JSON, `holds` in words."""

    path: str
    holds: str
    default: str
    words: str


def show(*, as_json: bool = False) -> None:
    """Print every field."""
    found = list(policy_fields())
    if as_json:
        terminal.results.print_json(json.dumps([asdict(field) for field in found]))
        return
    table = Table("field", "default", "holds", "what it does", box=None)
    for field in found:
        table.add_row(field.path, field.default, field.holds, field.words)
    terminal.results.print(table)


def policy_fields() -> Iterator[Field]:
    """Yield every field of a policy in its order."""
    yield from _of(kinds.type_info(Policy), "")


def _of(struct: Any, above: str) -> Iterator[Field]:
    for field in struct.fields:
        path = f"{above}{field.encode_name}"
        inner = _struct_in(field.type)
        if inner is not None:
            yield from _of(inner, f"{path}.")
            continue
        yield Field(
            path=path, holds=_holds(field.type), default=_default(field), words=WORDS.get(path, "")
        )
        for rule in _structs_in_list(field.type):
            yield from _of(rule, f"{path}[{rule.tag}].")


def _struct_in(kind: Any) -> Any:
    return kind if isinstance(kind, kinds.StructType) else None


def _structs_in_list(kind: Any) -> list[Any]:
    item = getattr(kind, "item_type", None)
    options = item.types if isinstance(item, kinds.UnionType) else (item,)
    return [option for option in options if isinstance(option, kinds.StructType)]


def _default(field: Any) -> str:
    if field.default is not msgspec.NODEFAULT:
        return json.dumps(msgspec.to_builtins(field.default))
    if field.default_factory is not msgspec.NODEFAULT:
        return json.dumps(msgspec.to_builtins(field.default_factory()))
    return "required"


def _holds(kind: Any) -> str:
    match kind:
        case kinds.UnionType():
            return " or ".join(_holds(option) for option in kind.types)
        case kinds.NoneType():
            return "null"
        case kinds.BoolType():
            return "true or false"
        case kinds.LiteralType():
            return ", ".join(json.dumps(value) for value in kind.values)
        case kinds.IntType() | kinds.FloatType():
            name = "whole number" if isinstance(kind, kinds.IntType) else "number"
            return f"{name} {_bounds(kind)}".strip()
        case kinds.StrType():
            return f"text of {kind.min_length or 0} to {kind.max_length or '…'} characters"
        case kinds.DictType():
            return f"{_holds(kind.value_type)} by name"
        case kinds.VarTupleType() | kinds.ListType():
            least, most = kind.min_length or 0, kind.max_length
            inner = "rules" if _structs_in_list(kind) else _holds(kind.item_type)
            return f"{least} to {most} of: {inner}"
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _bounds(kind: Any) -> str:
    parts = []
    for sign, bound in ((">", kind.gt), ("≥", kind.ge), ("<", kind.lt), ("≤", kind.le)):
        if bound is not None:
            parts.append(f"{sign} {bound:,}".replace(",", " "))
    return ", ".join(parts)


WHERE = {
    "category": "Items of this category.",
    "tag": "Items with this tag.",
    "brand": "Items of this brand.",
    "item_id": "This one item.",
    "available": "Items that are available, or that are not.",
    "price_above": "Items that cost more than this.",
    "price_below": "Items that cost less than this.",
    "older_than_days": "Items published longer ago than this.",
    "newer_than_days": "Items published since then.",
}
WORDS: dict[str, str] = {
    "list.size": "How many items a list has.",
    "list.min_interval_ms": "At most one list a user in this time; what came meanwhile is shown by "
    "the next. A list made wrong by a rule, a withdrawal or expiry waits half a minute at most. "
    "Raise it when events come faster than lists can be made.",
    "list.refresh_s": "No list of a user active in the last day gets older than this, even when "
    "nothing happens to that user. Low values cost capacity.",
    "list.diversity": "0 ranks by score alone; towards 1 the items of a list become unlike one "
    "another. .2 to .4 takes out near copies.",
    "list.exploration": "Share of places that may show a little-known item instead; what is "
    "clicked there is learned from. Each item says its propensity.",
    "list.expires_s": "How long a list is good for: each says its `expires_at`, after which "
    "readers show that of `*`. An expired list of a user active in the last day counts as wrong "
    "and is made again within a minute; others wait for their user.",
    "list.exclude.consumed": "Never show what the user has taken. Turn it off where users take "
    "things again.",
    "list.exclude.disliked": "Never show what the user has refused or rated badly.",
    "list.exclude.cooldown_days": "With `consumed`: what was taken longer ago may be shown again; "
    "as far as the newest 64 events of the user tell.",
    "signals.weights": "What an event of each type counts, also in the past of every user. Below 0 "
    "pushes away what the item resembles; `other` is for types that are not named.",
    "signals.late_days": "Events older than the newest of their partition by more than this have "
    "no effect (outcome `late`). null: none is late.",
    "signals.rating_neutral": "The rating that says neither good nor bad; two steps off is all. "
    "What is rated below it counts for its user alone.",
    "signals.review_text": "Whether the words of reviews count beside their ratings.",
    "signals.topics": "Tags to look for in reviews; none: the catalogue's own tags and categories.",
    "signals.negative_review": "After a bad review: offer alternatives that meet the same need, or "
    "keep away from what resembles the item.",
    "profile.history": "How many of a user's newest events are read.",
    "profile.half_life_events": "After so many newer events a signal counts half; one value for a "
    "fast and one for a slow taste.",
    "profile.half_life_days": "And after so many days of event time.",
    "rules": "What operators rule, in order. All conditions of a `where` must hold; one about "
    "something that the catalogue does not say is not met.",
    **{f"rules[block].where.{name}": f"Never show: {what}" for name, what in WHERE.items()},
    **{f"rules[boost].where.{name}": f"Multiply: {what}" for name, what in WHERE.items()},
    "rules[boost].factor": "What the score is multiplied by; below 1 takes items down. Factors of "
    "several rules multiply.",
    "rules[pin].item_id": "The item to show.",
    "rules[pin].rank": "Where, from 1; what stands there moves down.",
    "rules[pin].until": "Until when, ISO 8601 or epoch; null for ever. Lists of idle users lose it "
    "within a minute after.",
    "adapter.method": "How one adapter follows from the last; `frozen` trains none.",
    "adapter.every_events": "A round of training after so many new events …",
    "adapter.every_s": "… or after so long, whichever comes first.",
    "adapter.on_drift": "… or when what is served stops fitting what users do.",
    "adapter.max_s": "A round takes no longer than this.",
    "adapter.rank": "Size of the adapter (LoRA rank): larger learns more, slower.",
    "adapter.learning_rate": "Of the adapter's training.",
    "adapter.replay_ratio": "Old events trained on for each new one: against forgetting.",
    "adapter.proximal_weight": "`proximal`: how strongly the new adapter is held near the last.",
    "adapter.gate.min_gain": "An adapter must be better by this on later events to go into shadow.",
    "adapter.gate.confidence": "How sure the comparison on live events must be to promote it.",
    "adapter.gate.shadow_events": "Live events compared at most before it is given up.",
    "adapter.gate.auto_rollback": "Go back when a promoted adapter turns out worse.",
    "intake.most_bad_share": "A topic of which more than this share of a minute's records is bad "
    "is paused, with an alert, instead of draining into the dead letters. 1 never pauses.",
    "intake.least_bad": "… and at least so many of them.",
    "intake.probe_s": "A paused topic is tried again this often.",
    "trust.tenure_events": "Users known for fewer events of the stream than about this are "
    "newcomers: what they say of an item reaches others only as far as established users bear it "
    "out. More than an attack lasts, less than a third of the log: where hardly anybody is "
    "established, all count. 0 trusts everybody alike. In the policy of * alone.",
    "trust.allowance": "Each item is allowed as many newcomers as so many events of established "
    "users would bring it; more lets new items rise faster, and attacks too.",
}
