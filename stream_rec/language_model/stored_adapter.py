"""How an adapter lies in a checkpoint: the weights that serve, and what only training goes on from.

It does not know how adapters are trained.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from stream_rec.adapters.checkpoint import Checkpoint
from stream_rec.language_model.adapter import AdapterArrays
from stream_rec.language_model.adapter_methods import Method
from stream_rec.language_model.lesson import Trained
from stream_rec.language_model.scenario_tasks import SCENARIO_HEAD, as_arrays


def stored_adapter(trained: Trained) -> dict[str, NDArray[Any]]:
    """Return all arrays of an adapter that a checkpoint keeps."""
    aside = {f"{_SLOW}{k}": v for k, v in trained.slow.items()}
    aside |= {f"{_HEAD}{k}": v for k, v in trained.head.items()}
    return {**trained.arrays, **aside, **as_arrays(trained.scenario_heads)}


def served_adapter(checkpoint: Checkpoint | None) -> dict[str, NDArray[Any]]:
    """Return the weights by which a checkpoint reads texts, empty for the frozen model."""
    return _weights_served(checkpoint.adapter) if checkpoint else {}


def start_of(adapter: AdapterArrays, method: Method) -> AdapterArrays | None:
    """Return the weights of a checkpoint's adapter that training goes on from, None without any.

    Only `long_short` goes on from the slow ones: the other methods, from what was promoted.

    >>> start_of({"a": 1, "slow.a": 2}, "proximal"), start_of({"a": 1, "slow.a": 2}, "long_short")
    ({'a': 1}, {'a': 2})
    """
    slow = {k.removeprefix(_SLOW): v for k, v in adapter.items() if k.startswith(_SLOW)}
    return (slow if method == "long_short" else {}) or _weights_served(adapter) or None


def _weights_served(adapter: AdapterArrays) -> dict[str, NDArray[Any]]:
    return {name: array for name, array in adapter.items() if not _aside(name)}


def _aside(name: str) -> bool:
    """Say whether an array of a checkpoint's adapter is not what is served."""
    return name.startswith((_SLOW, _HEAD, SCENARIO_HEAD))


_SLOW = "slow."
_HEAD = "rating_head."
