"""What a round learns on from, and which bundles and records may go.

Knows the memory, what is announced and what is stored; no rounds.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from consumers.training.announced import Announced
from consumers.training.memory import Memory
from stream_rec.adapters.checkpoint import list_versions, prune_checkpoints
from stream_rec.adapters.life import DISTILLED, AdapterVersion, version_key


class Succession:
    """The line of versions under one root of checkpoints."""

    def __init__(self, root: str) -> None:
        self._root = root

    def untainted(
        self, champion: AdapterVersion | None, memory: Memory, announced: Announced
    ) -> AdapterVersion | None:
        """Return what the next adapter starts from: never one that learned from an erased user."""
        version = champion.text_version if champion else 0
        if version == 0 or not _learned_from_erased(version, memory, announced):
            return champion
        while version and _learned_from_erased(version, memory, announced):
            pupils = memory.pupils.get(version)
            version = pupils.start if pupils else 0
        stored = [
            v
            for v in announced.versions.values()
            if v.text_version == version and v.version in list_versions(self._root, v.scenario)
        ]
        found = max(stored, key=lambda v: v.version, default=None) if version else None
        LOG.info(
            "what serves learned from an erased user: going on from %s",
            f"version {found.version}" if found else "the frozen model",
        )
        return found

    def prune(self, scenario: str, announced: Announced, running: Collection[int]) -> None:
        """Remove bundles that nothing needs; those that rounds write or read now stay."""
        adapters = sorted(
            v.version
            for v in announced.versions.values()
            if v.scenario == scenario and v.kind == "adapter"
        )
        kept = announced.kept(scenario) | set(adapters[-ADAPTERS_KEPT:])
        removed = prune_checkpoints(
            self._root, scenario, keep=BUNDLES_KEPT, promoted=kept, unfinished=running
        )
        if removed:
            LOG.debug("bundles removed: %s", removed)

    def readers(self, announced: Announced) -> set[int]:
        """Return the versions whose adapters read the texts of a bundle that is there."""
        scenarios = {v.scenario for v in announced.versions.values()}
        stored = {v for scenario in scenarios for v in list_versions(self._root, scenario)}
        return {v.text_version for v in announced.versions.values() if v.version in stored}


def old_towers(scenario: str, announced: Announced) -> list[bytes]:
    """Return keys of records of towers that came and went long ago."""
    kept = announced.kept(scenario)
    towers = [
        v
        for v in announced.versions.values()
        if v.scenario == scenario and v.kind == "tower" and v.version not in kept
    ]
    towers.sort(key=lambda v: v.version)
    return [version_key(scenario, v.version) for v in towers[:-TOWERS_TOLD]]


def _learned_from_erased(version: int, memory: Memory, announced: Announced) -> bool:
    """Whether an adapter did; one whose pupils are not known may have, unless it was distilled."""
    pupils = memory.pupils.get(version)
    if pupils is not None:
        return pupils.erased > 0
    made = announced.versions.get(version)
    return bool(memory.erased) and not (made is not None and made.method == DISTILLED)


LOG = logging.getLogger(__name__)
BUNDLES_KEPT = 3
ADAPTERS_KEPT = 3
TOWERS_TOLD = 20
