"""weir-shipper by itself: feed_records stands for the encoders, kinesisd or kinesis-local for AWS.

Each record carries its key and its place in the key's sequence, so order and loss are judged from
what boto3 reads back, without asking weir.
"""

import collections
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from kinesis_server import BUILD, ROOT, Kinesisd, KinesisLocal, free_port, wait_until

SEED = int(os.environ.get("WEIR_SEED", "20261122"))
SOAK = 10 if os.environ.get("WEIR_SOAK") else 1
FAULT_BUILD = ROOT / "build" / "test"
STREAM = "fed"
KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def built(program, build=BUILD):
    path = pathlib.Path(build) / program
    if not path.exists():
        pytest.skip(f"{path} is not built")
    return str(path)


class Fed:
    """A task whose record rings are filled by feed_records."""

    def __init__(self, endpoint, *, encoders=1, shippers=1, build=BUILD, weir=None, credentials=None,
                 environment=None):
        self.build = build
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-shipper-"))
        self.runtime = pathlib.Path(tempfile.mkdtemp(prefix="weir-shipper-", dir="/dev/shm"))
        self.task_file = self.directory / "task.json"
        self.keys_file = self.directory / "credentials"
        self.n_shippers = shippers
        self.feeder = None
        self.shippers = {}
        self.popen = {}  # more arguments for starting a shipper
        self.write_keys(*(credentials or (KEY, SECRET)))
        self.task = {
            "ReplicationTaskIdentifier": "fed",
            "MigrationType": "cdc",
            "SourceEndpoint": {"EngineName": "sqlserver", "ServerName": "nowhere",
                               "DatabaseName": "d", "Username": "u", "Password": {"Env": "X"}},
            "TargetEndpoint": {
                "EngineName": "kinesis",
                "KinesisSettings": {
                    "StreamArn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}",
                    "MessageFormat": "json-unformatted"}},
            "TableMappings": {"rules": [{
                "rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
                "object-locator": {"schema-name": "%", "table-name": "%"}}]},
            "Weir": {"RuntimeDirectory": str(self.runtime),
                     "StateDirectory": str(self.directory / "state"),
                     "Encoders": encoders, "Shippers": shippers, "RecordRingSize": "4MiB",
                     "CheckpointIntervalMs": 50, "RequestTimeoutMs": 2000,
                     "EndpointUrl": endpoint, **(weir or {})},
        }
        self.write_task()
        self.environment = {
            **{k: v for k, v in os.environ.items()
               if not k.startswith(("AWS_", "WEIR_")) and "proxy" not in k.lower()},
            "AWS_SHARED_CREDENTIALS_FILE": str(self.keys_file),
            "AWS_CONFIG_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
            **(environment or {}),
        }

    def write_task(self):
        self.task_file.write_text(json.dumps(self.task, indent=1))

    def write_keys(self, access_key, secret, token=None):
        text = f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret}\n"
        if token is not None:
            text += f"aws_session_token = {token}\n"
        fresh = self.keys_file.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.rename(self.keys_file)

    def feed(self, records, keys, size=300, rate=0):
        command = [built("tests/crash/feed_records", FAULT_BUILD), self.task_file, records, keys,
                   size, rate]
        self.feeder = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**self.environment, "WEIR_SEED": str(SEED)})
        return self

    def log_path(self, index):
        return self.directory / f"shipper.{index}.log"

    def log(self, index=0):
        path = self.log_path(index)
        return path.read_text(errors="replace") if path.exists() else ""

    def ship(self, index=0, **environment):
        with open(self.log_path(index), "ab") as log:
            self.shippers[index] = subprocess.Popen(
                [built("weir-shipper", self.build), str(self.task_file), "-i", str(index)],
                stderr=log, env={**self.environment, **environment}, **self.popen)
        return self.shippers[index]

    def ship_all(self):
        for i in range(self.n_shippers):
            self.ship(i)
        return self

    def kill(self, index=0):
        self.shippers[index].kill()
        self.shippers[index].wait(10)

    def stop(self, index=0):
        self.shippers[index].terminate()
        return self.shippers[index].wait(20)

    def wait_line(self, line, timeout):
        """A line of the feeder; "drained" means that everything was released."""
        ready, _, _ = select.select([self.feeder.stdout], [], [], timeout)
        got = self.feeder.stdout.readline() if ready else ""
        assert got == line + "\n", f"{got!r} instead of {line!r} after {timeout} s\n{self.logs()}"

    def wait_drained(self, timeout=60):
        deadline = time.monotonic() + timeout
        self.wait_line("written", timeout)
        self.wait_line("drained", max(1, deadline - time.monotonic()))

    def wait_log(self, pattern, index=0, timeout=20):
        return wait_until(lambda: re.search(pattern, self.log(index)), timeout,
                          f"{pattern!r} in the log of shipper {index}")

    def checkpoint(self, index=0):
        path = self.directory / "state" / f"checkpoint.1.{index}.json"
        return int(json.loads(path.read_text())["position"][:20], 16) if path.exists() else 0

    def logs(self):
        return "\n".join(f"--- shipper {i}\n{self.log(i)[-3000:]}" for i in self.shippers)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        for p in self.shippers.values():
            if p.poll() is None:
                p.kill()
            p.wait()
        if self.feeder is not None:
            self.feeder.stdin.close()
            try:
                self.feeder.wait(5)
            except subprocess.TimeoutExpired:
                self.feeder.kill()
                self.feeder.wait()
            self.feeder.stdout.close()
        if kind is not None:
            print(self.logs())
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)


