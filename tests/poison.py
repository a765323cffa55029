"""Bodies that have broken consumers of JSON, for every parser of the product.

Each is named by what is wrong with it. Some are readable after all: then the parser must return a
valid record, whatever it makes of them, and must never fail in another way than its own.
"""

from typing import Any

import msgspec

DEEP = b"[" * 100_000
MEGABYTE = "a" * 1_000_000

# Whatever stands in place of the value of one field.
VALUES: dict[str, bytes] = {
    "infinite exponent": b"1e999",
    "minus infinite exponent": b"-1e999",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "text of NaN": b'"NaN"',
    "text of infinity": b'"1e999"',
    "integer of 5000 digits": b"9" * 5000,
    "integer of 400 digits": b"9" * 400,
    "negative integer of 400 digits": b"-" + b"9" * 400,
    "text of 5000 digits": b'"' + b"9" * 5000 + b'"',
    "int64 and one": b"9223372036854775808",
    "uint64 and one": b"18446744073709551616",
    "largest double": b"1.7976931348623157e308",
    "least double": b"5e-324",
    "negative time": b"-1",
    "time before the year 1": b"-99999999999999",
    "year 9999": b'"9999-12-31T23:59:59Z"',
    "year 9999 west": b'"9999-12-31T23:59:59-23:59"',
    "year 1": b'"0001-01-01T00:00:00Z"',
    "year 1 east": b'"0001-01-01T00:00:00+23:59"',
    "year 10000 in ms": b"253402300800000",
    "true": b"true",
    "false": b"false",
    "null": b"null",
    "empty text": b'""',
    "space": b'" "',
    "empty list": b"[]",
    "empty object": b"{}",
    "nested list": b'[["a", ["b"]]]',
    "list of numbers": b"[1, 2]",
    "object": b'{"a": {"b": 1}}',
    "lone surrogate": b'"\\ud800"',
    "lone low surrogate": b'"x\\udfff"',
    "swapped surrogates": b'"\\udc00\\ud800"',
    "invalid UTF-8": b'"\xff\xfe"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "raw surrogate in UTF-8": b'"\xed\xa0\x80"',
    "NUL": b'"a\\u0000b"',
    "raw control character": b'"a\x01b"',
    "right-to-left override": '"i\u202e9"'.encode(),
    "zero width space": '"i\u200b9"'.encode(),
    "byte order mark inside": '"\ufeffi9"'.encode(),
    "combining marks": ('"' + "e\u0301" * 300 + '"').encode(),
    "megabyte of text": b'"' + MEGABYTE.encode() + b'"',
    "257 characters": b'"' + b"a" * 257 + b'"',
    "star": b'"*"',
    "slash": b'"a/b"',
    "deep list": b"[" * 60 + b"]" * 60,
    "deeper list": b"[" * 70 + b"]" * 70,
}

# Whatever stands in place of a whole body.
BODIES: dict[str, bytes | None] = {
    "no value": None,
    "empty": b"",
    "space": b"  \n ",
    "100k brackets": DEEP,
    "100k objects": b'{"a":' * 100_000,
    "closed 100k brackets": DEEP + b"]" * 100_000,
    "list": b"[]",
    "number": b"1",
    "text": b'"text"',
    "null": b"null",
    "true": b"true",
    "empty object": b"{}",
    "torn": b'{"user_id": "u1", "item',
    "two objects": b"{}{}",
    "trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "comment": b"{} // why",
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"user_id": "u1"}'.encode("utf-16"),
    "UTF-32": '{"user_id": "u1"}'.encode("utf-32"),
    "latin-1": '{"user_id": "\u00fc"}'.encode("latin-1"),
    "binary": bytes(range(256)),
    "NUL bytes": b"\x00" * 64,
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "avro magic": b"\x00\x00\x00\x00\x01{}",
    "two megabytes": b'{"a": "' + b"a" * 2_000_000 + b'"}',
    "brackets in text": b'{"a": "' + b"[" * 1000 + b'"}',
    "empty field name": b'{"": 1}',
    "non-text field name": b"{1: 1}",
    "infinite number": b'{"a": 1e999}',
}


def poisoned(record: dict[str, Any]) -> dict[str, bytes | None]:
    """Return every poisoned body: the broken ones, and each field of a record with each value."""
    bodies = dict(BODIES)
    for field in record:
        others = {name: value for name, value in record.items() if name != field}
        rest = msgspec.json.encode(others)[:-1] + (b", " if others else b"")
        name = f'"{field}": '.encode()
        for what, value in VALUES.items():
            bodies[f"{field}: {what}"] = rest + name + value + b"}"
        once = rest + name + msgspec.json.encode(record[field])
        bodies[f"{field}: twice"] = once + b", " + name + b'"other"}'
        bodies[f"{field}: twice, with 5000 digits"] = once + b", " + name + b"9" * 5000 + b"}"
    return bodies
