"""What operators may change while the engine runs: every field, its default and its bounds.

A scenario's policy is laid over that of `*`, which is laid over the defaults. Knows no topics.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stream_rec import record_fields as fields
from stream_rec.errors import InvalidPolicy, InvalidRecord

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Weight = Annotated[float, Meta(ge=-10.0, le=10.0)]
Label = Annotated[str, Meta(min_length=1, max_length=256)]
Price = Annotated[float, Meta(ge=-1e15, le=1e15)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Exclude(_Part, frozen=True):
    """What a list never shows."""

    consumed: bool = True
    disliked: bool = True
    cooldown_days: Annotated[float, Meta(gt=0, le=36500)] | None = None


class ListPolicy(_Part, frozen=True):
    """Length and freshness of lists, and how much of them is spent on variety."""

    size: Annotated[int, Meta(ge=1, le=200)] = 10
    min_interval_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    refresh_s: Annotated[int, Meta(ge=1, le=2_592_000)] = 900
    diversity: Share = 0.0
    exploration: Share = 0.0
    expires_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86400
    exclude: Exclude = Exclude()


DEFAULT_WEIGHTS = {
    "impression": 0.0, "view": 0.3, "click": 1.0, "like": 2.0, "cart": 2.5, "purchase": 3.0,
    "bookmark": 1.5, "dislike": -2.0, "hide": -2.0, "skip": -0.2, "review": 1.0, "other": 1.0,
}  # fmt: skip


class Signals(_Part, frozen=True):
    """What an event is worth."""

    weights: dict[Label, Weight] = msgspec.field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    late_days: Annotated[float, Meta(gt=0, le=36500)] | None = None
    rating_neutral: Annotated[float, Meta(ge=-1e6, le=1e6)] = 3.0
    review_text: bool = True
    topics: Annotated[tuple[Label, ...], Meta(max_length=200)] = ()
    negative_review: Literal["alternatives", "avoid"] = "alternatives"

    def weight(self, event_type: str) -> float:
        """Return the weight of an event type; an unnamed one counts as `other`."""
        weight = self.weights.get(event_type)
        return self.weights["other"] if weight is None else weight


class ProfilePolicy(_Part, frozen=True):
    """How much of a user's past is read."""

    history: Annotated[int, Meta(ge=1, le=64)] = 50
    half_life_events: Annotated[
        tuple[Annotated[float, Meta(gt=0, le=1000)], ...], Meta(min_length=1, max_length=4)
    ] = (5.0, 30.0)
    half_life_days: Annotated[float, Meta(gt=0, le=36500)] = 90.0


class Where(_Part, frozen=True):
    """Which items a rule means: all conditions given must hold."""

    category: Label | None = None
    tag: Label | None = None
    brand: Label | None = None
    item_id: Label | None = None
    available: bool | None = None
    price_above: Price | None = None
    price_below: Price | None = None
    older_than_days: Annotated[float, Meta(ge=0, le=36500)] | None = None
    newer_than_days: Annotated[float, Meta(ge=0, le=36500)] | None = None


class Block(_Part, frozen=True, tag_field="do", tag="block"):
    """Never show the items meant."""

    where: Where


class Boost(_Part, frozen=True, tag_field="do", tag="boost"):
    """Multiply the score of the items meant."""

    where: Where
    factor: Annotated[float, Meta(gt=0, le=1000)]


class Pin(_Part, frozen=True, tag_field="do", tag="pin"):
    """Show one item at one rank, until a time."""

    item_id: Label
    rank: Annotated[int, Meta(ge=1, le=200)]
    until: str | int | None = None

    @property
    def until_ms(self) -> int | None:
        """The end in epoch milliseconds."""
        return None if self.until is None else fields.milliseconds(self.until, "until")


class IntakePolicy(_Part, frozen=True):
    """When an event topic is paused for its bad records; read from the policy of `*` alone.

    More than `most_bad_share` of a minute's records, and at least `least_bad` of them: then the
    topic is left alone and tried every `probe_s`. A share of 1 never pauses.
    """

    most_bad_share: Share = 0.5
    least_bad: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    probe_s: Annotated[float, Meta(ge=1, le=86400)] = 30.0


class Trust(_Part, frozen=True):
    """How much of what newcomers say reaches others; read from the policy of `*` alone.

    Who has been known for fewer than about `tenure_events` events of the stream is a newcomer; 0
    trusts everybody alike. Each item is allowed as many newcomers as `allowance` events of
    established users would bring, and more as they take it.
    """

    tenure_events: Annotated[float, Meta(ge=0, le=1e9)] = 6000.0
    allowance: Annotated[float, Meta(ge=0, le=1e6)] = 1.0


class Gate(_Part, frozen=True):
    """When an adapter may serve."""

    min_gain: Annotated[float, Meta(ge=-1.0, le=1.0)] = 0.0
    confidence: Annotated[float, Meta(ge=0.5, lt=1.0)] = 0.95
    shadow_events: Annotated[int, Meta(ge=1, le=10_000_000)] = 2000
    auto_rollback: bool = True