Verdict = collections.namedtuple("Verdict", "records lost out_of_order repeated largest")


def read_stream(client):
    """(sequence number, key, message) of every record, all shards, closed ones included."""
    found = []
    for shard in client.list_shards(StreamName=STREAM)["Shards"]:
        iterator = client.get_shard_iterator(StreamName=STREAM, ShardId=shard["ShardId"],
                                             ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while iterator is not None:
            answer = client.get_records(ShardIterator=iterator, Limit=10000)
            for r in answer["Records"]:
                found.append((int(r["SequenceNumber"]), r["PartitionKey"], r["Data"]))
            iterator = answer.get("NextShardIterator")
            if not answer["Records"] and answer.get("MillisBehindLatest", 0) == 0:
                break
    # A child's numbers are above its parent's, so this is every key's order.
    return sorted(found)


def judge(client, records, keys):
    """A record is out of order when it is new for its key and not the key's next one."""
    seen = collections.Counter()
    out_of_order = []
    repeated = 0
    largest = 0
    found = read_stream(client)
    for _, key, data in found:
        message = json.loads(data)
        largest = max(largest, len(data))
        assert message["key"] == key
        if message["n"] < seen[key]:
            repeated += 1
        elif message["n"] == seen[key]:
            seen[key] += 1
        else:
            out_of_order.append((key, message["n"], seen[key]))
            seen[key] = message["n"] + 1
    there = {json.loads(data)["i"] for _, _, data in found}
    lost = sorted(set(range(records)) - there)
    assert len(there) <= records and len(seen) <= keys
    return Verdict(len(found), lost, out_of_order, repeated, largest)


def assert_good(verdict, repeats_at_most=None):
    assert not verdict.lost, f"{len(verdict.lost)} lost, first {verdict.lost[:5]}"
    assert not verdict.out_of_order, f"out of order (key, n, expected): {verdict.out_of_order[:5]}"
    if repeats_at_most is not None:
        assert verdict.repeated <= repeats_at_most, f"{verdict.repeated} repeated"


# ---- delivery --------------------------------------------------------------------------------

@pytest.mark.parametrize("encoders, shippers", [(1, 1), (2, 2)])
def test_everything_arrives_once_and_in_order(encoders, shippers):
    with Kinesisd(streams=f"{STREAM}:4", throttle=False) as k, \
            Fed(k.endpoint, encoders=encoders, shippers=shippers) as fed:
        fed.feed(20000, 500).ship_all()
        fed.wait_drained()
        for i in range(shippers):
            wait_until(lambda: fed.checkpoint(i) == 20000, 10, f"checkpoint of shipper {i}")
            assert fed.stop(i) == 0
        verdict = judge(k.client(), 20000, 500)
        assert_good(verdict, repeats_at_most=0)
        assert verdict.records == 20000


def test_signatures_are_right():
    with Kinesisd(streams=f"{STREAM}:2", credentials=[f"{KEY} {SECRET} the+/=token"]) as k, \
            Fed(k.endpoint) as fed:
        fed.write_keys(KEY, SECRET, "the+/=token")
        fed.feed(500, 50).ship()
        fed.wait_drained()
        assert_good(judge(k.client(secret_key=SECRET, token="the+/=token"), 500, 50), 0)
        assert k.counters()["signature_failures"] == 0


@pytest.mark.skipif(not KinesisLocal.is_available(), reason="npm kinesis-local is not installed")
def test_kinesis_local():
    with KinesisLocal(streams=f"{STREAM}:4") as k, Fed(k.endpoint) as fed:
        fed.task["Weir"]["RequestTimeoutMs"] = 20000
        fed.write_task()
        fed.feed(1500, 100).ship()
        fed.wait_drained(90)
        assert fed.stop() == 0
        assert_good(judge(k.client(), 1500, 100), repeats_at_most=0)


def test_messages_larger_than_a_ring_record():
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, Fed(k.endpoint) as fed:
        fed.feed(5000, 100, size=0).ship()
        fed.wait_drained()
        verdict = judge(k.client(), 5000, 100)
        assert_good(verdict, 0)
        assert verdict.largest > (4 << 20) // 8


def test_real_limits_of_shards():
    with Kinesisd(streams=f"{STREAM}:4", throttle=True) as k, Fed(k.endpoint) as fed:
        fed.feed(14000, 3000).ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 14000, 3000), 0)
        assert k.counters()["throttled"] > 0


