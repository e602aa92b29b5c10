"""Weir.Packing, Weir.Ordering and Weir.RefusedRecordPolicy: weir-shipper fed by feed_records."""

import base64
import collections
import json
import subprocess

import pytest
from kinesis_server import ROOT, Kinesisd, KinesisLocal, wait_until
from test_shipper import FAULT_BUILD, HOSTILE, SEED, STREAM, Fed, assert_good, judge, read_stream

NODE_MODULES = ROOT / "build" / "node" / "node_modules"
DEAGGREGATE = ROOT / "tests" / "e2e" / "js" / "deaggregate.js"


def unpack_lines(found):
    for number, key, data in found:
        assert data.endswith(b"\n"), "a line without its end"
        for line in data[:-1].split(b"\n"):
            yield number, key, line


def unpack_kpl(found):
    """By AWS's own library; a record whose key differs from the aggregate's would be seen."""
    if not (NODE_MODULES / "aws-kinesis-agg").exists():
        pytest.skip("npm aws-kinesis-agg is not installed")
    given = "".join(f"{key}\t{base64.b64encode(data).decode()}\n" for _, key, data in found)
    done = subprocess.run(["node", DEAGGREGATE], input=given, capture_output=True, text=True,
                          timeout=60, env={"PATH": "/usr/local/bin:/usr/bin:/bin",
                                           "NODE_PATH": str(NODE_MODULES)})
    assert done.returncode == 0, done.stderr
    for i, line in enumerate(done.stdout.splitlines()):
        record = json.loads(line)
        yield i, record["key"], base64.b64decode(record["data"])


UNPACK = {"lines": unpack_lines, "kpl": unpack_kpl}


def judge_packed(client, packing, records):
    """Complete, and each key's first appearances in order; returns (records, repeats)."""
    found = read_stream(client)
    seen = collections.Counter()
    there = set()
    repeats = 0
    for _, key, data in UNPACK[packing](found):
        message = json.loads(data)
        assert message["key"] == key
        assert message["n"] <= seen[key], f"{key}: {message['n']} came, {seen[key]} was due"
        repeats += message["n"] < seen[key]
        seen[key] = max(seen[key], message["n"] + 1)
        there.add(message["i"])
    assert there == set(range(records)), "lost"
    return found, repeats


@pytest.mark.parametrize("packing", ["lines", "kpl"])
def test_a_hot_key_is_packed(packing):
    """Two keys, a slow service: what waits travels together."""
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, weir={"Packing": packing, "PackMaxSize": "50KiB"}) as fed:
        k.control(rules=[{"action": "delay", "ms": 5}])
        fed.feed(20000, 2).ship()
        fed.wait_drained()
        found, repeats = judge_packed(k.client(), packing, 20000)
        assert repeats == 0
        assert len(found) < 400, f"{len(found)} records: nothing was packed"
        assert 40000 < max(len(d) + len(key) for _, key, d in found) <= 50 * 1024


@pytest.mark.parametrize("packing", ["lines", "kpl"])
def test_packs_survive_a_hostile_service(packing):
    with Kinesisd(streams=f"{STREAM}:4", throttle=False) as k, \
            Fed(k.endpoint, weir={"Packing": packing, "PackMaxSize": "2KiB"}) as fed:
        k.control(rules=HOSTILE, seed=SEED)
        fed.feed(8000, 30).ship()
        wait_until(lambda: k.records(STREAM) >= 500, 60, "many records")
        fed.kill()
        fed.ship()
        k.control(clear=True)
        fed.wait_drained()
        _, repeats = judge_packed(k.client(), packing, 8000)
        assert repeats > 0, "nothing ambiguous happened: the test proves little"
        assert "order-breach" not in fed.log()


@pytest.mark.skipif(not KinesisLocal.is_available(), reason="npm kinesis-local is not installed")
def test_aggregates_pass_a_service_we_did_not_write():
    with KinesisLocal(streams=f"{STREAM}:2") as k, \
            Fed(k.endpoint, weir={"Packing": "kpl", "RequestTimeoutMs": 20000}) as fed:
        fed.feed(3000, 5).ship()
        fed.wait_drained(60)
        judge_packed(k.client(), "kpl", 3000)


def test_final_ordering_ends_with_the_last_state():
    """Records of a key may come twice and out of turn; the newest one of each key is its last."""
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, weir={"Ordering": "final"}) as fed:
        k.control(rules=HOSTILE, seed=SEED)
        fed.feed(8000, 5).ship()
        wait_until(lambda: k.records(STREAM) >= 3000, 60, "many records")
        k.control(clear=True)
        fed.wait_drained()
        last = {}
        there = set()
        out_of_turn = 0
        for _, key, data in read_stream(k.client()):
            message = json.loads(data)
            out_of_turn += message["n"] > last.get(key, -1) + 1
            last[key] = message["n"]
            there.add(message["i"])
        assert there == set(range(8000))
        assert last == {f"key-{i}": 1599 for i in range(5)}
        assert out_of_turn > 0, "no record was sent ahead: the setting does nothing"


