"""docs/tuning.md tells of every field of a policy, and every bound is held with its path.

`python tests/consumers/commands/test_policy_fields.py` writes the page anew.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY))

from consumers.commands.policy_fields import WORDS, Field, policy_fields  # noqa: E402
from stream_rec.errors import InvalidPolicy  # noqa: E402
from stream_rec.policy import policy_of  # noqa: E402

DOCUMENT = REPOSITORY / "docs" / "tuning.md"
BOUND = re.compile(r"([>≥<≤]) ([\d. -]+?)(?=,|$| or| by)")
HEADER = """# Tuning

What operators change while the engine runs is a policy: `stream-rec policy set '{"list":
{"diversity": 0.3}}'`. Every field has a default. A scenario's policy is laid over that of `*`,
which is laid over the defaults: objects merge by key, arrays and scalars replace; `policy set null`
takes a layer away. A policy out of bounds is refused whole, with the path and the bound, and the
old one stays.

| you want | change |
|---|---|
| to see first what a change does | `replay --since 2h --policy live --policy new.json` |
| fewer near copies in a list | `list.diversity` .2 to .4 |
| new items to get a chance | `list.exploration` .05 to .1, and a `boost` with `newer_than_days` |
| fewer lists, more events a second | `list.min_interval_ms` 1000 or more |
| lists that follow the last clicks more closely | a smaller first `profile.half_life_events` |
| users to be shown again what they took | `list.exclude.consumed` false, or `cooldown_days` |
| never to show something | a rule that blocks; it reaches idle users within a minute |
| to sell something until Sunday | a pin with `until`, or a `boost` |
| attacks by new accounts held up longer | `trust.tenure_events`, up to a third of the log |
| to go back | `policy rollback`; `policy history` knows every policy that was ever accepted |

Rules and ends are read by the clock on the wall; when a log more than seven days old is replayed,
by the time of that log. A list made wrong by a rule, a withdrawn or sold-out item or the end of a
pin, or one that has expired, is made again within 60 s for users active in the last day: first
those known to show what they must not, then all that are older than the change. That is
rate-limited; a worker whose users of a day are more than it can make lists for in a minute needs
help from more workers.

## Every field

`stream-rec policy fields` prints the same. `rules[block]` stands for a rule with `"do": "block"`.

| field | default | holds | what it does |
|---|---|---|---|
"""


def text() -> str:
    """What the page should say."""
    rows = [
        f"| `{field.path}` | {_default(field)} | {field.holds} | {field.words} |"
        for field in policy_fields()
    ]
    return HEADER + "\n".join(rows) + "\n"


def _default(field: Field) -> str:
    if field.path == "signals.weights":
        weights = json.loads(field.default)
        return ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    return f"`{field.default}`"


def test_the_page_tells_of_every_field_with_its_default_and_bounds() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text()


def test_every_field_has_words_and_no_words_are_without_a_field() -> None:
    assert set(WORDS) == {field.path for field in policy_fields()}


def test_the_command_prints_every_field(stream_rec: Callable[..., Any]) -> None:
    found = json.loads(stream_rec("policy", "fields", "--json").out)
    assert {field["path"] for field in found} == set(WORDS)
    assert found[0] == {
        "path": "list.size",
        "holds": "whole number ≥ 1, ≤ 200",
        "default": "10",
        "words": "How many items a list has.",
    }
    assert "list.size" in stream_rec("policy", "fields").out


def bounded() -> Iterator[tuple[Field, str, float]]:
    for field in policy_fields():
        for sign, bound in BOUND.findall(field.holds):
            yield field, sign, float(bound.replace(" ", ""))


def patch_of(path: str, value: object) -> dict[str, Any]:
    """Return the smallest policy that sets one field."""
    rule = re.match(r"rules\[(\w+)\]\.(.*)", path)
    if rule:
        kind, below = rule.groups()
        needed: dict[str, Any] = {
            "block": {"where": {"tag": "t"}},
            "boost": {"where": {"tag": "t"}, "factor": 2},
            "pin": {"item_id": "i", "rank": 1},
        }[kind]
        return {"rules": [{"do": kind, **merged(needed, nested(below, value))}]}
    if path == "signals.weights":
        return {"signals": {"weights": {"click": value}}}
    if path == "profile.half_life_events":
        return {"profile": {"half_life_events": [value]}}
    return nested(path, value)


def nested(path: str, value: object) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if both else value
    return found


@pytest.mark.parametrize(
    ("field", "sign", "bound"),
    list(bounded()),
    ids=lambda part: part.path if isinstance(part, Field) else str(part),
)
def test_every_bound_is_held_and_a_refusal_names_path_and_bound(
    field: Field, sign: str, bound: float
) -> None:
    inside = bound if sign in "≥≤" else (bound + 0.001 if sign == ">" else bound - 0.001)
    outside = bound if sign in "<>" else (bound - 1 if sign == "≥" else bound + 1)
    whole = "whole" in field.holds
    policy_of(patch_of(field.path, int(inside) if whole else inside))
    with pytest.raises(InvalidPolicy) as refused:
        policy_of(patch_of(field.path, int(outside) if whole else outside))
    last = field.path.rpartition(".")[2]
    assert "- at `$." in str(refused.value)
    assert last in str(refused.value)
    assert re.search(rf"[<>]=? -?{f'{abs(bound):g}'[:1]}", str(refused.value))


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"lst": {}}, "unknown field `lst`"),
        ({"list": {"sizes": 3}}, "at `$.list`"),
        ({"list": {"size": "3"}}, "Expected `int`, got `str` - at `$.list.size`"),
        ({"signals": {"weights": {"click": 11}}}, "<= 10.0 - at `$.signals.weights.click`"),
        ({"rules": [{"do": "pin", "item_id": "i", "rank": 0}]}, ">= 1 - at `$.rules[0].rank`"),
        ({"rules": [{"do": "hide"}]}, "Invalid value 'hide' - at `$.rules[0].do`"),
        ({"rules": [{"do": "block"}]}, "missing required field `where` - at `$.rules[0]`"),
        ({"rules": [{"do": "block", "where": {}}]}, "one condition, for a rule on every item"),
        (
            {"rules": [{"do": "pin", "item_id": "i", "rank": 1, "until": "soon"}]},
            "$.rules[0].until",
        ),
    ],
)
def test_a_refusal_says_where_and_why(patch: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        policy_of(patch)
    assert said in str(refused.value)


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
