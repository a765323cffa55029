from typing import get_args

import pytest

from stream_rec.adapters.text_model import is_of, text_model
from stream_rec.language_model.backbone import Pooling
from stream_rec.language_model.vector_cache import cache_fingerprint


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_vectors_are_recognised_by_the_name_that_the_encoder_gives_them(pooling: str) -> None:
    assert text_model("ab12", pooling, 3) == cache_fingerprint("ab12", pooling, 3)
    assert is_of("ab12", cache_fingerprint("ab12", pooling, 0))
    assert not is_of("ab13", cache_fingerprint("ab12", pooling, 0))
