"""Credentials of roles: IRSA, AssumeRole, credential_process, containers, instances.

Small servers stand for STS and the metadata services; kinesisd knows only the keys they hand out and
verifies every signature, so what arrives proves which keys were used.
"""

import contextlib
import datetime
import http.server
import json
import threading
import urllib.parse

import pytest
from kinesis_server import Kinesisd, free_port, wait_until
from test_shipper import STREAM, Fed, assert_good, judge

BASE = ("AKIDBASE", "base-secret")
ROLE = ("ASIAROLE1", "role-secret-1", "role/token+1=")
LATER = ("ASIAROLE2", "role-secret-2", "role/token+2=")


def iso(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Neighbour:
    """An HTTP server whose answers a test chooses: answer(method, path, headers, body)."""

    def __init__(self, answer):
        self.requests = []
        neighbour = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size).decode()
                neighbour.requests.append((self.command, self.path, dict(self.headers), body))
                status, text = answer(self.command, self.path, self.headers, body)
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = handle_any

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def sts_answer(keys, seconds=3600, action="AssumeRole"):
    return 200, (f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
                 f"<Credentials><AccessKeyId>{keys[0]}</AccessKeyId>"
                 f"<SecretAccessKey>{keys[1]}</SecretAccessKey>"
                 f"<SessionToken>{keys[2]}</SessionToken><Expiration>{iso(seconds)}</Expiration>"
                 f"</Credentials></{action}Result></{action}Response>")


def sts_error(code, status=403):
    return status, (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
                    f"<Message>not you</Message></Error></ErrorResponse>")


def json_keys(keys, seconds=3600, token="Token"):
    return 200, json.dumps({"Code": "Success", "AccessKeyId": keys[0], "SecretAccessKey": keys[1],
                            token: keys[2], "Expiration": iso(seconds)})


@contextlib.contextmanager
def shipper(keys, config="", credentials="", **environment):
    """A fed shipper whose only credentials are those a test gives; kinesisd knows `keys` alone."""
    with Kinesisd(streams=f"{STREAM}:2", throttle=False,
                  credentials=[" ".join(k) for k in keys]) as k, \
            Fed(k.endpoint, environment={"AWS_REGION": "eu-west-1", **environment}) as fed:
        (fed.directory / "config").write_text(config)
        fed.environment["AWS_CONFIG_FILE"] = str(fed.directory / "config")
        fed.keys_file.write_text(credentials)
        yield k, fed


def deliver(k, fed, secret):
    fed.feed(300, 20).ship()
    fed.wait_drained(30)
    assert_good(judge(k.client(secret_key=secret[1], access_key=secret[0], token=secret[2]), 300, 20), 0)
    assert k.counters()["signature_failures"] == 0


def test_web_identity(tmp_path):
    """IRSA: an unsigned request with the service account's token."""
    token = tmp_path / "token"
    token.write_text("eyJ.service/account+token=\n")
    with Neighbour(lambda *a: sts_answer(ROLE, action="AssumeRoleWithWebIdentity")) as sts, \
            shipper([ROLE], AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ENDPOINT_URL_STS=sts.url,
                    AWS_ROLE_ARN="arn:aws:iam::123456789012:role/weir") as (k, fed):
        deliver(k, fed, ROLE)
        method, _, headers, body = sts.requests[0]
        form = dict(urllib.parse.parse_qsl(body))
        assert method == "POST" and "Authorization" not in headers
        assert form["Action"] == "AssumeRoleWithWebIdentity" and form["Version"] == "2011-06-15"
        assert form["WebIdentityToken"] == "eyJ.service/account+token="
        assert form["RoleArn"] == "arn:aws:iam::123456789012:role/weir"
        assert "role arn:aws:iam::123456789012:role/weir" in fed.log()
        assert ROLE[1] not in fed.log() and "service/account" not in fed.log()


