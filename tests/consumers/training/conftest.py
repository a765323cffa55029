"""The tiny causal model of the language model's tests, for programs that are real processes."""

from tests.language_model.conftest import causal, causal_folder

__all__ = ["causal", "causal_folder"]