def test_few_hot_keys():
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, Fed(k.endpoint) as fed:
        k.control(rules=[{"action": "delay", "ms": 2}])
        fed.feed(600, 2).ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 600, 2), 0)


# ---- a hostile service -----------------------------------------------------------------------

HOSTILE = [
    {"action": "fail_records", "probability": 0.3, "mode": "random", "fraction": 0.3,
     "code": "ProvisionedThroughputExceededException"},
    {"action": "fail_records", "probability": 0.2, "mode": "suffix", "fraction": 0.5,
     "code": "ProvisionedThroughputExceededException"},
    {"action": "fail_records", "probability": 0.2, "mode": "random", "fraction": 0.2,
     "code": "InternalFailure", "committed": True},
    {"action": "fail_records", "probability": 0.1, "fraction": 0.1, "code": "NobodyKnowsThisCode"},
    {"action": "lost_answer", "probability": 0.05},
    {"action": "cut_answer", "probability": 0.05},
    {"action": "drop", "probability": 0.05},
    {"action": "reset", "probability": 0.05},
    {"action": "error", "probability": 0.05, "status": 500, "code": "InternalFailureException",
     "committed": True},
    {"action": "html", "probability": 0.05, "status": 503},
    {"action": "wrong_count", "probability": 0.05, "number": -1},
    {"action": "lie_failed_count", "probability": 0.1, "number": 0},
    {"action": "delay", "probability": 0.3, "ms": 15},
]


@pytest.mark.parametrize("keys", [20, 2000])
def test_hostile_service(keys):
    with Kinesisd(streams=f"{STREAM}:4", throttle=False) as k, Fed(k.endpoint) as fed:
        k.control(rules=HOSTILE, seed=SEED)
        fed.feed(4000, keys).ship()
        wait_until(lambda: k.records(STREAM) >= 1500, 60, "many records")
        k.control(clear=True)
        fed.wait_drained()
        verdict = judge(k.client(), 4000, keys)
        assert_good(verdict)
        assert verdict.repeated > 0, "nothing ambiguous happened: the test proves little"
        assert "order-breach" not in fed.log()


def test_one_throttled_shard_stops_no_other():
    with Kinesisd(streams=f"{STREAM}:4", throttle=False) as k, Fed(k.endpoint) as fed:
        k.control(rules=[{"action": "fail_records", "mode": "all", "shard": 0,
                          "code": "ProvisionedThroughputExceededException"}])
        fed.feed(4000, 1000).ship()

        def counts():
            return [s["records"] for s in k.report()["streams"][STREAM]["shards"]]

        wait_until(lambda: sum(counts()[1:]) > 2500, 20, "the other shards' records")
        wait_until(lambda: counts()[1:] == (time.sleep(0.2), counts()[1:])[1], 20, "no more")
        assert counts()[0] == 0
        others = sum(counts()[1:])
        k.control(clear=True)
        fed.wait_drained()
        assert counts()[0] + others == 4000
        assert_good(judge(k.client(), 4000, 1000), 0)


