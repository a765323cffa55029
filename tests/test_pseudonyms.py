"""Pseudonyms and sealed ids: stable, told apart, opened only with their key, and rotated."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.errors import ConfigurationError, StateRejected
from stream_rec.pseudonyms import FOUND, PLAIN, SEALED, Pseudonyms, read_keys

OLD, NEW = "k1:an old secret of some length", "k2:a new secret of some length"


def names(text: str) -> Pseudonyms:
    return Pseudonyms(read_keys(text))


@given(user_id=st.text(min_size=1, max_size=256).filter(lambda text: text.isprintable()))
def test_whoever_has_the_key_reads_the_id_back(user_id: str) -> None:
    known = names(NEW)
    assert known.open(known.seal(user_id)) == user_id
    if len(user_id) > 3:
        assert user_id not in known.of(user_id) + known.seal(user_id)


def test_names_are_the_same_in_every_process() -> None:
    code = f"from tests.test_pseudonyms import *; print(names({NEW!r}).of('ann').encode().hex())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert bytes.fromhex(ran.stdout.strip()).decode() == names(NEW).of("ann")


def test_without_a_key_a_user_is_named_by_the_id() -> None:
    assert (PLAIN.of("ann"), PLAIN.seal("ann"), PLAIN.open("ann")) == ("ann", "ann", "ann")
    assert PLAIN.older("ann") == ()
    assert not PLAIN.keyed


def test_names_differ_by_user_and_by_secret_and_say_their_key() -> None:
    other = names("k2:another secret of some length")
    assert len({names(NEW).of("ann"), names(NEW).of("bob"), other.of("ann")}) == 3
    assert names(NEW).of("ann").startswith(f"{FOUND}k2.")
    assert names(NEW).seal("ann").startswith(f"{SEALED}k2.")
    assert not f"{FOUND}{SEALED}".isprintable(), "a user id could look like a name"


def test_after_a_rotation_older_names_are_found_and_older_seals_opened() -> None:
    rotated = names(f"{NEW},{OLD}")
    assert rotated.of("ann") == names(NEW).of("ann")
    assert rotated.older("ann") == (names(OLD).of("ann"), "ann")
    assert rotated.open(names(OLD).seal("ann")) == "ann"


def test_the_list_for_strangers_belongs_to_nobody() -> None:
    assert names(NEW).of("*") == names(NEW).seal("*") == "*"
    assert names(NEW).older("*") == ()


def test_a_seal_of_a_missing_key_is_told_and_one_of_another_secret_is_refused() -> None:
    sealed = names(OLD).seal("ann")
    with pytest.raises(ConfigurationError, match="'k1'"):
        names(NEW).open(sealed)
    with pytest.raises(ConfigurationError, match="'k1'"):
        PLAIN.open(sealed)
    with pytest.raises(StateRejected, match="k1"):
        names("k1:not the same secret at all").open(sealed)
    with pytest.raises(StateRejected, match="k1"):
        names(OLD).open(f"{SEALED}k1.torn")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a secret without an id, long", "not ID:SECRET"),
        ("k1:short", "fewer than 16"),
        ("a.b:0123456789abcdef", "not ID:SECRET"),
        (f"{OLD},{OLD}", "stands twice"),
        (f"{OLD},", "not ID:SECRET"),
    ],
)
def test_bad_keys_are_refused_without_telling_the_secret(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_keys(text)
    assert "secret of some" not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_no_text_means_no_keys_and_keys_do_not_print_their_secret() -> None:
    assert read_keys(None) == read_keys("") == ()
    assert "some length" not in repr(read_keys(OLD))