def test_assume_role_by_profile():
    config = """[default]
role_arn = arn:aws:iam::123456789012:role/deliver
source_profile = base
external_id = ext/1,2
role_session_name = weir-test
duration_seconds = 1800
region = eu-central-1
"""
    credentials = f"[base]\naws_access_key_id={BASE[0]}\naws_secret_access_key={BASE[1]}\n"
    with Neighbour(lambda *a: sts_answer(ROLE)) as sts, \
            shipper([ROLE], config, credentials, AWS_ENDPOINT_URL_STS=sts.url) as (k, fed):
        del fed.environment["AWS_REGION"]
        deliver(k, fed, ROLE)
        _, _, headers, body = sts.requests[0]
        form = dict(urllib.parse.parse_qsl(body))
        assert form["Action"] == "AssumeRole" and form["ExternalId"] == "ext/1,2"
        assert form["RoleSessionName"] == "weir-test" and form["DurationSeconds"] == "1800"
        assert f"Credential={BASE[0]}/" in headers["Authorization"]
        assert "/eu-central-1/sts/aws4_request" in headers["Authorization"]


def test_a_role_that_leads_to_a_role():
    config = """[default]
role_arn = arn:aws:iam::1:role/second
source_profile = first
[profile first]
role_arn = arn:aws:iam::1:role/first
source_profile = base
"""

    credentials = f"[base]\naws_access_key_id={BASE[0]}\naws_secret_access_key={BASE[1]}\n"

    def answer(method, path, headers, body):
        first = "role%2Ffirst" in body
        return sts_answer(LATER if first else ROLE)

    with Neighbour(answer) as sts, \
            shipper([ROLE], config, credentials, AWS_ENDPOINT_URL_STS=sts.url) as (k, fed):
        deliver(k, fed, ROLE)
        signers = [r[2]["Authorization"].split("Credential=")[1].split("/")[0] for r in sts.requests]
        assert signers == [BASE[0], LATER[0]]
        assert sts.requests[1][2]["X-Amz-Security-Token"] == LATER[2]


@pytest.mark.parametrize("uri", ["full", "file-token"])
def test_container_agent(tmp_path, uri):
    """ECS and EKS Pod Identity; the token's file is read each time."""
    token = tmp_path / "token"
    token.write_text("pod token\n")

    def answer(method, path, headers, body):
        want = "pod token" if uri == "file-token" else "plain"
        return json_keys(ROLE) if headers["Authorization"] == want else (401, "who?")

    with Neighbour(answer) as agent:
        environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url + "/v1/credentials"}
        if uri == "file-token":
            environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(token)
        else:
            environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "plain"
        with shipper([ROLE], **environment) as (k, fed):
            deliver(k, fed, ROLE)
            assert agent.requests[0][:2] == ("GET", "/v1/credentials")


def test_a_container_agent_elsewhere_is_refused():
    with shipper([ROLE], AWS_CONTAINER_CREDENTIALS_FULL_URI="http://192.0.2.1/v1/credentials") as (k, fed):
        fed.feed(10, 1).ship()
        fed.wait_log("neither https nor an address of this host")


def test_instance_role():
    """IMDSv2: a token first, then the role, then its keys."""
    def answer(method, path, headers, body):
        if (method, path) == ("PUT", "/latest/api/token"):
            assert headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
            return 200, "imds-token"
        if headers["X-aws-ec2-metadata-token"] != "imds-token":
            return 401, ""
        if path == "/latest/meta-data/iam/security-credentials/":
            return 200, "weir-role\n"
        assert path == "/latest/meta-data/iam/security-credentials/weir-role"
        return json_keys(ROLE)

    with Neighbour(answer) as imds, \
            shipper([ROLE], AWS_EC2_METADATA_DISABLED="false",
                    AWS_EC2_METADATA_SERVICE_ENDPOINT=imds.url + "/") as (k, fed):
        deliver(k, fed, ROLE)
        assert "instance role weir-role" in fed.log()