def test_resharding():
    with Kinesisd(streams=f"{STREAM}:2", throttle=False, state_delay_ms=50) as k, \
            Fed(k.endpoint) as fed:
        client = k.client()
        fed.feed(20000, 300, rate=5000).ship()
        wait_until(lambda: k.records(STREAM) > 2000, 20, "first records")
        client.update_shard_count(StreamName=STREAM, TargetShardCount=4,
                                  ScalingType="UNIFORM_SCALING")
        fed.wait_log("shard-map shards=4")
        fed.wait_drained()
        assert_good(judge(client, 20000, 300), 0)


def test_a_refused_request_is_taken_apart():
    refusal = {"action": "error", "status": 400, "code": "ValidationException",
               "message": "1 validation error detected"}
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, Fed(k.endpoint) as fed:
        k.control(rules=[{**refusal, "count": 4}])
        fed.feed(3000, 1000).ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 3000, 1000), 0)
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, Fed(k.endpoint) as fed:
        k.control(rules=[refusal])
        assert fed.feed(3000, 1000).ship().wait(20) == 78
        line = fed.wait_log("needs-operator.*").group(0)
        assert "dbo.fed" in line and "is refused" in line and "1 validation error" in line
        k.control(clear=True)
        fed.ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 3000, 1000), 0)


# ---- deaths ----------------------------------------------------------------------------------

@pytest.mark.parametrize("encoders, shippers", [(1, 1), (2, 2)])
def test_killed_at_random(encoders, shippers):
    rng = random.Random(SEED)
    records = 30000 * SOAK
    with Kinesisd(streams=f"{STREAM}:4", throttle=False) as k, \
            Fed(k.endpoint, encoders=encoders, shippers=shippers) as fed:
        k.control(rules=[{"action": "delay", "ms": 5}], seed=SEED)
        fed.feed(records, 400, rate=6000).ship_all()
        kills = 0
        while select.select([fed.feeder.stdout], [], [], rng.uniform(0.05, 0.5))[0] == []:
            index = rng.randrange(shippers)
            fed.kill(index)
            fed.ship(index)
            kills += 1
        fed.wait_drained()
        verdict = judge(k.client(), records, 400)
        assert_good(verdict, repeats_at_most=kills * 8 * 500)
        assert kills >= 8 and verdict.repeated > 0


CRASH_POINTS = ["shipper-send-before", "shipper-send-after", "shipper-answer-before",
                "shipper-answer-after", "shipper-release-before", "shipper-release-after",
                "shipper-checkpoint-before", "shipper-checkpoint-after"]


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_killed_at(point):
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, build=FAULT_BUILD) as fed:
        fed.feed(6000, 200, rate=12000)
        for count in (1, 2, 4):
            shipper = fed.ship(WEIR_CRASH=f"{point}:{count}")
            assert shipper.wait(20) == -signal.SIGKILL
        before = fed.checkpoint()
        fed.ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 6000, 200))
        wait_until(lambda: fed.checkpoint() == 6000, 10, "the last checkpoint")
        assert before <= 6000


def test_the_judge_notices_a_release_before_the_acknowledgement():
    """A shipper that gives records back too early loses them when it dies: a mutant."""
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, build=FAULT_BUILD) as fed:
        k.control(rules=[{"action": "drop"}])
        fed.feed(500, 200).ship(WEIR_FAULT="shipper-release-early:0:5")
        fed.wait_drained()
        fed.kill()
        k.control(clear=True)
        fed.ship()
        fed.wait_log("shard-map")
        fed.stop()
        assert judge(k.client(), 500, 200).lost


def test_a_stop_repeats_nothing():
    with Kinesisd(streams=f"{STREAM}:4", throttle=False) as k, Fed(k.endpoint) as fed:
        k.control(rules=[{"action": "delay", "ms": 20}])
        fed.feed(12000, 400, rate=6000).ship()
        for _ in range(4):
            before = k.records(STREAM)
            wait_until(lambda: k.records(STREAM) > before + 500, 20, "progress")
            assert fed.stop() == 0
            fed.ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 12000, 400), repeats_at_most=0)


def test_two_instances_of_one_shipper():
    with Kinesisd(streams=f"{STREAM}:1") as k, Fed(k.endpoint) as fed:
        fed.feed(100, 10).ship()
        fed.wait_drained()
        first = fed.shippers[0]
        second = fed.ship()
        assert second.wait(20) == 78
        assert "already-running" in fed.log()
        fed.shippers[0] = first
        assert fed.stop() == 0


# ---- credentials, clock, certificates, the stream --------------------------------------------

