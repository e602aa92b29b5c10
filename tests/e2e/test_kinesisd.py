"""kinesisd's API through boto3: every call, AWS's limits and error codes, order over resharding."""

import base64
import hashlib
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from kinesis_server import Kinesisd, wait_until

MIB = 1024 * 1024
MAX_HASH = 2**128 - 1


@pytest.fixture(scope="module")
def server():
    """Without throttling, so that limits of size can be tried quickly."""
    with Kinesisd(streams="s:4,one:1", throttle=False, state_delay_ms=30) as k:
        yield k


@pytest.fixture(scope="module")
def client(server):
    return server.client()


def code_of(call, **arguments):
    with pytest.raises(ClientError) as e:
        call(**arguments)
    return e.value.response["Error"]["Code"]


def error_of(call, **arguments):
    with pytest.raises(ClientError) as e:
        call(**arguments)
    error = e.value.response["Error"]
    return error["Code"], error["Message"]


def active(client, name):
    def is_active():
        answer = client.describe_stream_summary(StreamName=name)
        return answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"
    wait_until(is_active, 5, f"{name} is ACTIVE")


def new_stream(client, name, shards=1, **more):
    client.create_stream(StreamName=name, ShardCount=shards, **more)
    active(client, name)
    return name


def shards_of(client, name, **arguments):
    return client.list_shards(StreamName=name, **arguments)["Shards"]


def read_shard(client, stream, shard, limit=10000):
    """All records of a shard now, and the last answer."""
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard,
                                         ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    records = []
    while True:
        answer = client.get_records(ShardIterator=iterator, Limit=limit)
        records += answer["Records"]
        iterator = answer.get("NextShardIterator")
        if iterator is None or answer["MillisBehindLatest"] == 0:
            return records, answer


def put(client, stream, n, key="k{}", size=10):
    records = [{"Data": f"{i}".ljust(size).encode(), "PartitionKey": key.format(i)}
               for i in range(n)]
    return client.put_records(StreamName=stream, Records=records)


