import numpy as np
import pytest

from stream_rec.profiles.aspects import LEAST_COSINE, NAMES, nearest_aspect, telling_clauses


def test_clauses_are_verbatim_and_each_side_has_at_most_one() -> None:
    text = "Lovely colours. It broke after a week, and I hate the strap; the sound is superb!"
    found = telling_clauses(text)
    assert [clause.side for clause in found] == [1, -1]
    assert all(clause.text in text for clause in found)
    assert telling_clauses("I bought it on Tuesday.") == []


def test_the_nearest_description_names_the_aspect_if_it_is_near() -> None:
    descriptions = np.eye(len(NAMES), dtype=np.float32)
    place = NAMES.index("comfort")
    assert nearest_aspect(descriptions[place], descriptions) == ("comfort", 1.0)
    far = np.full(len(NAMES), len(NAMES) ** -0.5, np.float32)
    assert float(far[0]) < LEAST_COSINE
    assert nearest_aspect(far, descriptions) is None


@pytest.mark.parametrize(
    ("clause", "aspect"),
    [
        ("the strap hurts after half an hour", "comfort"),
        ("the battery dies after an hour", "battery"),
        ("it wipes clean in seconds", "cleaning"),
        ("the fan is far too loud", "noise"),
        ("it is annoyingly heavy", "weight"),
    ],
)
def test_the_packaged_model_finds_what_a_clause_is_about(clause: str, aspect: str) -> None:
    pytest.importorskip("torch")
    from stream_rec.language_model.backbone import load_backbone
    from stream_rec.language_model.encoding import encode
    from stream_rec.profiles.aspects import ASPECTS

    vectors = encode(load_backbone(device="cpu"), [*ASPECTS.values(), clause])
    named = nearest_aspect(vectors[-1], vectors[:-1])
    assert named is not None
    assert named[0] == aspect