def test_wrong_secret_then_the_right_one():
    with Kinesisd(streams=f"{STREAM}:1", credentials=[f"{KEY} {SECRET}"]) as k, \
            Fed(k.endpoint, credentials=(KEY, "wrong")) as fed:
        fed.feed(300, 30).ship()
        fed.wait_log("code=credentials.*InvalidSignatureException.*secret access key does not")
        assert k.records(STREAM) == 0
        fed.write_keys(KEY, SECRET)
        fed.wait_drained()
        assert_good(judge(k.client(secret_key=SECRET), 300, 30), 0)
        assert SECRET not in fed.log() and "wrong" not in fed.log()


def test_expired_token_is_read_again():
    with Kinesisd(streams=f"{STREAM}:1", throttle=False, credentials=[f"{KEY} {SECRET}"]) as k, \
            Fed(k.endpoint) as fed:
        fed.feed(8000, 300, rate=4000).ship()
        wait_until(lambda: k.records(STREAM) > 500, 20, "first records")
        k.control(rules=[{"action": "expired_token", "operation": "*"}])
        fed.wait_log("ExpiredToken")
        stopped = k.records(STREAM)
        fed.write_keys(KEY, SECRET)
        k.control(clear=True)
        wait_until(lambda: k.records(STREAM) > stopped, 20, "more records")
        fed.wait_drained()
        assert_good(judge(k.client(secret_key=SECRET), 8000, 300), 0)


def test_no_credentials():
    with Kinesisd(streams=f"{STREAM}:1") as k, Fed(k.endpoint) as fed:
        fed.keys_file.unlink()
        fed.feed(50, 5).ship()
        line = fed.wait_log("no AWS credentials found.*").group(0)
        assert "AWS_ACCESS_KEY_ID is not set" in line and str(fed.keys_file) in line
        fed.write_keys(KEY, SECRET)
        fed.wait_drained()


@pytest.mark.parametrize("offset_s", [3600, -3600])
def test_a_clock_wrong_by_an_hour(offset_s):
    with Kinesisd(streams=f"{STREAM}:1", credentials=[f"{KEY} {SECRET}"]) as k, \
            Fed(k.endpoint) as fed:
        k.control(clock_offset_s=offset_s)
        fed.feed(500, 50).ship()
        fed.wait_drained()
        side = "behind" if offset_s > 0 else "ahead of"
        told = re.search(f"clock-skew offset_s=(-?[0-9]+) .*{side}", fed.log())
        assert told and abs(int(told.group(1)) - offset_s) <= 2
        k.control(clock_offset_s=0)
        assert_good(judge(k.client(secret_key=SECRET), 500, 50), 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key,
                    "-out", cert], check=True, capture_output=True)
    return cert, key


def test_certificates(certificate):
    cert, key = certificate
    with Kinesisd(streams=f"{STREAM}:2", throttle=False, tls_cert=cert, tls_key=key) as k, \
            Fed(k.endpoint) as fed:
        fed.feed(3000, 100).ship()
        fed.wait_log("code=tls.*certificate.*EndpointCaFile")
        assert k.records(STREAM) == 0
        assert fed.stop() == 0
        fed.task["Weir"]["EndpointCaFile"] = str(cert)
        fed.write_task()
        fed.ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 3000, 100), 0)


def test_a_missing_certificate_file():
    with Fed("https://127.0.0.1:1", weir={"EndpointCaFile": "/nonexistent/ca.pem"}) as fed:
        assert fed.ship().wait(20) == 78
        assert "/nonexistent/ca.pem" in fed.log()


def test_a_stream_that_comes_later():
    with Kinesisd(throttle=False, state_delay_ms=300) as k, Fed(k.endpoint) as fed:
        fed.feed(400, 40).ship()
        fed.wait_log("code=stream.*ResourceNotFoundException.*weir never creates it")
        k.client().create_stream(StreamName=STREAM, ShardCount=2)
        fed.wait_drained()
        assert_good(judge(k.client(), 400, 40), 0)


def test_an_endpoint_that_comes_later():
    port = free_port()
    with Fed(f"http://127.0.0.1:{port}") as fed:
        fed.feed(400, 40).ship()
        fed.wait_log("code=connect")
        with Kinesisd(streams=f"{STREAM}:2", port=port) as k:
            fed.wait_drained()
            assert_good(judge(k.client(), 400, 40), 0)