def raw(server, body, target="PutRecords", headers=None, path="/", method="POST"):
    """A request made by hand; returns status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    all_headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"Kinesis_20131202.{target}",
        "X-Amz-Date": now,
        "Authorization": f"AWS4-HMAC-SHA256 Credential=A/{now[:8]}/us-east-1/kinesis/aws4_request,"
                         " SignedHeaders=host;x-amz-date, Signature=0",
    }
    all_headers.update(headers or {})
    body = body if isinstance(body, (bytes, str)) else json.dumps(body)
    connection.request(method, path, body, {k: v for k, v in all_headers.items() if v is not None})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, answer.headers, text


def raw_error(server, body, **more):
    status, _, text = raw(server, body, **more)
    answer = json.loads(text)
    return status, answer["__type"], answer.get("message", "")


# ---- putting ---------------------------------------------------------------------------------

def test_put_and_read_back(client):
    stream = new_stream(client, "roundtrip", 3)
    sent = {}
    records = []
    for i in range(200):
        data = hashlib.sha512(str(i).encode()).digest() * (i % 7)
        key = f"schl\u00fcssel-\U0001f511-{i}"
        sent[key] = data
        records.append({"Data": data, "PartitionKey": key})
    answer = client.put_records(StreamName=stream, Records=records)
    assert answer["FailedRecordCount"] == 0
    assert len(answer["Records"]) == 200
    got = {}
    for shard in shards_of(client, stream):
        numbers = []
        start, end = (int(shard["HashKeyRange"][k]) for k in ("StartingHashKey", "EndingHashKey"))
        for r in read_shard(client, stream, shard["ShardId"], limit=17)[0]:
            got[r["PartitionKey"]] = r["Data"]
            numbers.append(int(r["SequenceNumber"]))
            hashed = int(hashlib.md5(r["PartitionKey"].encode()).hexdigest(), 16)
            assert start <= hashed <= end
        assert numbers == sorted(set(numbers))
    assert got == sent
    told = {(a["ShardId"], a["SequenceNumber"]) for a in answer["Records"]}
    assert len(told) == 200


def test_bounds_are_those_of_aws(client):
    shards = shards_of(client, "s")
    ranges = [(int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
              for s in shards]
    assert ranges == [(k * 2**126, (k + 1) * 2**126 - 1) for k in range(4)]


@pytest.mark.parametrize("hash_key, shard", [
    ("0", 0), (str(2**126 - 1), 0), (str(2**126), 1), (str(2**127), 2), (str(MAX_HASH), 3)])
def test_explicit_hash_key(client, hash_key, shard):
    answer = client.put_record(StreamName="s", Data=b"x", PartitionKey="p",
                               ExplicitHashKey=hash_key)
    assert answer["ShardId"] == f"shardId-{shard:012}"


def test_explicit_hash_key_out_of_range(client):
    code, message = error_of(client.put_record, StreamName="s", Data=b"x", PartitionKey="p",
                             ExplicitHashKey=str(2**128))
    assert code == "InvalidArgumentException"
    assert message == ("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: "
                       f"[0, 2^128-1]. Specified value was {2**128}")
    assert code_of(client.put_record, StreamName="s", Data=b"x", PartitionKey="p",
                   ExplicitHashKey="-1") == "ValidationException"


def test_record_count_limits(client):
    assert put(client, "s", 500)["FailedRecordCount"] == 0
    code, message = error_of(client.put_records, StreamName="s",
                             Records=[{"Data": b"a", "PartitionKey": "k"}] * 501)
    assert code == "ValidationException"
    assert message.startswith(
        "1 validation error detected: Value '[PutRecordsRequestEntry(data=java.nio.HeapByteBuffer"
        "[pos=0 lim=1 cap=1], explicitHashKey=null, partitionKey=k), ")
    assert message.endswith("at 'records' failed to satisfy constraint: "
                            "Member must have length less than or equal to 500")
    assert error_of(client.put_records, StreamName="s", Records=[]) == (
        "ValidationException",
        "1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1")


def test_record_size_limits(client):
    client.put_record(StreamName="s", Data=b"x" * (MIB - 1), PartitionKey="p")
    code, message = error_of(client.put_record, StreamName="s", Data=b"x" * MIB, PartitionKey="p")
    assert code == "InvalidArgumentException" and "1048577" in message
    code, message = error_of(client.put_records, StreamName="s", Records=[
        {"Data": b"y", "PartitionKey": "q"}, {"Data": b"x" * (MIB + 1), "PartitionKey": "p"}])
    assert (code, message) == (
        "ValidationException",
        "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 "
        "cap=1048577]' at 'records.2.member.data' failed to satisfy constraint: Member must have "
        "length less than or equal to 1048576")


def test_one_bad_record_refuses_the_whole_call(server, client):
    before = server.records("s")
    assert code_of(client.put_records, StreamName="s", Records=[
        {"Data": b"good", "PartitionKey": "q"}, {"Data": b"bad", "PartitionKey": ""}]
    ) == "ValidationException"
    assert server.records("s") == before


def test_request_size_limit(server, client):
    record = {"Data": b"x" * (MIB - 2), "PartitionKey": "ab"}
    assert client.put_records(StreamName="s", Records=[record] * 10)["FailedRecordCount"] == 0
    before = server.records("s")
    code, message = error_of(client.put_records, StreamName="s",
                             Records=[record] * 10 + [{"Data": b"", "PartitionKey": "x"}])
    assert (code, message) == ("InvalidArgumentException", "Records size exceeds 10 MB limit")
    assert server.records("s") == before


def test_large_records_after_update(client):
    stream = new_stream(client, "large")
    arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    client.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=10240)
    active(client, stream)
    data = b"z" * (10 * MIB - 1)
    client.put_record(StreamName=stream, Data=data, PartitionKey="p")
    records, _ = read_shard(client, stream, "shardId-000000000000")
    assert records[0]["Data"] == data
    summary = client.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
    assert summary["MaxRecordSizeInKiB"] == 10240
    assert code_of(client.update_max_record_size, StreamARN=arn,
                   MaxRecordSizeInKiB=1023) == "ValidationException"


@pytest.mark.parametrize("key, accepted", [
    ("", False), ("k", True), ("k" * 256, True), ("k" * 257, False), ("\u00e4" * 256, True),
    ("\u00e4" * 257, False), ("\U0001f511" * 128, True), ("\U0001f511" * 129, False)])
def test_key_length_is_counted_in_characters(client, key, accepted):
    if accepted:
        client.put_record(StreamName="s", Data=b"x", PartitionKey=key)
    else:
        code, message = error_of(client.put_record, StreamName="s", Data=b"x", PartitionKey=key)
        assert code == "ValidationException"
        assert "at 'partitionKey' failed to satisfy constraint: Member must have length" in message


def test_missing_members_are_all_named(server):
    status, code, message = raw_error(server, {"StreamName": "s", "Records": [{}, {"Data": "QQ=="}]})
    assert (status, code) == (400, "ValidationException")
    assert message == (
        "3 validation errors detected: "
        "Value null at 'records.1.member.data' failed to satisfy constraint: Member must not be "
        "null; Value null at 'records.1.member.partitionKey' failed to satisfy constraint: Member "
        "must not be null; Value null at 'records.2.member.partitionKey' failed to satisfy "
        "constraint: Member must not be null")


@pytest.mark.parametrize("body, text", [
    ("", ""), ("{", ""), ("[]", ""), ("null", ""), ('{"Records":[}', ""),
    ({"StreamName": 1}, "can not be converted to an String"),
    ({"StreamName": "s", "Records": {}}, "Start of structure or map found where not expected."),
    ({"StreamName": "s", "Records": [{"Data": "A", "PartitionKey": "k"}]},
     "'A' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes "
     "but found: 1"),
    ({"StreamName": "s", "Records": [{"Data": "QQ-=", "PartitionKey": "k"}]},
     "Invalid Base64 character: '-'")])
def test_serialization_errors(server, body, text):
    status, code, message = raw_error(server, body)
    assert (status, code) == (400, "SerializationException")
    assert text in message


@pytest.mark.parametrize("operation", ["ListStreams", "GetRecords", "CreateStream"])
def test_serialization_errors_of_the_other_calls(server, operation):
    for body in ("", "{", "[]", '{"a":}'):
        assert raw_error(server, body, target=operation)[:2] == (400, "SerializationException")
    assert raw_error(server, {"Limit": "x", "ShardIterator": 1, "StreamName": []},
                     target=operation)[:2] == (400, "SerializationException")


def test_sequence_number_for_ordering(client):
    last = client.put_record(StreamName="one", Data=b"1", PartitionKey="p")["SequenceNumber"]
    for i in range(5):
        now = client.put_record(StreamName="one", Data=b"2", PartitionKey="p",
                                SequenceNumberForOrdering=last)["SequenceNumber"]
        assert int(now) > int(last)
        last = now
    future = str(int(last) + 2**100)
    code, message = error_of(client.put_record, StreamName="one", Data=b"2", PartitionKey="p",
                             SequenceNumberForOrdering=future)
    assert code == "InvalidArgumentException"
    assert message == (f"ExclusiveMinimumSequenceNumber {future} used in PutRecord on stream one "
                       "under account 000000000000 is invalid.")


@pytest.mark.parametrize("call, arguments", [
    ("put_record", {"Data": b"x", "PartitionKey": "p"}),
    ("put_records", {"Records": [{"Data": b"x", "PartitionKey": "p"}]}),
    ("get_shard_iterator", {"ShardId": "shardId-000000000000",
                            "ShardIteratorType": "TRIM_HORIZON"})])
def test_dry_run(server, call, arguments):
    before = server.records("s")
    target = "".join(word.capitalize() for word in call.split("_"))
    encoded = json.loads(json.dumps({"StreamName": "s", "DryRun": True, **arguments},
                                    default=lambda b: base64.b64encode(b).decode()))
    assert raw_error(server, encoded, target=target)[:2] == (400, "DryRunOperationException")
    assert server.records("s") == before
    # A dry run of what is not permitted is refused for its own reason.
    encoded["StreamName"] = "none"
    assert raw_error(server, encoded, target=target)[1] == "ResourceNotFoundException"


# ---- streams ---------------------------------------------------------------------------------

def test_unknown_stream(client):
    text = "Stream nosuch under account 000000000000 not found."
    for call, arguments in ((client.put_records, {"Records": [{"Data": b"", "PartitionKey": "k"}]}),
                            (client.put_record, {"Data": b"", "PartitionKey": "k"}),
                            (client.describe_stream, {}), (client.describe_stream_summary, {}),
                            (client.list_shards, {}), (client.delete_stream, {}),
                            (client.split_shard, {"ShardToSplit": "shardId-000000000000",
                                                  "NewStartingHashKey": "10"})):
        assert error_of(call, StreamName="nosuch", **arguments) == (
            "ResourceNotFoundException", text)


def test_names_and_arns(client):
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
    for selector in ({"StreamName": "s"}, {"StreamARN": arn}, {"StreamName": "s", "StreamARN": arn}):
        assert client.put_record(Data=b"x", PartitionKey="p", **selector)["SequenceNumber"]
        summary = client.describe_stream_summary(**selector)["StreamDescriptionSummary"]
        assert summary["StreamARN"] == arn and summary["StreamName"] == "s"
    assert code_of(client.describe_stream) == "InvalidArgumentException"
    assert code_of(client.describe_stream, StreamName="one",
                   StreamARN=arn) == "InvalidArgumentException"
    assert code_of(client.describe_stream, StreamName="a b") == "ValidationException"
    assert code_of(client.describe_stream, StreamName="x" * 129) == "ValidationException"
    assert code_of(client.describe_stream, StreamARN="s") == "ValidationException"
    assert code_of(client.describe_stream, StreamARN=arn.replace("us-east-1", "eu-west-1")
                   ) == "ResourceNotFoundException"


def test_life_of_a_stream():
    with Kinesisd(state_delay_ms=800) as k:
        client = k.client()
        record = {"StreamName": "life", "Data": b"x", "PartitionKey": "k"}
        client.create_stream(StreamName="life", ShardCount=2)

        def status():
            try:
                return client.describe_stream(StreamName="life")["StreamDescription"]["StreamStatus"]
            except client.exceptions.ResourceNotFoundException:
                return "gone"

        assert status() == "CREATING"
        assert code_of(client.put_record, **record) == "ResourceNotFoundException"
        assert code_of(client.create_stream, StreamName="life",
                       ShardCount=1) == "ResourceInUseException"
        wait_until(lambda: status() == "ACTIVE", 5, "ACTIVE")
        client.put_record(**record)
        client.split_shard(StreamName="life", ShardToSplit="shardId-000000000000",
                           NewStartingHashKey="1000")
        assert status() == "UPDATING"
        client.put_record(**record)
        code, message = error_of(client.merge_shards, StreamName="life",
                                 ShardToMerge="shardId-000000000000",
                                 AdjacentShardToMerge="shardId-000000000001")
        assert (code, message) == (
            "ResourceInUseException",
            "Stream life under account 000000000000 not ACTIVE, instead in state UPDATING")
        wait_until(lambda: status() == "ACTIVE", 5, "ACTIVE again")
        client.delete_stream(StreamName="life")
        assert status() == "DELETING"
        assert code_of(client.put_record, **record) == "ResourceNotFoundException"
        wait_until(lambda: status() == "gone", 5, "gone")
        client.create_stream(StreamName="life", ShardCount=1)
        wait_until(lambda: status() == "ACTIVE", 5, "ACTIVE anew")
        assert read_shard(client, "life", "shardId-000000000000")[0] == []


def test_create_stream_limits(server, client):
    assert code_of(client.create_stream, StreamName="x") == "ValidationException"
    assert code_of(client.create_stream, StreamName="x", ShardCount=0) == "ValidationException"
    assert code_of(client.create_stream, StreamName="", ShardCount=1) == "ValidationException"
    server.control(shard_limit=10)
    try:
        assert code_of(client.create_stream, StreamName="x",
                       ShardCount=10) == "LimitExceededException"
    finally:
        server.control(shard_limit=20000)
    with Kinesisd(state_delay_ms=60000) as k:
        for i in range(5):
            k.client().create_stream(StreamName=f"c{i}", ShardCount=1)
        assert code_of(k.client().create_stream, StreamName="c5",
                       ShardCount=1) == "LimitExceededException"


def test_on_demand(client):
    client.create_stream(StreamName="demand", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    active(client, "demand")
    summary = client.describe_stream_summary(StreamName="demand")["StreamDescriptionSummary"]
    assert summary["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert summary["OpenShardCount"] == 4
    assert code_of(client.split_shard, StreamName="demand", ShardToSplit="shardId-000000000000",
                   NewStartingHashKey="1000") == "ValidationException"
    client.update_stream_mode(StreamARN=summary["StreamARN"],
                              StreamModeDetails={"StreamMode": "PROVISIONED"})
    active(client, "demand")
    client.split_shard(StreamName="demand", ShardToSplit="shardId-000000000000",
                       NewStartingHashKey="1000")
    active(client, "demand")
    limits = client.describe_limits()
    assert limits["OnDemandStreamCount"] == 0 and limits["OpenShardCount"] > 5


def test_list_streams_pages(server):
    with Kinesisd(streams=",".join(f"p{i:02}:1" for i in range(25))) as k:
        client = k.client()
        names = []
        arguments = {}
        while True:
            answer = client.list_streams(Limit=10, **arguments)
            names += answer["StreamNames"]
            assert [s["StreamName"] for s in answer["StreamSummaries"]] == answer["StreamNames"]
            if not answer["HasMoreStreams"]:
                break
            arguments = {"NextToken": answer["NextToken"]}
        assert names == [f"p{i:02}" for i in range(25)]
        assert client.list_streams(ExclusiveStartStreamName="p22")["StreamNames"] == ["p23", "p24"]


def test_describe_stream_pages(client):
    stream = new_stream(client, "pages", 7)
    first = client.describe_stream(StreamName=stream, Limit=4)["StreamDescription"]
    assert first["HasMoreShards"] and len(first["Shards"]) == 4
    rest = client.describe_stream(StreamName=stream, Limit=4, ExclusiveStartShardId=first["Shards"]
                                  [-1]["ShardId"])["StreamDescription"]
    assert not rest["HasMoreShards"] and len(rest["Shards"]) == 3


# ---- shards ----------------------------------------------------------------------------------

def test_list_shards_pages_and_filters(server, client):
    stream = new_stream(client, "filters", 3)
    before = time.time()
    time.sleep(0.01)
    client.update_shard_count(StreamName=stream, TargetShardCount=6, ScalingType="UNIFORM_SCALING")
    active(client, stream)

    def ids(**f):
        shards = shards_of(client, stream, **({"ShardFilter": f} if f else {}))
        return [int(s["ShardId"][8:]) for s in shards]

    assert ids() == ids(Type="FROM_TRIM_HORIZON") == list(range(9))
    assert ids(Type="AT_LATEST") == [3, 4, 5, 6, 7, 8]
    assert ids(Type="AT_TRIM_HORIZON") == [0, 1, 2]
    assert ids(Type="AFTER_SHARD_ID", ShardId="shardId-000000000006") == [7, 8]
    assert ids(Type="AT_TIMESTAMP", Timestamp=before) == [0, 1, 2]
    assert ids(Type="FROM_TIMESTAMP", Timestamp=before) == list(range(9))
    assert ids(Type="FROM_TIMESTAMP", Timestamp=time.time()) == [3, 4, 5, 6, 7, 8]
    assert [int(s["ShardId"][8:]) for s in shards_of(
        client, stream, ExclusiveStartShardId="shardId-000000000005")] == [6, 7, 8]

    answer = client.list_shards(StreamName=stream, MaxResults=4, ShardFilter={"Type": "AT_LATEST"})
    token = answer["NextToken"]
    rest = client.list_shards(NextToken=token)
    assert [int(s["ShardId"][8:]) for s in answer["Shards"] + rest["Shards"]] == [3, 4, 5, 6, 7, 8]
    assert "NextToken" not in rest
    assert code_of(client.list_shards, NextToken=token,
                   StreamName=stream) == "InvalidArgumentException"
    assert code_of(client.list_shards, NextToken="bad") == "InvalidArgumentException"
    assert code_of(client.list_shards, StreamName=stream,
                   ShardFilter={"Type": "NOW"}) == "ValidationException"
    assert code_of(client.list_shards, StreamName=stream,
                   ShardFilter={"Type": "AFTER_SHARD_ID"}) == "InvalidArgumentException"
    server.control(token_ms=-1)
    try:
        assert code_of(client.list_shards, NextToken=token) == "ExpiredNextTokenException"
    finally:
        server.control(token_ms=300000)


def test_split_and_merge_are_checked(client):
    stream = new_stream(client, "checked", 3)
    shard = ["shardId-%012d" % i for i in range(4)]
    assert code_of(client.split_shard, StreamName=stream, ShardToSplit=shard[3],
                   NewStartingHashKey="10") == "ResourceNotFoundException"
    for hash_key in ("0", "1", str(MAX_HASH)):
        assert code_of(client.split_shard, StreamName=stream, ShardToSplit=shard[0],
                       NewStartingHashKey=hash_key) == "InvalidArgumentException"
    assert code_of(client.split_shard, StreamName=stream, ShardToSplit=shard[0],
                   NewStartingHashKey="x") == "ValidationException"
    code, message = error_of(client.merge_shards, StreamName=stream, ShardToMerge=shard[0],
                             AdjacentShardToMerge=shard[2])
    assert (code, message) == (
        "InvalidArgumentException",
        f"Shards {shard[0]} and {shard[2]} in stream checked under account 000000000000 are not an "
        "adjacent pair of shards eligible for merging")
    client.merge_shards(StreamName=stream, ShardToMerge=shard[1], AdjacentShardToMerge=shard[2])
    active(client, stream)
    assert code_of(client.split_shard, StreamName=stream, ShardToSplit=shard[1],
                   NewStartingHashKey="10") == "InvalidArgumentException"
    child = shards_of(client, stream)[-1]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (shard[1], shard[2])


def test_update_shard_count_limits(client):
    stream = new_stream(client, "scaled", 4)
    for target in (9, 1):
        assert code_of(client.update_shard_count, StreamName=stream, TargetShardCount=target,
                       ScalingType="UNIFORM_SCALING") == "InvalidArgumentException"
    for i, target in enumerate((8, 5, 3, 6, 4, 2, 4, 8, 4, 8)):
        answer = client.update_shard_count(StreamName=stream, TargetShardCount=target,
                                           ScalingType="UNIFORM_SCALING")
        assert answer["TargetShardCount"] == target
        active(client, stream)
        shards = shards_of(client, stream, ShardFilter={"Type": "AT_LATEST"})
        bounds = sorted((int(s["HashKeyRange"]["StartingHashKey"]),
                         int(s["HashKeyRange"]["EndingHashKey"])) for s in shards)
        assert [b[0] for b in bounds] == [k * 2**128 // target for k in range(target)]
        assert bounds[-1][1] == MAX_HASH
    assert code_of(client.update_shard_count, StreamName=stream, TargetShardCount=4,
                   ScalingType="UNIFORM_SCALING") == "LimitExceededException"


def test_order_over_resharding(client):
    """Keys written one record at a time while shards come and go: a reader that finishes parents
    before children sees every key in order, and numbers that rise per key."""
    stream = new_stream(client, "resharded", 2)
    keys = [f"key-{i}" for i in range(20)]

    def write(key):
        numbers = []
        for i in range(150):
            answer = client.put_record(StreamName=stream, Data=f"{i}".encode(), PartitionKey=key)
            numbers.append(answer["SequenceNumber"])
        assert [int(n) for n in numbers] == sorted(set(map(int, numbers)))

    def reshard():
        for target in (4, 3, 6, 3):
            client.update_shard_count(StreamName=stream, TargetShardCount=target,
                                      ScalingType="UNIFORM_SCALING")
            active(client, stream)

    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(write, key) for key in keys] + [pool.submit(reshard)]
        for job in jobs:
            job.result()

    seen = {key: [] for key in keys}
    done = set()
    waiting = {s["ShardId"]: s for s in shards_of(client, stream)}
    while waiting:
        ready = [s for s in waiting.values()
                 if {s.get("ParentShardId"), s.get("AdjacentParentShardId")} - {None} <= done]
        for shard in ready:
            records, last = read_shard(client, stream, shard["ShardId"])
            for r in records:
                seen[r["PartitionKey"]].append(int(r["Data"]))
            is_closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
            assert is_closed == ("NextShardIterator" not in last) == ("ChildShards" in last)
            for r in records:
                numbers = shard["SequenceNumberRange"]
                assert int(r["SequenceNumber"]) > int(numbers["StartingSequenceNumber"])
                assert not is_closed or int(r["SequenceNumber"]) < int(
                    numbers["EndingSequenceNumber"])
            done.add(shard["ShardId"])
            del waiting[shard["ShardId"]]
    assert all(seen[key] == list(range(150)) for key in keys)


# ---- reading ---------------------------------------------------------------------------------

def test_iterator_types(client):
    stream = new_stream(client, "iterators")
    shard = "shardId-000000000000"
    numbers = []
    times = []
    for i in range(5):
        time.sleep(0.003)
        times.append(time.time())
        numbers.append(client.put_record(StreamName=stream, Data=b"%d" % i,
                                         PartitionKey="p")["SequenceNumber"])

    def data(kind, **arguments):
        iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard,
                                             ShardIteratorType=kind, **arguments)["ShardIterator"]
        return b"".join(r["Data"] for r in client.get_records(ShardIterator=iterator)["Records"])

    assert data("TRIM_HORIZON") == b"01234"
    assert data("LATEST") == b""
    assert data("AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == b"234"
    assert data("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == b"34"
    assert data("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[4]) == b""
    assert data("AT_TIMESTAMP", Timestamp=0) == b"01234"
    assert data("AT_TIMESTAMP", Timestamp=times[3]) == b"34"
    assert data("AT_TIMESTAMP", Timestamp=time.time() + 5) == b""
    start = shards_of(client, stream)[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert data("AT_SEQUENCE_NUMBER", StartingSequenceNumber=start) == b"01234"
    assert data("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=start) == b"01234"

    get = client.get_shard_iterator
    common = {"StreamName": stream, "ShardId": shard}
    for more in ({"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
                 {"ShardIteratorType": "LATEST", "StartingSequenceNumber": numbers[0]},
                 {"ShardIteratorType": "AT_TIMESTAMP"},
                 {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "12"},
                 {"ShardIteratorType": "AT_SEQUENCE_NUMBER",
                  "StartingSequenceNumber": client.put_record(
                      StreamName="s", Data=b"", PartitionKey="p",
                      ExplicitHashKey=str(MAX_HASH))["SequenceNumber"]}):
        assert code_of(get, **common, **more) == "InvalidArgumentException"
    assert code_of(get, **common, ShardIteratorType="SOMEWHERE") == "ValidationException"
    assert error_of(get, StreamName=stream, ShardId="shardId-000000000009",
                    ShardIteratorType="LATEST") == (
        "ResourceNotFoundException",
        "Shard shardId-000000000009 in stream iterators under account 000000000000 does not exist")


def test_get_records_limits(client):
    stream = new_stream(client, "readlimits")
    for _ in range(3):
        client.put_records(StreamName=stream,
                           Records=[{"Data": b"x" * (MIB - 1), "PartitionKey": "p"}] * 6)
    iterator = client.get_shard_iterator(StreamName=stream, ShardId="shardId-000000000000",
                                         ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    answer = client.get_records(ShardIterator=iterator)
    assert len(answer["Records"]) == 10
    answer = client.get_records(ShardIterator=answer["NextShardIterator"], Limit=3)
    assert len(answer["Records"]) == 3
    answer = client.get_records(ShardIterator=answer["NextShardIterator"])
    assert len(answer["Records"]) == 5 and answer["MillisBehindLatest"] == 0
    for limit in (0, 10001):
        assert code_of(client.get_records, ShardIterator=iterator,
                       Limit=limit) == "ValidationException"


def test_iterators_expire_and_are_checked(server, client):
    iterator = client.get_shard_iterator(StreamName="s", ShardId="shardId-000000000000",
                                         ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    middle = len(iterator) // 2
    forged = iterator[:middle] + ("A" if iterator[middle] != "A" else "B") + iterator[middle + 1:]
    for bad in ("x", "AAAA", forged, iterator[:-4]):
        assert code_of(client.get_records, ShardIterator=bad) == "InvalidArgumentException"
    server.control(iterator_ms=-1)
    try:
        code, message = error_of(client.get_records, ShardIterator=iterator)
    finally:
        server.control(iterator_ms=300000)
    assert code == "ExpiredIteratorException"
    assert message.startswith("Iterator expired. The iterator was created at time ")


def test_trimmed_records_are_gone():
    with Kinesisd(streams="t:1", throttle=False, max_records_kept=100) as k:
        client = k.client()
        numbers = [r["SequenceNumber"] for _ in range(3)
                   for r in put(client, "t", 100, key="k")["Records"]]
        records, _ = read_shard(client, "t", "shardId-000000000000")
        assert [r["SequenceNumber"] for r in records] == numbers[200:]
        iterator = client.get_shard_iterator(
            StreamName="t", ShardId="shardId-000000000000", ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=numbers[5])["ShardIterator"]
        first = client.get_records(ShardIterator=iterator, Limit=1)["Records"][0]
        assert first["SequenceNumber"] == numbers[200]


def test_millis_behind_latest(client):
    stream = new_stream(client, "behind")
    put(client, stream, 2)
    iterator = client.get_shard_iterator(StreamName=stream, ShardId="shardId-000000000000",
                                         ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    time.sleep(0.05)
    answer = client.get_records(ShardIterator=iterator, Limit=1)
    assert 50 <= answer["MillisBehindLatest"] < 5000
    answer = client.get_records(ShardIterator=answer["NextShardIterator"], Limit=1)
    assert answer["MillisBehindLatest"] == 0


# ---- throttling ------------------------------------------------------------------------------

def test_records_per_second():
    with Kinesisd(streams="t:2") as k:
        client = k.client()
        records = [{"Data": b"x", "PartitionKey": "p", "ExplicitHashKey": "0"}] * 500
        start = time.monotonic()
        answers = [client.put_records(StreamName="t", Records=records) for _ in range(4)]
        refilled = 1000 * (time.monotonic() - start) + 1
        failed = [r for a in answers for r in a["Records"] if "ErrorCode" in r]
        assert sum(a["FailedRecordCount"] for a in answers) == len(failed)
        # A burst of one second, and what was refilled meanwhile.
        assert 1000 - refilled <= len(failed) <= 1000
        assert answers[0]["FailedRecordCount"] == answers[1]["FailedRecordCount"] == 0
        assert {(r["ErrorCode"], r["ErrorMessage"]) for r in failed} == {
            ("ProvisionedThroughputExceededException",
             "Rate exceeded for shard shardId-000000000000 in stream t under account "
             "000000000000.")}
        # The other shard has its own bucket.
        other = [{"Data": b"x", "PartitionKey": "p", "ExplicitHashKey": str(MAX_HASH)}] * 500
        assert client.put_records(StreamName="t", Records=other)["FailedRecordCount"] == 0
        assert k.counters()["throttled"] == len(failed)
        assert k.records("t") == 2000 - len(failed) + 500


def test_put_record_is_throttled_as_a_whole():
    with Kinesisd(streams="t:1", shard_rate=1) as k:
        client = k.client()
        record = {"StreamName": "t", "Data": b"x", "PartitionKey": "p"}
        client.put_record(**record)
        assert code_of(client.put_record, **record) == "ProvisionedThroughputExceededException"
        k.control(throttle={"writes": False})
        client.put_record(**record)


def test_bytes_per_second():
    with Kinesisd(streams="t:1") as k:
        answer = k.client().put_records(
            StreamName="t", Records=[{"Data": b"x" * 100_000, "PartitionKey": "p"}] * 50)
        assert 10 <= 50 - answer["FailedRecordCount"] <= 15


def test_throttle_can_be_changed():
    with Kinesisd(streams="t:1", shard_rate=10) as k:
        client = k.client()
        assert put(client, "t", 100)["FailedRecordCount"] >= 89
        k.control(throttle={"writes": False})
        assert put(client, "t", 100)["FailedRecordCount"] == 0
        k.control(throttle={"writes": True, "records_per_s": 1000000})
        wait_until(lambda: put(client, "t", 100)["FailedRecordCount"] == 0, 5, "a full bucket")
        k.control(throttle={"reads": True})
        iterator = client.get_shard_iterator(StreamName="t", ShardId="shardId-000000000000",
                                             ShardIteratorType="LATEST")["ShardIterator"]
        with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
            for _ in range(30):
                client.get_records(ShardIterator=iterator)


# ---- HTTP ------------------------------------------------------------------------------------

def test_headers_and_odd_requests(server):
    status, headers, body = raw(server, {}, target="ListStreams")
    assert status == 200 and json.loads(body)["HasMoreStreams"] is False
    assert len(headers["x-amzn-RequestId"]) == 36 and headers["x-amz-id-2"] and headers["Date"]
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert raw(server, None or "", method="GET")[0] == 403
    assert raw(server, "", method="GET", path="/healthcheck")[0] == 200
    assert raw(server, "{}", headers={"Content-Type": "application/json"})[0] == 404
    assert raw_error(server, {}, target="NoSuchCall")[:2] == (400, "UnknownOperationException")
    assert raw(server, {}, headers={"X-Amz-Target": None})[0] == 403


def test_history_file(tmp_path):
    file = tmp_path / "history"
    with Kinesisd(streams="h:2", throttle=False, history=file) as k:
        client = k.client()
        answer = client.put_records(StreamName="h", Records=[
            {"Data": b"one", "PartitionKey": "tab\tline\nback\\slash"},
            {"Data": b"", "PartitionKey": "\u00e4"}])
        wait_until(lambda: file.read_text().count("\n") == 2, 5, "two lines")
        put(client, "h", 500)
    lines = [line.split("\t") for line in file.read_text().splitlines()]
    assert len(lines) == 502 and all(len(line) == 6 for line in lines)
    told = answer["Records"][0]
    assert lines[0] == ["h", told["ShardId"], told["SequenceNumber"], r"tab\tline\nback\\slash",
                        "3", hashlib.md5(b"one").hexdigest()]
    assert lines[1][3:5] == ["\u00e4", "0"]
    with Kinesisd(streams="h:2", history=file, history_data=True) as k:
        k.client().put_record(StreamName="h", Data=b"\x00\xff", PartitionKey="p")
    assert file.read_text().split("\t")[5].strip() == base64.b64encode(b"\x00\xff").decode()
