"""kinesisd's signatures, TLS and faults on demand, seen by boto3 and by raw sockets."""

import datetime
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import time

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, SSLError
from kinesis_server import Kinesisd, wait_until

RECORD = {"Data": b"x", "PartitionKey": "p"}


def failure(call, **arguments):
    with pytest.raises(ClientError) as e:
        call(**arguments)
    error = e.value.response["Error"]
    return error["Code"], error["Message"]


# ---- signatures ------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def locked():
    with Kinesisd(streams="s:2", throttle=False, credentials=[
            "# comment", "", "AKIDPLAIN plain-secret", "AKIDTOKEN token-secret the-token",
            "AKIDOLD old-secret old-token expired", "AKIDGONE gone-secret - expired"]) as k:
        yield k


def keys(which):
    return {
        "plain": {"access_key": "AKIDPLAIN", "secret_key": "plain-secret"},
        "token": {"access_key": "AKIDTOKEN", "secret_key": "token-secret", "token": "the-token"},
    }[which]


@pytest.mark.parametrize("which", ["plain", "token"])
def test_right_keys(locked, which):
    client = locked.client(**keys(which))
    client.put_records(StreamName="s", Records=[RECORD] * 3)
    client.put_record(StreamName="s", Data=b"y" * 1_000_000,
                      PartitionKey="schl\u00fcssel")
    assert client.list_streams()["StreamNames"] == ["s"]


@pytest.mark.parametrize("key, secret, token, code, text", [
    ("AKIDPLAIN", "wrong", None, "InvalidSignatureException",
     "The request signature we calculated does not match the signature you provided."),
    ("AKIDNOBODY", "plain-secret", None, "UnrecognizedClientException",
     "The security token included in the request is invalid."),
    ("AKIDPLAIN", "plain-secret", "a-token", "UnrecognizedClientException", "invalid"),
    ("AKIDTOKEN", "token-secret", None, "UnrecognizedClientException", "invalid"),
    ("AKIDTOKEN", "token-secret", "other", "UnrecognizedClientException", "invalid"),
    ("AKIDOLD", "old-secret", "old-token", "ExpiredTokenException",
     "The security token included in the request is expired"),
    ("AKIDGONE", "gone-secret", None, "ExpiredTokenException", "expired"),
])
def test_wrong_keys(locked, key, secret, token, code, text):
    client = locked.client(access_key=key, secret_key=secret, token=token)
    before = locked.records("s")
    got, message = failure(client.put_records, StreamName="s", Records=[RECORD])
    assert got == code and text in message
    assert "secret" not in message
    assert locked.records("s") == before


def test_wrong_region(locked):
    locked.region, saved = "eu-west-1", locked.region
    try:
        client = locked.client(**keys("plain"))
    finally:
        locked.region = saved
    code, message = failure(client.list_streams)
    assert code == "InvalidSignatureException"
    assert message.startswith("Credential should be scoped to a valid region.")


@pytest.mark.parametrize("offset_s, text", [(301, "Signature expired: "),
                                            (-302, "Signature not yet current: "),
                                            (290, None), (-290, None)])
def test_clock_skew(offset_s, text):
    """The server's clock is off; its Date header tells."""
    with Kinesisd(streams="s:1", clock_offset_s=offset_s,
                  credentials=["AKIDPLAIN plain-secret"]) as k:
        client = k.client(**keys("plain"))
        if text is None:
            client.list_streams()
            return
        with pytest.raises(ClientError) as e:
            client.list_streams()
        assert e.value.response["Error"]["Code"] == "InvalidSignatureException"
        message = e.value.response["Error"]["Message"]
        assert message.startswith(text)
        assert message.endswith(" - 5 min.)" if offset_s > 0 else " + 5 min.)")
        date = e.value.response["ResponseMetadata"]["HTTPHeaders"]["date"]
        shown = datetime.datetime.strptime(date, "%a, %d %b %Y %H:%M:%S %Z")
        assert abs(shown.replace(tzinfo=datetime.timezone.utc).timestamp()
                   - time.time() - offset_s) < 5
        k.control(clock_offset_s=0)
        client.list_streams()