def test_nothing_anywhere_names_every_place():
    with shipper([ROLE], AWS_EC2_METADATA_DISABLED="false",
                 AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://127.0.0.1:{free_port()}") as (k, fed):
        fed.feed(10, 1).ship()
        line = fed.wait_log("no AWS credentials found.*").group(0)
        for place in ("AWS_ACCESS_KEY_ID is not set", "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
                      "no profile", "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set", "instance ("):
            assert place in line, line


def test_renewed_ahead_of_expiry():
    """Keys of 4 seconds: newer ones are there before the old ones end, and nothing fails meanwhile."""
    handed = []

    def answer(method, path, headers, body):
        keys = [ROLE, LATER][min(len(handed), 1)]
        handed.append(keys)
        return json_keys(keys, 4)

    with Neighbour(answer) as agent, \
            shipper([ROLE, LATER], AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url) as (k, fed):
        fed.feed(2000, 50, rate=400).ship()
        wait_until(lambda: LATER in handed, 30, "a renewal")
        fed.wait_drained(60)
        fed.wait_log(LATER[0])
        assert "code=credentials" not in fed.log()
        assert k.counters()["signature_failures"] == 0


def test_old_keys_are_kept_when_renewal_fails():
    """The agent goes away; the keys end soon, and are used until then and beyond."""
    calls = []

    def answer(method, path, headers, body):
        calls.append(path)
        return json_keys(ROLE, 2) if len(calls) == 1 else (500, "gone")

    with Neighbour(answer) as agent, \
            shipper([ROLE], AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url) as (k, fed):
        fed.feed(1500, 50, rate=500).ship()
        fed.wait_log("credentials-not-renewed")
        fed.wait_drained(60)
        assert_good(judge(k.client(secret_key=ROLE[1], access_key=ROLE[0], token=ROLE[2]), 1500, 50), 0)


def test_sts_says_no_then_yes():
    calls = []

    def answer(method, path, headers, body):
        calls.append(body)
        return sts_error("AccessDenied") if len(calls) < 3 else sts_answer(ROLE)

    config = "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
    credentials = f"[base]\naws_access_key_id={BASE[0]}\naws_secret_access_key={BASE[1]}\n"
    with Neighbour(answer) as sts, \
            shipper([ROLE], config, credentials, AWS_ENDPOINT_URL_STS=sts.url) as (k, fed):
        deliver(k, fed, ROLE)
        assert "assume the role" in fed.log() and "not you" in fed.log()


def test_a_stop_does_not_wait_for_a_renewal():
    """STS is silent while the shipper is told to stop."""
    hold = threading.Event()
    calls = []

    def answer(method, path, headers, body):
        calls.append(path)
        if len(calls) > 1:
            hold.wait(30)
        return json_keys(ROLE, 2)

    with Neighbour(answer) as agent, \
            shipper([ROLE], AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url) as (k, fed):
        fed.feed(400, 50, rate=100).ship()
        wait_until(lambda: len(calls) > 1, 30, "a renewal")
        process = fed.shippers[0]
        process.terminate()
        assert process.wait(15) == 0
        hold.set()


def test_moto_sts():
    """AssumeRole against an STS that nobody here wrote."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    try:
        config = "[default]\nrole_arn = arn:aws:iam::123456789012:role/weir\nsource_profile = base\n"
        credentials = f"[base]\naws_access_key_id={BASE[0]}\naws_secret_access_key={BASE[1]}\n"
        url = f"http://127.0.0.1:{server._port}"  # noqa: SLF001 - moto tells it nowhere else
        with shipper([ROLE], config, credentials, AWS_ENDPOINT_URL_STS=url) as (k, fed):
            fed.feed(10, 1).ship()
            # kinesisd does not know moto's keys; that they were handed out and used is what counts.
            line = fed.wait_log(r'credentials source="role arn:aws:iam::123456789012:role/weir" '
                                r"access_key_id=ASIA\w+").group(0)
            assert line
            wait_until(lambda: k.counters()["signature_failures"] > 0, 20, "a request signed by them")
    finally:
        server.stop()