def break_order(k):
    """One record in three fails, nothing is ambiguous: what is out of order then is the shipper's."""
    k.control(rules=[{"action": "fail_records", "probability": 0.5, "mode": "random",
                      "fraction": 0.3, "code": "InternalFailure"}], seed=SEED)


@pytest.mark.parametrize("fault", [None, "shipper-no-hold-back:0:1"])
def test_the_judge_notices_followers_that_do_not_wait(fault):
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, build=FAULT_BUILD) as fed:
        break_order(k)
        fed.feed(2000, 5).ship(**({"WEIR_FAULT": fault} if fault else {}))
        wait_until(lambda: k.records(STREAM) >= 400, 30, "records")
        k.control(clear=True)
        fed.wait_drained()
        assert bool(judge(k.client(), 2000, 5).out_of_order) == (fault is not None)


@pytest.mark.parametrize("fault", [None, "shipper-tail-lost:0:1"])
def test_the_judge_notices_a_tail_that_is_not_sent_again(fault):
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, build=FAULT_BUILD, weir={"Ordering": "final"}) as fed:
        k.control(rules=[{"action": "fail_records", "mode": "indexes", "indexes": [0, 3, 7],
                          "code": "InternalFailure", "count": 30}])
        fed.feed(3000, 3).ship(**({"WEIR_FAULT": fault} if fault else {}))
        if fault:
            # Passed over for good: whatever else comes, the first of them is not in the stream.
            wait_until(lambda: k.records(STREAM) >= 500, 30, "records")
            fed.kill()
        else:
            fed.wait_drained()
        there = {json.loads(d)["i"] for _, _, d in read_stream(k.client())}
        assert (set(range(max(there))) - there != set()) == (fault is not None)


def test_dead_letters():
    """Every thousandth record is over the stream's limit; policy dead-letter passes them over."""
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, weir={"RecordRingSize": "8MiB", "RefusedRecordPolicy": "dead-letter"},
                build=FAULT_BUILD) as fed:
        fed.feed(3000, 100, size=0)
        # Dies between the line and its sync, then between the sync and the acknowledgement.
        for point in ("shipper-letter-written", "shipper-letter-synced"):
            assert fed.ship(WEIR_CRASH=f"{point}:1").wait(20) != 0
        path = fed.directory / "state" / "dead-letters.0.ndjson"
        with open(path, "a") as f:
            f.write('{"time":"torn')  # as a host leaves it that loses power in the middle of a line
        fed.ship()
        fed.wait_drained()
        lines = path.read_text().splitlines()
        lines.remove('{"time":"torn')  # alone on its line, or json.loads() fails below
        letters = [json.loads(line) for line in lines]
        assert [json.loads(l["data"])["i"] for l in letters] == [999, 999, 999, 1999, 2999]
        first = letters[0]
        assert first["table"] == "dbo.fed" and first["partition-key"] == "key-99"
        assert first["operation"] == "insert" and first["position"].startswith("00000000:00000000:03e8")
        assert "the stream takes 1048576" in first["reason"]
        there = {json.loads(d)["i"] for _, _, d in read_stream(k.client())}
        assert there == set(range(3000)) - {999, 1999, 2999}
        assert fed.stop() == 0


def test_a_poison_record_in_a_pack_is_found():
    """The service refuses every request that holds one record; it alone becomes a dead letter."""
    with Kinesisd(streams=f"{STREAM}:1", throttle=False) as k, \
            Fed(k.endpoint, weir={"Packing": "lines", "RefusedRecordPolicy": "dead-letter"}) as fed:
        k.control(rules=[{"action": "poison", "holds": '"i":777,'}])
        fed.feed(4000, 3).ship()
        fed.wait_drained()
        letters = (fed.directory / "state" / "dead-letters.0.ndjson").read_text().splitlines()
        assert [json.loads(json.loads(line)["data"])["i"] for line in letters] == [777]
        there = {json.loads(d)["i"] for _, _, d in unpack_lines(read_stream(k.client()))}
        assert there == set(range(4000)) - {777}


def test_lines_need_one_line_messages(tmp_path):
    with Fed("http://127.0.0.1:1", weir={"Packing": "lines"}) as fed:
        fed.task["TargetEndpoint"]["KinesisSettings"]["MessageFormat"] = "json"
        fed.write_task()
        assert fed.ship().wait(20) == 78
        assert "$.Weir.Packing" in fed.log() and "json-unformatted" in fed.log()