def exchange(server, request):
    """Sends bytes and reads until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
        s.sendall(request)
        answer = b""
        while True:
            try:
                piece = s.recv(65536)
            except ConnectionResetError:
                return answer + b"RESET"
            if not piece:
                break
            answer += piece
        return answer


def head(extra="", body=b"{}", target="ListStreams"):
    return (f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.1\r\n"
            f"X-Amz-Target: Kinesis_20131202.{target}\r\nContent-Length: {len(body)}\r\n"
            f"{extra}Connection: close\r\n\r\n").encode() + body


NOW = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
SCOPE = f"A/{NOW[:8]}/us-east-1/kinesis/aws4_request"


@pytest.mark.parametrize("header, code, text", [
    ("", "MissingAuthenticationTokenException", "Missing Authentication Token"),
    ("Authorization: Basic abc\r\n", "IncompleteSignatureException", "Unsupported AWS"),
    ("Authorization: AWS4-HMAC-SHA256 x\r\n", "IncompleteSignatureException",
     "Authorization header requires 'Credential' parameter. Authorization header requires "
     "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
     "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
     "Authorization=AWS4-HMAC-SHA256 x"),
    (f"X-Amz-Date: {NOW}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host\r\n",
     "IncompleteSignatureException", "requires 'Signature' parameter"),
    (f"X-Amz-Date: yesterday\r\nAuthorization: AWS4-HMAC-SHA256 Credential={SCOPE}, "
     "SignedHeaders=host, Signature=0\r\n", "IncompleteSignatureException", "ISO-8601"),
    (f"X-Amz-Date: {NOW}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A/B, SignedHeaders=host, "
     "Signature=0\r\n", "IncompleteSignatureException", "5 slash-delimited elements"),
])
def test_malformed_authorization(locked, header, code, text):
    answer = exchange(locked, head(header))
    assert answer.startswith(b"HTTP/1.1 400 ")
    body = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert body["__type"] == code and text in body["message"]


def sign(headers, signed, body, secret="plain-secret", region="us-east-1"):
    """Signature Version 4 written down once more, so that odd requests can be signed too."""
    def mac(key, text):
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    values = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(" ".join(value.split()))
    stamp = values["x-amz-date"][0]
    scope = f"{stamp[:8]}/{region}/kinesis/aws4_request"
    canonical = "POST\n/\n\n" + "".join(
        f"{name}:{','.join(values.get(name, ['']))}\n" for name in signed
    ) + f"\n{';'.join(signed)}\n{hashlib.sha256(body).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = mac(key, part)
    to_sign = (f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n"
               f"{hashlib.sha256(canonical.encode()).hexdigest()}")
    return (f"AWS4-HMAC-SHA256 Credential=AKIDPLAIN/{scope}, SignedHeaders={';'.join(signed)}, "
            f"Signature={mac(key, to_sign).hex()}")


SIGNED = ["content-type", "host", "x-amz-date", "x-amz-target"]


@pytest.mark.parametrize("change, text", [
    ({}, None),
    ({"more": [("X-Two", "a"), ("X-Two", "b   c")], "signed": SIGNED + ["x-two"]}, None),
    ({"body": b'{"Limit":1}'}, "does not match"),
    ({"target": "ListShards"}, "does not match"),
    ({"signed": SIGNED[::-1]}, "sorted"),
    ({"signed": ["Content-Type"] + SIGNED[1:]}, "lower case"),
    ({"signed": SIGNED[:3]}, "'X-Amz-Target' must be a 'SignedHeader'"),
    ({"signed": SIGNED[2:]}, "'Host' or ':authority' must be a 'SignedHeader'"),
    ({"signed": SIGNED[:1] + ["expect"] + SIGNED[1:]}, "no header 'expect'"),
])
def test_what_is_signed(locked, change, text):
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("Host", "x"),
               ("X-Amz-Date", stamp), ("X-Amz-Target", "Kinesis_20131202.ListStreams")]
    headers += change.get("more", [])
    authorization = sign(headers, change.get("signed", SIGNED), b"{}")
    body = change.get("body", b"{}")
    sent = "".join(f"{n}: {v}\r\n" for n, v in headers) + f"Authorization: {authorization}\r\n"
    if "target" in change:
        sent = sent.replace("ListStreams", change["target"])
    answer = exchange(locked, f"POST / HTTP/1.1\r\n{sent}Content-Length: {len(body)}\r\n"
                              f"Connection: close\r\n\r\n".encode() + body)
    answer = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    if text is None:
        assert answer["StreamNames"] == ["s"]
    else:
        assert answer["__type"] == "InvalidSignatureException" and text in answer["message"]


def test_credentials_file_is_checked(tmp_path):
    file = tmp_path / "credentials"
    for text in ("one\n", "a b c d\n", "a b c expired e\n"):
        file.write_text(text)
        with pytest.raises(RuntimeError, match="exit status 78"):
            Kinesisd(credentials=str(file)).start()


# ---- TLS -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=kinesisd", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
        check=True, capture_output=True)
    return directory / "cert.pem", directory / "key.pem"


def test_tls(certificate):
    with Kinesisd(streams="s:1", throttle=False, tls_cert=certificate[0],
                  tls_key=certificate[1], credentials=["AKIDPLAIN plain-secret"]) as k:
        client = k.client(**keys("plain"))
        for size in (1, 16383, 16384, 16385, 1_000_000):
            client.put_record(StreamName="s", Data=b"z" * size, PartitionKey="p")
        client.put_records(StreamName="s", Records=[{"Data": b"z" * 20000, "PartitionKey": "p"}] * 400)
        iterator = client.get_shard_iterator(StreamName="s", ShardId="shardId-000000000000",
                                             ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        assert len(client.get_records(ShardIterator=iterator)["Records"]) == 405
        k.ca = None
        with pytest.raises(SSLError):
            k.client(**keys("plain")).list_streams()
        context = ssl.create_default_context(cafile=str(certificate[0]))
        context.set_alpn_protocols(["h2", "http/1.1"])
        with socket.create_connection(("127.0.0.1", k.port)) as s:
            with context.wrap_socket(s, server_hostname="127.0.0.1") as t:
                assert t.selected_alpn_protocol() == "http/1.1"
        # Plain text on the TLS port ends that connection and no other.
        assert b"HTTP" not in exchange(k, head())
        k.ca = str(certificate[0])
        k.client(**keys("plain")).list_streams()


# ---- faults on demand ------------------------------------------------------------------------

@pytest.fixture
def server():
    with Kinesisd(streams="s:4,other:1", throttle=False) as k:
        yield k


@pytest.fixture
def client(server):
    return server.client()


def put(client, n=10, stream="s"):
    return client.put_records(StreamName=stream, Records=[
        {"Data": b"%d" % i, "PartitionKey": f"k{i}"} for i in range(n)])


def failed(answer):
    return [i for i, r in enumerate(answer["Records"]) if "ErrorCode" in r]


def test_next_n_requests(server, client):
    report = server.control(rules=[{"action": "fail_records", "mode": "all", "skip": 1, "count": 2}])
    assert report["rules"][0]["left"] == 2
    assert [put(client)["FailedRecordCount"] for _ in range(4)] == [0, 10, 10, 0]
    assert server.records("s") == 20
    counters = server.report()
    assert counters["rules"][0]["hits"] == 2 and counters["counters"]["injected"] == 20


@pytest.mark.parametrize("rule, expected", [
    ({"mode": "suffix", "fraction": 0.3}, [7, 8, 9]),
    ({"mode": "prefix", "fraction": 0.2}, [0, 1]),
    ({"indexes": [0, 4, 9, 77]}, [0, 4, 9]),
    ({"mode": "random", "fraction": 0}, []),
])
def test_which_records_fail(server, client, rule, expected):
    server.control(rules=[{"action": "fail_records", "code": "InternalFailure", **rule}])
    answer = put(client)
    assert failed(answer) == expected and answer["FailedRecordCount"] == len(expected)
    for i in expected:
        assert answer["Records"][i] == {"ErrorCode": "InternalFailure",
                                        "ErrorMessage": "Internal service failure."}


def test_seed_repeats_a_run(server, client):
    def run(seed):
        server.control(clear=True, seed=seed, rules=[
            {"action": "fail_records", "fraction": 0.4, "probability": 0.7}])
        return [failed(put(client, 50)) for _ in range(10)]

    assert run(7) == run(7) != run(8)


def test_one_shard_fails(server, client):
    server.control(rules=[{"action": "fail_records", "mode": "all", "shard": 2}])
    answer = put(client, 100)
    server.control(clear=True)
    again = put(client, 100)
    for was, now in zip(answer["Records"], again["Records"]):
        assert ("ErrorCode" in was) == (now["ShardId"] == "shardId-000000000002")
    assert 0 < answer["FailedRecordCount"] < 100


def test_failed_but_stored(server, client):
    server.control(rules=[{"action": "fail_records", "mode": "all", "code": "InternalFailure",
                           "committed": True, "count": 1}])
    assert put(client)["FailedRecordCount"] == 10
    assert server.records("s") == 10


@pytest.mark.parametrize("rule, status, code", [
    ({"action": "error"}, 500, "InternalFailure"),
    ({"action": "error", "status": 503}, 503, "ServiceUnavailable"),
    ({"action": "error", "status": 400, "code": "KMSThrottlingException", "message": "slow"}, 400,
     "KMSThrottlingException"),
    ({"action": "expired_token"}, 400, "ExpiredTokenException"),
])
def test_whole_request_fails(server, client, rule, status, code):
    server.control(rules=[{**rule, "count": 1}])
    with pytest.raises(ClientError) as e:
        put(client)
    assert e.value.response["Error"]["Code"] == code
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert server.records("s") == 0
    put(client)
    assert server.records("s") == 10


def test_error_after_commit(server, client):
    server.control(rules=[{"action": "error", "committed": True, "count": 1}])
    assert failure(put, client=client)[0] == "InternalFailure"
    assert server.records("s") == 10


def test_html(server, client):
    server.control(rules=[{"action": "html", "status": 503, "count": 1}])
    with pytest.raises(ClientError) as e:
        put(client)
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert e.value.response["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "text/html"


@pytest.mark.parametrize("action, stored", [("drop", 0), ("reset", 0), ("lost_answer", 10)])
def test_connection_ends(server, client, action, stored):
    server.control(rules=[{"action": action, "count": 1}])
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        put(client)
    assert server.records("s") == stored
    put(client)
    assert server.records("s") == stored + 10


def test_cut_answer(server, client):
    """boto3 makes nothing of half an answer; here it is looked at as it comes."""
    server.control(rules=[{"action": "cut_answer", "count": 1}])
    body = json.dumps({"StreamName": "s", "Records": [
        {"Data": "QQ==", "PartitionKey": "k"}] * 10}).encode()
    cut = exchange(server, head(GOOD, body, "PutRecords"))
    assert cut.startswith(b"HTTP/1.1 200 OK") and b'"Records":[{' in cut
    length = int(cut.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    assert len(cut.split(b"\r\n\r\n", 1)[1]) < length
    assert server.records("s") == 10


def test_delay(server, client):
    server.control(rules=[{"action": "delay", "ms": 300, "count": 1}])
    start = time.monotonic()
    put(client)
    assert time.monotonic() - start >= 0.3
    put(client)
    assert server.report()["rules"][0] | {"matched": 2, "hits": 1, "left": 0} == (
        server.report()["rules"][0])


def test_delay_holds_nobody_else(server):
    server.control(rules=[{"action": "delay", "ms": 60000, "stream": "s"}])
    with pytest.raises(HTTPClientError):
        put(server.client(read_timeout=0.5))
    assert put(server.client(), stream="other")["FailedRecordCount"] == 0


@pytest.mark.parametrize("number", [-3, 2])
def test_wrong_count(server, client, number):
    server.control(rules=[{"action": "wrong_count", "number": number, "count": 1}])
    assert len(put(client)["Records"]) == 10 + number


def test_lying_failed_count(server, client):
    server.control(rules=[{"action": "lie_failed_count", "number": 0},
                          {"action": "fail_records", "mode": "all"}])
    answer = put(client)
    assert answer["FailedRecordCount"] == 0 and len(failed(answer)) == 10


def test_rules_choose_operation_and_stream(server, client):
    server.control(rules=[{"action": "error", "stream": "other"},
                          {"action": "error", "operation": "ListShards"}])
    put(client)
    assert failure(put, client=client, stream="other")[0] == "InternalFailure"
    assert failure(client.list_shards, StreamName="s")[0] == "InternalFailure"
    client.describe_stream_summary(StreamName="s")
    server.control(clear=True, rules=[{"action": "error", "operation": "*"}])
    assert failure(client.list_streams)[0] == "InternalFailure"


@pytest.mark.parametrize("change, text", [
    ({"unknown": 1}, "unknown"),
    ({"rules": [{"action": "explode"}]}, "explode"),
    ({"rules": [{"ms": 5}]}, "action"),
    ({"rules": [{"action": "delay", "milliseconds": 5}]}, "milliseconds"),
    ({"rules": {}}, "not a list"),
    ({"rules": [{"action": "drop"}] * 33}, "32"),
    ({"throttle": {"records_per_s": 0}}, "positive"),
    ({"throttle": {"stream": "none"}}, "none"),
])
def test_control_refuses_nonsense(server, change, text):
    with pytest.raises(ValueError, match=text):
        server.control(**change)
    assert server.report()["rules"] == []


# ---- HTTP under stress -----------------------------------------------------------------------

GOOD = (f"X-Amz-Date: {NOW}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={SCOPE}, "
        "SignedHeaders=host, Signature=0\r\n")


def test_pipelined_requests(server):
    one = head(GOOD).replace(b"Connection: close\r\n", b"")
    put_one = head(GOOD, json.dumps({"StreamName": "s", "Records": [
        {"Data": "QQ==", "PartitionKey": "k"}] * 100}).encode(), "PutRecords").replace(
            b"Connection: close\r\n", b"")
    server.control(rules=[{"action": "delay", "ms": 50, "count": 3}])
    answer = exchange(server, (one + put_one) * 20 + head(GOOD))
    assert answer.count(b"HTTP/1.1 200 OK") == 41
    assert answer.count(b'"FailedRecordCount":0') == 20
    assert server.records("s") == 2000


def test_request_byte_by_byte(server):
    body = b'{"StreamName":"s","Data":"QUJD","PartitionKey":"k"}'
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(request := head(GOOD, body, "PutRecord"))):
            s.sendall(request[i:i + 1])
        assert s.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert server.records("s") == 1


def test_chunked_and_expect(server):
    body = b'{"StreamName":"s","Data":"QUJD","PartitionKey":"k"}'
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                      for i in range(0, len(body), 7)) + b"0\r\n\r\n"
    start = head(GOOD, b"", "PutRecord").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    assert exchange(server, start + chunks).startswith(b"HTTP/1.1 200 OK")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
        request = head(GOOD + "Expect: 100-continue\r\n", body, "PutRecord")
        s.sendall(request[:-len(body)])
        assert s.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(body)
        assert s.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert server.records("s") == 2


@pytest.mark.parametrize("request_bytes, status", [
    (b"nonsense\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b"413"),
    (b"POST / HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n" + b"x" * 30000000, b"413"),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nA: " + b"x" * 40000, b"400"),
])
def test_bad_http(server, request_bytes, status):
    assert exchange(server, request_bytes).startswith(b"HTTP/1.1 " + status)
    assert put(server.client())["FailedRecordCount"] == 0


def test_clients_that_vanish(server):
    request = head(GOOD, b'{"StreamName":"s","Data":"QUJD","PartitionKey":"k"}', "PutRecord")
    for cut in range(0, len(request), 37):
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.sendall(request[:cut])
    assert server.records("s") == 0
    assert put(server.client())["FailedRecordCount"] == 0


def test_stops_cleanly_and_frees_its_port(server):
    port = server.port
    connection = socket.create_connection(("127.0.0.1", port))
    assert server.stop() == 0
    connection.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.parametrize("options", [
    {"listen": "0.0.0.0"}, {"port": "70000"}, {"streams": "a b"}, {"streams": "a:1,a:1"},
    {"streams": "a:0"}, {"throttle": "maybe"}, {"account": "12"}, {"tls_cert": "x"}, {"nonsense": 1},
    {"history": "/nonexistent/file"}])
def test_bad_options(options):
    with pytest.raises(RuntimeError, match="did not start"):
        Kinesisd(**options).start()


def test_port_file(tmp_path):
    file = tmp_path / "port"
    with Kinesisd(port_file=file) as k:
        wait_until(file.exists, 5, "the port file")
        assert int(file.read_text()) == k.port
