"""Which base model read the texts: vectors of two models never serve together.

Vectors name their maker by a fingerprint of base model, pooling and adapter version (that of
`language_model.vector_cache`, which the recommender must not import); adapters name the base model
by the hash of its files alone.
"""

from hashlib import blake2b


def text_model(base_model_hash: str, pooling: str, version: int = 0) -> str:
    """Return what vectors of a base model call their maker; version 0 is the frozen model."""
    text = "\x1f".join((base_model_hash, pooling, str(version)))
    return blake2b(text.encode(), digest_size=10).hexdigest()


def is_of(base_model_hash: str, model: str) -> bool:
    """Return whether frozen vectors made by `model` are those of a base model, however pooled.

    >>> is_of("ab12", text_model("ab12", "last")), is_of("ab12", text_model("cd34", "last"))
    (True, False)
    """
    return any(text_model(base_model_hash, pooling) == model for pooling in _POOLINGS)


_POOLINGS = ("mean", "last", "first")
