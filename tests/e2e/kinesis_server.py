"""Kinesis servers for end-to-end tests: our kinesisd and npm kinesis-local.

Both are started on a free loopback port as children of the test, are waited for until they
answer, and are stopped by process id.  Use them as context managers:

    with Kinesisd(streams="invoices:4") as server:
        client = server.client()
        server.control(rules=[{"action": "delay", "ms": 50}])

or with start() and stop().
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release"))
NODE_MODULES = ROOT / "build" / "node" / "node_modules"

# What client() signs with unless told otherwise; any key will do for a server without credentials.
ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "weir-tests-only"

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 10


def free_port():
    """A port nobody listened on a moment ago; for servers that cannot choose one themselves."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, timeout_s, what):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(0.01)


class _Server:
    """What both servers share: a process, a port, a boto3 client."""

    region = "us-east-1"
    scheme = "http"
    ca = None

    def __init__(self):
        self.process = None
        self.port = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def client(self, access_key=ACCESS_KEY, secret_key=SECRET_KEY, token=None, attempts=1,
               **config):
        """A boto3 client that does not retry, unless told so, and leaves checking to the server."""
        return boto3.session.Session(
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=token,
        ).client(
            "kinesis",
            endpoint_url=self.endpoint,
            region_name=self.region,
            verify=self.ca if self.scheme == "https" else None,
            config=Config(**{
                "retries": {"total_max_attempts": attempts, "mode": "standard"},
                "connect_timeout": 5,
                "read_timeout": 30,
                "parameter_validation": False,
                **config,
            }),
        )

    def stop(self):
        """Asks the process to end, insists after a while, and returns its exit status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode


class Kinesisd(_Server):
    """tests/kinesisd.  Keyword arguments are its options: state_delay_ms=0 is --state-delay-ms 0.

    True and False stand for on and off, None for "not given"; credentials may be a list of lines.
    """

    SWITCHES = ("throttle", "read_throttle")

    def __init__(self, build=BUILD, **options):
        super().__init__()
        self.program = Path(build) / "kinesisd"
        self.options = options
        self.credentials_file = None
        self.region = options.get("region", "us-east-1")
        if "tls_cert" in options:
            self.scheme = "https"
            self.ca = str(options["tls_cert"])

    def command(self):
        words = [str(self.program), "--listen", "127.0.0.1", "--port", "0"]
        for name, value in self.options.items():
            if name in self.SWITCHES and isinstance(value, bool):
                value = "on" if value else "off"
            if value is False or value is None:
                continue
            if name == "credentials" and isinstance(value, list):
                value = self._write_credentials(value)
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return words

    def _write_credentials(self, lines):
        self.credentials_file = tempfile.NamedTemporaryFile("w", prefix="kinesisd-keys-")
        self.credentials_file.write("".join(line + "\n" for line in lines))
        self.credentials_file.flush()
        return self.credentials_file.name

    def start(self):
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT_S)
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("listening "):
            status = self.stop()
            raise RuntimeError(f"kinesisd did not start (exit status {status}): {line!r}")
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def stop(self):
        status = super().stop()
        if self.credentials_file is not None:
            self.credentials_file.close()
            self.credentials_file = None
        return status

    def _control(self, body):
        request = urllib.request.Request(
            f"{self.endpoint}/control",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        context = None
        if self.scheme == "https":
            import ssl

            context = ssl.create_default_context(cafile=self.ca)
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as e:
            raise ValueError(json.load(e)["error"]) from e

    def control(self, **change):
        """Applies a change (see tests/kinesisd/README.md) and returns the report after it."""
        return self._control(change)

    def report(self):
        """Counters, streams and rules."""
        return self._control(None)

    def counters(self):
        """The server's totals: requests, records, bytes, throttled, refused, ..."""
        return self.report()["counters"]

    def records(self, stream):
        """Records the stream has accepted so far."""
        shards = self.report()["streams"][stream]["shards"]
        return sum(s["records"] for s in shards)


class KinesisLocal(_Server):
    """npm kinesis-local: slow, but written by somebody else."""

    PACKAGE = NODE_MODULES / "kinesis-local"

    @classmethod
    def is_available(cls):
        return shutil.which("node") is not None and (cls.PACKAGE / "main.js").exists()

    def __init__(self, streams="", delay="10ms"):
        super().__init__()
        self.streams = streams
        self.delay = delay
        self.directory = None

    def start(self):
        self.port = free_port()
        # It opens server.json, its certificate, in the working directory.
        self.directory = tempfile.TemporaryDirectory(prefix="kinesis-local-")
        shutil.copy(self.PACKAGE / "server.json", self.directory.name)
        environment = {
            "PATH": os.environ["PATH"],
            "KINESIS_MOCK_PLAIN_PORT": str(self.port),
            "KINESIS_MOCK_TLS_PORT": str(free_port()),
            "LOG_LEVEL": "ERROR",
            "AWS_ACCOUNT_ID": "000000000000",
            "AWS_REGION": self.region,
            "SHARD_LIMIT": "100",
        }
        for name in ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS",
                     "UPDATE_SHARD_COUNT", "UPDATE_STREAM_MODE"):
            environment[f"{name}_DURATION"] = self.delay
        if self.streams:
            environment["INITIALIZE_STREAMS"] = self.streams
        preload = Path(__file__).parent / "js" / "loopback.js"
        self.process = subprocess.Popen(
            ["node", "-r", str(preload), str(self.PACKAGE / "main.js")],
            cwd=self.directory.name,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(self._is_ready, START_TIMEOUT_S, "kinesis-local answers")
        except BaseException:
            self.stop()
            raise
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"kinesis-local ended with status {self.process.returncode}")
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthcheck", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        status = super().stop()
        if self.directory is not None:
            self.directory.cleanup()
            self.directory = None
        return status
