"""The policy commands against a running engine."""

import json
import time

import pytest


def test_an_accepted_policy_is_in_force_at_once_and_its_version_on_the_lists(
    installation, stream_rec
):
    ran = stream_rec("policy", "set", '{"list": {"size": 5}}', *installation.options)
    assert ran.status == 0, ran.err
    version = int(ran.out.split("version ")[1].split()[0])
    shown = json.loads(stream_rec("policy", "get", *installation.options).out)
    assert shown["version"] == version
    assert shown["policy"]["list"]["size"] == 5
    assert shown["policy"]["signals"]["weights"]["click"] == 1.0
    toplist = installation.list_of("*", lambda made: made.lineage.policy_version == version)
    assert len(toplist.items) == 5


def test_layers_show_what_was_written_and_null_takes_one_away(installation, stream_rec, tmp_path):
    file = tmp_path / "policy.json"
    file.write_text('{"list": {"diversity": 0.25}}')
    options = ("--scenario", "layered", *installation.options)
    assert stream_rec("policy", "set", str(file), *options).status == 0
    layers = json.loads(stream_rec("policy", "get", "--layers", *options).out)
    assert layers["layered"]["policy"] == {"list": {"diversity": 0.25}}
    ran = stream_rec("policy", "set", "null", *options)
    assert "withdrawn" in ran.out
    shown = json.loads(stream_rec("policy", "get", *options).out)
    assert shown["policy"]["list"]["diversity"] == 0.0


def test_a_policy_that_the_engine_refuses_is_told_with_its_reason(installation, stream_rec):
    before = stream_rec("policy", "get", *installation.options).out
    ran = stream_rec("policy", "set", '{"list": {"size": 1000}}', *installation.options)
    assert ran.status == 2
    assert "$.list.size" in ran.err
    assert stream_rec("policy", "get", *installation.options).out == before


def test_a_refusal_by_the_engine_alone_reaches_the_operator(installation):
    from consumers.commands.policy_commands import publish

    verdict = publish(installation.settings, "default", b'{"no such field": 1}')
    assert verdict.verdict == "refused"
    assert "no such field" in (verdict.reason or "")


def test_diff_shows_what_a_layer_would_change_and_sets_nothing(installation, stream_rec):
    before = stream_rec("policy", "get", *installation.options).out
    ran = stream_rec("policy", "diff", '{"list": {"exploration": 0.5}}', *installation.options)
    assert ran.status == 0, ran.err
    assert '-    "exploration": 0.0' in ran.out
    assert '+    "exploration": 0.5' in ran.out
    assert stream_rec("policy", "get", *installation.options).out == before


def test_rollback_sets_the_layer_before_and_history_tells_all(installation, stream_rec):
    options = ("--scenario", "rolled", *installation.options)
    for size in (3, 4):
        assert stream_rec("policy", "set", f'{{"list": {{"size": {size}}}}}', *options).status == 0
    assert stream_rec("policy", "rollback", *options).status == 0
    shown = json.loads(stream_rec("policy", "get", *options).out)
    assert shown["policy"]["list"]["size"] == 3
    lines = json.loads(stream_rec("policy", "history", "--json", *options).out)
    assert [line["patch"]["list"]["size"] for line in lines] == [3, 4, 3]
    assert all("@" in line["by"] for line in lines)
    assert stream_rec("policy", "rollback", str(lines[1]["offset"]), *options).status == 0
    shown = json.loads(stream_rec("policy", "get", *options).out)
    assert shown["policy"]["list"]["size"] == 4
    assert stream_rec("policy", "history", *options).out.count("accepted") == 4


@pytest.mark.parametrize("version", ["999999", None])
def test_there_is_no_way_back_to_what_never_was(installation, stream_rec, version):
    options = ("--scenario", "never", *installation.options)
    ran = stream_rec("policy", "rollback", *([version] if version else []), *options)
    assert ran.status == 2
    assert "never" in ran.err


def test_an_item_that_stands_in_the_list_is_pinned_to_its_top(installation, stream_rec):
    """With texts read, so that the pinned item was scored as well."""
    layers = json.loads(stream_rec("policy", "get", "--layers", *installation.options).out)
    event = {"user_id": "pia", "item_id": "i1", "event_type": "click", "timestamp": time.time()}
    installation.observer.send_all("clicks", [event])
    before = installation.list_of("pia")
    last = [item.item_id for item in before.items if item.score > 0][-1]
    pin = json.dumps({"rules": [{"do": "pin", "rank": 1, "item_id": last}]})
    ran = stream_rec("policy", "set", pin, *installation.options)
    assert ran.status == 0, ran.err
    after = installation.list_of("pia", lambda made: made.items[0].reason.kind == "pinned")
    assert after.items[0].item_id == last
    assert after.items[0].score > 0, "it was scored: that is what this test is about"
    old = json.dumps(layers["default"]["policy"] if "default" in layers else None)
    assert stream_rec("policy", "set", old, *installation.options).status == 0
