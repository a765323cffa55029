"""Two of River's drift detectors, without the rest of its package.

`river.drift` imports a reader of scikit-learn's data sets and a test of SciPy's beside its
detectors, three seconds of every start of every program, for what nobody here uses. So the two
modules are taken from the package without running what it says of itself.
"""

import importlib
import importlib.util
import sys
from types import ModuleType


def _one_by_one(package: str, *names: str) -> list[ModuleType]:
    """Import modules of a package that is not imported itself, and stays so."""
    if package in sys.modules:
        return [importlib.import_module(f"{package}.{name}") for name in names]
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(package)
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        return [importlib.import_module(f"{package}.{name}") for name in names]
    finally:
        del sys.modules[package]


_adwin, _page_hinkley = _one_by_one("river.drift", "adwin", "page_hinkley")
ADWIN, PageHinkley = _adwin.ADWIN, _page_hinkley.PageHinkley