@pytest.mark.parametrize("is_running", [True, False])
def test_a_stream_that_is_deleted_and_made_again(is_running):
    """What the old stream held is gone: nobody but an operator can say what that means."""
    with Kinesisd(streams=f"{STREAM}:2", throttle=False, state_delay_ms=100) as k, \
            Fed(k.endpoint) as fed:
        client = k.client()
        fed.feed(20000, 200, rate=5000).ship()
        wait_until(lambda: k.records(STREAM) > 500, 20, "first records")
        if not is_running:
            assert fed.stop() == 0
        client.delete_stream(StreamName=STREAM)
        if is_running:
            fed.wait_log("code=stream")
        wait_until(lambda: STREAM not in client.list_streams()["StreamNames"], 10, "deletion")
        client.create_stream(StreamName=STREAM, ShardCount=2)
        if not is_running:
            fed.ship()
        assert fed.shippers[0].wait(20) == 78
        line = fed.wait_log("needs-operator.*").group(0)
        assert "code=history-changed" in line and "was deleted and made again" in line
        remembered = fed.directory / "state" / "stream.1.0.json"
        assert str(remembered) in line
        client.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
        assert not read_stream(client), "records went into the new stream"
        # The operator says that the new one is meant.
        remembered.unlink()
        fed.ship()
        fed.wait_drained()
        last = {}
        for _, key, data in read_stream(client):
            n = json.loads(data)["n"]
            assert n <= last.get(key, n) + 1
            last[key] = max(n, last.get(key, 0))
        assert len(last) == 200 and set(last.values()) == {99}


def test_a_stream_that_distributes_records_itself():
    """At the first start, and when the strategy was changed while no shipper ran."""
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, Fed(k.endpoint) as fed:
        k.control(distributes=True)
        fed.feed(1000, 10)
        assert fed.ship().wait(20) == 78
        line = fed.wait_log("needs-operator.*").group(0)
        assert "RecordDistributionStrategy AUTO" in line and "USER_PARTITION_KEY" in line
        assert k.records(STREAM) == 0
        k.control(distributes=False)
        fed.ship()
        fed.wait_drained()
        assert fed.stop() == 0
        k.control(distributes=True)
        assert fed.ship().wait(20) == 78
        assert k.records(STREAM) == 1000


def test_a_damaged_note_of_the_stream():
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, Fed(k.endpoint) as fed:
        fed.feed(10, 1).ship()
        fed.wait_drained()
        assert fed.stop() == 0
        (fed.directory / "state" / "stream.1.0.json").write_text("{")
        assert fed.ship().wait(20) == 78
        assert "stream.1.0.json does not say" in fed.log()


def test_a_record_over_the_limit_stops_the_shipper():
    with Kinesisd(streams=f"{STREAM}:2", throttle=False) as k, \
            Fed(k.endpoint, weir={"RecordRingSize": "8MiB"}) as fed:
        fed.feed(2000, 100, size=0)
        for _ in range(2):
            assert fed.ship().wait(20) == 78
        line = fed.wait_log("needs-operator.*").group(0)
        assert "dbo.fed at 00000000:00000000:03e8" in line
        assert re.search("1398[0-9]{3} bytes.*the stream takes 1048576", line)
        found = read_stream(k.client())
        assert {json.loads(d)["i"] for _, _, d in found} == set(range(999))
        assert fed.checkpoint() <= 999
        # A wider stream takes it, and everything goes on from there.
        k.client().update_max_record_size(
            StreamARN=f"arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}",
            MaxRecordSizeInKiB=10240)
        fed.ship()
        fed.wait_drained()
        assert_good(judge(k.client(), 2000, 100))


# ---- manners ---------------------------------------------------------------------------------

def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_costs_nothing():
    with Kinesisd(streams=f"{STREAM}:1") as k, Fed(k.endpoint) as fed:
        shipper = fed.feed(100, 10).ship()
        fed.wait_drained()
        before = cpu_seconds(shipper.pid)
        time.sleep(3)  # the measured interval itself, not a wait for something
        assert cpu_seconds(shipper.pid) - before <= 0.2


def test_nobody_there_is_no_hot_loop():
    with Fed(f"http://127.0.0.1:{free_port()}") as fed:
        shipper = fed.feed(1000, 10).ship()
        fed.wait_log("code=connect")
        before = cpu_seconds(shipper.pid)
        time.sleep(2)  # the measured interval itself, not a wait for something
        assert cpu_seconds(shipper.pid) - before <= 0.2
        assert fed.log().count("\n") < 30
        assert fed.stop() == 0
