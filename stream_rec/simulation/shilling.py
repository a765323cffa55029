"""Shilling: users who are there only to push one item up, or down, among honest ones.

The four profiles of the literature (Lam and Riedl, "Shilling recommender systems for fun and
profit", WWW 2004; Mobasher et al., "Toward trustworthy recommender systems", TOIT 2007), as events:
every attacker has filler items, as many as an honest user has on average, and the target among
them. Pure: what comes out depends on the stream, the attack and its seed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

Record = dict[str, Any]
Profile = Literal["random", "average", "bandwagon", "nuke", "flood", "crowd"]


WINDOW = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`share` of the honest users' number attack `target`, within the last `window` of the stream.

    random: fillers at random. average: fillers as often as honest users take them, rated as they
    rate them. bandwagon: half of the fillers are the best sellers. nuke: as average, the target
    rated worst and reviewed badly. flood: one user alone, who sends as many events as all the
    others of a random attack would, every second one on the target. crowd: as average, without the
    target: new users who want nothing, whose effect is that of any users.
    """

    profile: Profile
    target: str
    share: float = 0.01
    window: float = WINDOW
    seed: int = 0


PREFIX = "shill-"


def attacked(stream: Sequence[Record], attack: Attack) -> list[Record]:
    """Return a stream in order of time with the attackers' events among those of its last part."""
    rng = Random(f"{attack.profile} {attack.seed}")
    counts = Counter(record["item_id"] for record in stream)
    honest = {record["user_id"] for record in stream}
    attackers = max(1, round(attack.share * len(honest)))
    fillers = max(1, round(len(stream) / len(honest)) - 1)
    first = int(len(stream) * (1.0 - attack.window))
    spots: dict[int, list[Record]] = {}
    for number in range(attackers):
        chosen = _items(rng, counts, attack, fillers)
        user = "flood" if attack.profile == "flood" else number
        at = sorted(rng.randrange(first, len(stream)) for _ in chosen)
        for order, (spot, item_id) in enumerate(zip(at, chosen, strict=True)):
            record = {
                "event_id": f"{PREFIX}{attack.profile}-{number}-{order}",
                "user_id": f"{PREFIX}{user}",
                "item_id": item_id,
                "timestamp": stream[spot]["timestamp"],
                **_said(attack, item_id),
            }
            spots.setdefault(spot, []).append(record)
    mixed: list[Record] = []
    for spot, record in enumerate(stream):
        mixed.append(record)
        mixed += spots.get(spot, ())
    return mixed


def _items(rng: Random, counts: Counter[str], attack: Attack, fillers: int) -> list[str]:
    """Return the items of one attacker, the target at a place by chance."""
    known = sorted(counts)
    if attack.profile == "flood":
        return [attack.target if n % 2 else rng.choice(known) for n in range(fillers + 1)]
    if attack.profile in ("average", "nuke", "crowd"):
        chosen = rng.choices(known, [counts[item] for item in known], k=fillers)
    else:
        chosen = [rng.choice(known) for _ in range(fillers)]
    if attack.profile == "bandwagon":
        best = [item for item, _ in counts.most_common(10)]
        chosen[: fillers // 2 + 1] = [
            rng.choice(best) for _ in range(min(fillers, fillers // 2 + 1))
        ]
    target = rng.choice(known) if attack.profile == "crowd" else attack.target
    chosen.insert(rng.randrange(len(chosen) + 1), target)
    return chosen


def _said(attack: Attack, item_id: str) -> Record:
    if item_id != attack.target:
        return {"event_type": "click"}
    if attack.profile == "nuke":
        return {"event_type": "review", "rating": 1, "text": "Terrible, it broke. Do not buy."}
    return {"event_type": "review", "rating": 5, "text": "Great, it works perfectly. Love it."}