class AdapterPolicy(_Part, frozen=True):
    """When and how the language model's adapter learns."""

    method: Literal["proximal", "long_short", "fine_tune", "frozen"] = "proximal"
    every_events: Annotated[int, Meta(ge=1, le=100_000_000)] = 5000
    every_s: Annotated[float, Meta(gt=0, le=31_536_000)] | None = None
    on_drift: bool = True
    max_s: Annotated[float, Meta(gt=0, le=86400)] = 600
    rank: Annotated[int, Meta(ge=1, le=256)] = 16
    learning_rate: Annotated[float, Meta(gt=0, le=1.0)] = 0.001
    replay_ratio: Annotated[float, Meta(ge=0, le=100)] = 1.0
    proximal_weight: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    gate: Gate = Gate()


class Policy(_Part, frozen=True, rename={"toplist": "list"}):
    """Everything operators steer in one scenario."""

    toplist: ListPolicy = ListPolicy()
    signals: Signals = Signals()
    profile: ProfilePolicy = ProfilePolicy()
    rules: Annotated[tuple[Block | Boost | Pin, ...], Meta(max_length=1000)] = ()
    adapter: AdapterPolicy = AdapterPolicy()
    intake: IntakePolicy = IntakePolicy()
    trust: Trust = Trust()


class EffectivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario's policy and the newest accepted offset among its layers (-1: defaults alone)."""

    policy: Policy
    version: int


def parse_policy(value: bytes | None) -> dict[str, Any]:
    """Read and validate one layer of policy; return it as it was written.

    Raises:
        InvalidPolicy: with the path and the bound of what is wrong.

    >>> parse_policy(b'{"list": {"size": 0}}')
    Traceback (most recent call last):
    stream_rec.errors.InvalidPolicy: Expected `int` >= 1 - at `$.list.size`
    """
    if value is not None and len(value) > MAX_PATCH_BYTES:
        msg = f"{len(value)} bytes exceed the bound of {MAX_PATCH_BYTES}"
        raise InvalidPolicy(msg)
    try:
        patch = fields.decode_object(value)
    except InvalidRecord as error:
        raise InvalidPolicy(error.reason) from error
    policy_of(patch)
    return patch


def policy_of(*layers: Mapping[str, Any]) -> Policy:
    """Lay the layers over the defaults, later ones on top.

    Raises:
        InvalidPolicy: with the path and the bound of what is wrong.
    """
    merged: dict[str, Any] = {"signals": {"weights": DEFAULT_WEIGHTS}}
    for layer in layers:
        merged = laid_over(merged, layer)
    try:
        policy = msgspec.convert(merged, Policy)
        for number, rule in enumerate(policy.rules):
            _check_rule(rule, f"$.rules[{number}]")
    except msgspec.ValidationError as error:
        raise InvalidPolicy(_named(str(error), merged)) from error
    except InvalidRecord as error:
        raise InvalidPolicy(error.reason) from error
    return policy


def _check_rule(rule: Block | Boost | Pin, path: str) -> None:
    """Refuse what types alone let pass: a pin without an end in time, a rule on every item."""
    if isinstance(rule, Pin):
        if rule.until is not None:
            fields.milliseconds(rule.until, f"`{path}.until`")
    elif rule.where == Where():
        msg = f"Expected at least one condition, for a rule on every item - at `{path}.where`"
        raise InvalidPolicy(msg)


def _named(message: str, merged: Mapping[str, Any]) -> str:
    """Put the name of the weight meant into a message that says only that there is one."""
    anonymous = "$.signals.weights[...]"
    if anonymous not in message:
        return message
    for name, value in merged["signals"]["weights"].items():
        try:
            msgspec.convert(value, Weight)
        except msgspec.ValidationError:
            return message.replace(anonymous, f"$.signals.weights.{name[:80]}")
    return message


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one layer over another: objects merge by key; arrays and scalars replace."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[name] = laid_over(old, value) if both else value  # type: ignore[arg-type]
    return merged


class Policies:
    """The accepted layers by scenario, and the effective policy of each scenario."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[dict[str, Any], int]] = {}
        self._effective: dict[str, EffectivePolicy] = {}

    def put(self, scenario: str, offset: int, patch: dict[str, Any] | None) -> None:
        """Take an accepted layer; None, a tombstone, gives way to the layer below.

        Raises:
            InvalidPolicy: the layer is not valid; nothing changes.
        """
        if patch is None:
            self._layers.pop(scenario, None)
        else:
            policy_of(patch)
            self._layers[scenario] = (patch, offset)
        self._effective.clear()

    def effective(self, scenario: str) -> EffectivePolicy:
        """Return the policy of a scenario; any name has one."""
        found = self._effective.get(scenario)
        if found is None:
            names = dict.fromkeys(("*", scenario))
            layers = [self._layers[name] for name in names if name in self._layers]
            version = max((offset for _, offset in layers), default=-1)
            found = EffectivePolicy(
                policy=policy_of(*(patch for patch, _ in layers)), version=version
            )
            if len(self._effective) < _MAX_CACHED:
                self._effective[scenario] = found
        return found

    def layers(self) -> dict[str, tuple[dict[str, Any], int]]:
        """Return every accepted layer with its offset, by scenario."""
        return dict(self._layers)


# An accepted policy is written again, with who and when, and must fit a record of the broker.
MAX_PATCH_BYTES = 262_144
_MAX_CACHED = 10_000
