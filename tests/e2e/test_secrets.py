"""The login from AWS Secrets Manager: moto as the service, a small server for its errors."""

import http.server
import json
import socket
import subprocess
import threading
import time

import boto3
import pytest

import source
from pipeline import ROOT, Pipeline, wait_until
from servers import Mssqld
from stream import StreamReader
from test_story import insert, run_story_sql

REGION = "eu-west-1"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Moto:
    """moto's server: Secrets Manager as boto3's users know it."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [ROOT / "build/venv/bin/moto_server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 60, "moto")

    def answers(self):
        assert self.process.poll() is None, "moto ended"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self):
        return boto3.client("secretsmanager", endpoint_url=self.url, region_name=REGION,
                            aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="x")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def moto():
    server = Moto()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def story_server():
    with Mssqld() as server:
        run_story_sql(server)
        yield server


def environment(url):
    return {"AWS_ENDPOINT_URL_SECRETS_MANAGER": url, "AWS_ENDPOINT_URL_STS": url,
            "AWS_REGION": REGION}


def by_secret(server, kinesisd, url, secret_id, **source_settings):
    """A task whose server, user and password stand in the secret only."""
    p = Pipeline(server, kinesisd, environment=environment(url))
    endpoint = p.task["SourceEndpoint"]
    for name in ("ServerName", "Port", "Username", "Password"):
        endpoint.pop(name)
    endpoint["MicrosoftSQLServerSettings"] = {"SecretsManagerSecretId": secret_id,
                                              **source_settings}
    p.write_task()
    return p


def rds_secret(server, **changes):
    return json.dumps({"engine": "sqlserver", "username": "sa", "password": server.sa_password,
                       "host": "127.0.0.1", "port": server.port, "dbInstanceIdentifier": "x",
                       **changes})


# ---- what a secret may hold -----------------------------------------------------------

def test_secret_holds_everything(story_server, moto):
    arn = moto.client().create_secret(Name="rds/all", SecretString=rds_secret(story_server))["ARN"]
    for secret_id in ("rds/all", arn):
        with by_secret(story_server, None, moto.url, secret_id) as p:
            check = p.weirctl("check", p.task_file)
            assert f"connected to 127.0.0.1:{story_server.port}" in check.stdout, check.stdout
            assert "as sa" in check.stdout
            assert story_server.sa_password not in check.stdout + check.stderr


@pytest.mark.parametrize("form", ["plain", "object"])
def test_secret_as_the_password(story_server, moto, form):
    text = (story_server.sa_password if form == "plain"
            else json.dumps({"username": "sa", "password": story_server.sa_password}))
    moto.client().create_secret(Name=f"password/{form}", SecretString=text)
    with Pipeline(story_server, None, environment=environment(moto.url),
                  source={"Password": {"SecretsManagerSecretId": f"password/{form}"},
                          "Username": "sa" if form == "plain" else "old_name"}) as p:
        check = p.weirctl("check", p.task_file)
        assert "connected to 127.0.0.1" in check.stdout, check.stdout + check.stderr


@pytest.mark.parametrize("text,complaint", [
    ('{"username": "sa"}', 'no member password'),
    ('{"password": "p", "username": "sa", "host": "h", "port": "many"}', 'member port is no port'),
    ('{"password": "p"', "begins like a JSON object and is none"),
    ('{"password": "p", "username": "sa"}', 'no member host'),
    ('{"password": "p", "host": "h"}', 'no member username'),
    ("hunter2", 'no member host'),
])
def test_secret_of_another_form(story_server, moto, text, complaint):
    name = f"form/{abs(hash(text))}"
    moto.client().create_secret(Name=name, SecretString=text)
    with by_secret(story_server, None, moto.url, name) as p:
        p.capture.start()
        assert p.capture.wait(20) == 78
        assert complaint in p.capture.log_text() and name in p.capture.log_text()
        assert "hunter2" not in p.capture.log_text()


def test_binary_secret(story_server, moto):
    moto.client().create_secret(Name="binary", SecretBinary=b"\x01\x02")
    with by_secret(story_server, None, moto.url, "binary") as p:
        assert "holds bytes" in p.weirctl("check", p.task_file).stdout


# ---- rotation -------------------------------------------------------------------------

def test_rotation_needs_no_restart(kinesisd, moto):
    """The password changes under a running task; at the next connection weir reads the new one:
    from AWSPENDING while the rotation is under way, from AWSCURRENT afterwards."""
    client = moto.client()
    server = Mssqld().start()
    try:
        run_story_sql(server)
        old = server.sa_password
        client.create_secret(Name="rotated", SecretString=rds_secret(server))
        with by_secret(server, kinesisd, moto.url, "rotated") as p:
            p.start()
            reader = StreamReader(kinesisd.client(), "invoices")
            reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 60, "the load")

            # The database has the new password, the secret has it as pending only.
            server.sa_password = "Rotated-1"
            client.put_secret_value(SecretId="rotated", SecretString=rds_secret(server),
                                    VersionStages=["AWSPENDING"])
            server.restart()
            with source.connect(server, "democustomer") as c:
                insert(c, 11, 3)
            reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) >= 3, 60, "pending")
            assert "version=AWSPENDING" in p.capture.log_text()

            # The rotation is through; then another one, whole.
            server.sa_password = "Rotated-2"
            client.put_secret_value(SecretId="rotated", SecretString=rds_secret(server),
                                    VersionStages=["AWSCURRENT"])
            server.restart()
            with source.connect(server, "democustomer") as c:
                insert(c, 14, 3)
            reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) >= 6, 60, "current")
            assert p.capture.running
            log = p.capture.log_text()
            assert not any(word in log for word in (old, "Rotated-1", "Rotated-2"))
    finally:
        server.stop()


def test_secret_changes_between_reading_and_login(story_server):
    """The first value is refused, the second read gives the one that works."""
    values = ["stale", story_server.sa_password]

    def answer(request):
        text = values.pop(0) if len(values) > 1 else values[0]
        return 200, {"SecretString": rds_secret(story_server, password=text)}

    with Fake(answer) as fake, by_secret(story_server, None, fake.url, "s") as p:
        check = p.weirctl("check", p.task_file)
        assert "connected to" in check.stdout, check.stdout
        assert [r["body"]["VersionStage"] for r in fake.requests] == ["AWSCURRENT"] * 2


def test_file_changes_between_reading_and_login(story_server):
    """The same with a file: read again once, then the login is refused for good."""
    with Pipeline(story_server, None) as p:
        (p.directory / "password").write_text("stale")
        check = p.weirctl("check", p.task_file)
        assert "18456" in check.stdout


# ---- the service's errors -------------------------------------------------------------

class Fake:
    """Answers every request with what answer(request) gives: (status, object or text)."""

    def __init__(self, answer):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw) if raw.startswith(b"{") else raw.decode()
                request = {"headers": dict(self.headers), "body": body}
                outer.requests.append(request)
                status, value = answer(request)
                data = (value if isinstance(value, str) else json.dumps(value)).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("status,value,texts,exits", [
    (400, {"__type": "ResourceNotFoundException", "Message": "can't find it"},
     ["there is no such secret in region eu-west-1", "AWS_REGION"], True),
    (400, {"__type": "com.amazonaws#AccessDeniedException", "Message": "not authorized to perform"},
     ["AccessDeniedException", "not authorized to perform", "IAM policy"], True),
    (400, {"__type": "DecryptionFailure", "message": "no key"}, ["kms:Decrypt"], True),
    (400, {"__type": "InvalidRequestException", "message": "marked for deletion"},
     ["marked for deletion"], True),
    (400, {"__type": "ThrottlingException", "message": "slow down"}, ["slow down"], False),
    (400, {"__type": "ExpiredTokenException", "message": "expired"},
     ["expired", "renew the AWS credentials"], False),
    (500, {"__type": "InternalServiceError", "message": "oops"}, ["InternalServiceError"], False),
    (403, "<html><body>proxy says no</body></html>",
     ["no AWS service says", "proxy says no", "AWS_ENDPOINT_URL_SECRETS_MANAGER"], False),
    (200, "<html>sign in here</html>", ["none of Secrets Manager"], False),
])
def test_errors_of_the_service(story_server, status, value, texts, exits):
    with Fake(lambda request: (status, value)) as fake, \
            by_secret(story_server, None, fake.url, "prod/db") as p:
        p.capture.start()
        if exits:
            assert p.capture.wait(20) == 78, p.capture.log_text()
        else:
            wait_until(lambda: "source-retry" in p.capture.log_text(), 20, "a retry")
            assert p.capture.running
        for text in texts:
            assert text in p.capture.log_text()


def test_silent_service_and_a_stop(story_server):
    """Nobody answers: the task stays stoppable."""
    begun = threading.Event()

    def answer(request):
        begun.set()
        time.sleep(30)
        return 200, {}

    with Fake(answer) as fake, by_secret(story_server, None, fake.url, "prod/db") as p:
        p.capture.start()
        assert begun.wait(20)
        t = time.monotonic()
        assert p.capture.stop() == 0
        assert time.monotonic() - t < 3


def test_nobody_listens_at_the_service(story_server):
    with by_secret(story_server, None, "http://127.0.0.1:1", "prod/db") as p:
        p.capture.start()
        wait_until(lambda: "source-retry" in p.capture.log_text(), 20, "a retry")
        assert "read the secret prod/db: http://127.0.0.1:1/" in p.capture.log_text()


STS = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>
<SessionToken>role-token</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""
DENIED = """<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>User may not assume it</Message></Error></ErrorResponse>"""


def test_role_is_assumed(story_server):
    def answer(request):
        if isinstance(request["body"], str):
            return 200, STS
        return 200, {"SecretString": rds_secret(story_server)}

    role = "arn:aws:iam::123456789012:role/weir"
    with Fake(answer) as fake, by_secret(story_server, None, fake.url, "s",
                                         SecretsManagerAccessRoleArn=role) as p:
        assert "connected to" in p.weirctl("check", p.task_file).stdout
        first, second = fake.requests
        assert "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fweir" in first["body"]
        assert "Credential=AKIDEXAMPLE/" in first["headers"]["Authorization"]
        assert f"/{REGION}/sts/aws4_request" in first["headers"]["Authorization"]
        assert "Credential=ASIAROLE/" in second["headers"]["Authorization"]
        assert f"/{REGION}/secretsmanager/aws4_request" in second["headers"]["Authorization"]
        assert second["headers"]["X-Amz-Security-Token"] == "role-token"

    with Fake(lambda request: (403, DENIED)) as fake, \
            by_secret(story_server, None, fake.url, "s", SecretsManagerAccessRoleArn=role) as p:
        p.capture.start()
        assert p.capture.wait(20) == 78
        assert f"{role}: assume the role: HTTP 403 AccessDenied: User may not assume it" in \
            p.capture.log_text()
