"""`doctor` looks at a whole installation that runs: it finds nothing but what other tests did."""

import json

# Other tests of this session send records that cannot be used, and events on items of no catalogue.
OF_OTHER_TESTS = {"unusable_events", "unknown_items"}


def test_a_running_installation_is_sound(installation, stream_rec):
    ran = stream_rec("doctor", "--json", "--watch", "1", *installation.options)
    found = [f for check in json.loads(ran.out)["checks"] for f in check["findings"]]
    assert [f for f in found if f["kind"] not in OF_OTHER_TESTS] == []
    assert ran.status == int(any(finding["weight"] == "wrong" for finding in found))


def test_what_is_sound_is_said_check_by_check(installation, stream_rec):
    ran = stream_rec("doctor", "--watch", "0.5", *installation.options)
    for check in ("partitions", "keys", "clocks", "transactions", "recommenders", "encoder"):
        assert f"ok  {check}" in " ".join(ran.out.split("\n")).replace("ok   ", "ok  ")
