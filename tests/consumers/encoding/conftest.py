"""The tiny causal model of the language model's tests, to be read with and without an adapter."""

from tests.language_model.conftest import causal, causal_folder

__all__ = ["causal", "causal_folder"]
