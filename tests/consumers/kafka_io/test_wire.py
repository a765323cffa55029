import numpy as np
import pytest

from consumers.kafka_io.wire import (
    AcceptedPolicy,
    Partitions,
    Standing,
    decode_accepted_policy,
    decode_profile,
    decode_standing,
    decode_vector,
    encode_accepted_policy,
    encode_profile,
    encode_standing,
    encode_vector,
    split_vector_key,
    vector_key,
)
from stream_rec.errors import StateRejected
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Listing, Profile


def test_everything_comes_back_as_it_was() -> None:
    profile = Profile("ü", events_applied=3, lists={"default": Listing(4, 5, owed=True)})
    assert decode_profile(encode_profile(profile)) == profile
    ledger = Ledger(next_offsets={"t": 3}, outcomes={"t": {"applied": 2}}, newest_ms=9)
    standing = Standing(ledger=ledger, judged={"p.items-0": 4})
    assert decode_standing(encode_standing(standing)) == standing
    accepted = AcceptedPolicy(offset=3, patch={"list": {"size": 5}}, accepted_at=7)
    assert decode_accepted_policy(encode_accepted_policy(accepted)) == accepted
    stored = decode_vector(encode_vector("m", 2**64 - 1, np.array([0.5, -1.0], np.float32)))
    assert stored.text_hash == 2**64 - 1
    assert stored.values is not None
    assert stored.values.tolist() == [0.5, -1.0]
    assert decode_vector(encode_vector("m", 1, None)).values is None
    assert split_vector_key(vector_key(12, "a/b")) == (12, "a/b")


@pytest.mark.parametrize("value", [b"", b"\x01torn", b"{", b"\xff"])
def test_torn_records_are_refused(value: bytes) -> None:
    for decode in (decode_profile, decode_standing, decode_accepted_policy, decode_vector):
        with pytest.raises(StateRejected):
            decode(value)
    with pytest.raises(StateRejected):
        split_vector_key(value)


def test_standings_share_nothing() -> None:
    Standing().ledger.next_offsets["t"] = 1
    assert Standing().ledger.next_offsets == {}


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_partition_is_that_of_the_java_client(key: str, hashed: int) -> None:
    for count in (1, 4, 7):
        partitions = Partitions(count)
        assert partitions.of_user(key) == (hashed & 0x7FFFFFFF) % count
        assert partitions.of_user(key) == partitions.of(key.encode())
