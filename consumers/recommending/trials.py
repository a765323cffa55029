"""Which versions of adapters are compared on live events, and which of that is one trial.

Towers come and go while an adapter is tried or watched. That goes on being the same trial: a bet on
the next event stays fair whichever towers serve it, so evidence of before counts. Knows records of
the `adapters` topic, no evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_rec.adapters.life import AdapterVersion, LivePointer, pointed

Versions = Mapping[int, AdapterVersion]
Pointers = Mapping[str, LivePointer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Two versions to be compared on the events of one scenario, since a change of state.

    A `shadow` asks whether the version is better than what serves; a `watch` whether what serves
    has become worse than what served before its adapter. `version` and `against` are compared now;
    `adapter` and `rival`, by which texts are read, stay.
    """

    kind: str
    scenario: str
    adapter: int
    rival: int
    since: int  # ms
    version: int = field(compare=False)
    against: int = field(compare=False)


def shadows(versions: Versions, pointers: Pointers) -> list[Trial]:
    """Return what is tried before it may serve."""
    found = []
    for record in versions.values():
        if record.state == "shadow":
            against = pointed(pointers, record.scenario)
            found.append(
                Trial(
                    kind=SHADOW,
                    scenario=record.scenario,
                    adapter=record.version,
                    rival=_texts(versions, against),
                    since=record.changed_at,
                    version=record.version,
                    against=against,
                )
            )
    return found


def watches(versions: Versions, pointers: Pointers) -> list[Trial]:
    """Return what is watched while it serves: an adapter, or a tower of the frozen model."""
    found = []
    for pointer in pointers.values():
        if not pointer.version or pointer.version == pointer.previous:
            continue
        adapter = versions.get(_texts(versions, pointer.version))
        found.append(
            Trial(
                kind=WATCH,
                scenario=pointer.scenario,
                adapter=adapter.version if adapter else pointer.version,
                rival=_texts(versions, pointer.previous) if adapter else pointer.previous,
                since=adapter.created_at if adapter else pointer.changed_at,
                version=pointer.version,
                against=pointer.previous,
            )
        )
    return found


def _texts(versions: Versions, version: int) -> int:
    """Return the adapter by which a version reads texts; 0 for the frozen model."""
    record = versions.get(version)
    return record.text_version if record is not None else 0


SHADOW, WATCH = "shadow", "watch"
